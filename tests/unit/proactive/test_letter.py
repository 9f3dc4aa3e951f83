import pytest

from core.profile import LANGUAGES, Profiles
from proactive.letter import Sender, write

PROFILES = Profiles()


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    ("profile", "mode"), [(p.name, m) for p in PROFILES.values() for m in [*p.failure_modes, "abnormal"]]
)
def test_every_failure_mode_has_a_letter_in_every_language(profile: str, mode: str, language: str) -> None:
    found = PROFILES[profile]
    component = found.failure_modes[mode].component if mode in found.failure_modes else next(iter(found.components))
    letter = write(
        found,
        mode,
        component=component,
        language=language,
        customer="Grace <b>Hopper</b>",
        device="unit-7",
        model="X 1",
        sender=Sender(brand="Polar & Sons", phone="+49 30 1234"),
    )
    assert "\n" not in letter.subject
    assert "unit-7" in letter.text
    assert "Grace <b>Hopper</b>" in letter.text
    assert "Grace &lt;b&gt;Hopper&lt;/b&gt;" in letter.html
    assert "Polar &amp; Sons" in letter.html
    assert 'href="tel:+49301234"' in letter.html
    assert f'lang="{language}"' in letter.html
    playbook = found.failure_modes[mode].playbook if mode in found.failure_modes else None
    for step in playbook.steps if playbook else ():
        assert step.get(language) in letter.text
