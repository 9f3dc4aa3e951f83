from datetime import timedelta
from pathlib import Path

import pytest

from core.errors import InvalidProfile, NotFound
from core.profile import SHIPPED, Profiles, load, parse

FRIDGE = (SHIPPED / "fridge.yaml").read_text()


@pytest.mark.parametrize("file", sorted(SHIPPED.glob("*.yaml")), ids=lambda f: f.stem)
def test_a_shipped_profile_is_valid_and_named_as_its_file(file: Path) -> None:
    profile = load(file)
    assert profile.name == file.stem
    for mode in profile.failure_modes.values():
        assert mode.title.de, "customers read German too"
        assert mode.playbook is None or mode.playbook.customer.de


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (("unit: W,", "unit: Watt,"), "fridge.yaml:20: signals.power: unit 'Watt' is not in the SenML units registry"),
        (("range: [0, 1000]", "range: [9, 1]"), "fridge.yaml:20: signals.power: range [9.0, 1.0] has no room"),
        (
            ("range: [0, 1000]", "range: [0, many]"),
            "fridge.yaml:20: signals.power.range.1: Input should be a valid number",
        ),
        (("tick: 30min", "tick: 30"), "fridge.yaml:4: tick: is not a duration; write a number and s, min, h or d"),
        (("tick: 30min", "tick: 0s"), "fridge.yaml:2: profile: tick must be longer than nothing"),
        (("profile: fridge", "profile: My Fridge"), "fridge.yaml:2: profile: 'My Fridge' is not a name"),
        (("silence_after: 6h", ""), "silence_after: Field required"),
        (
            ("silence_after: 6h", "silence_after: 6h\nsilence_before: 6h"),
            "silence_before: Extra inputs are not permitted",
        ),
        (("silence_after: 6h", "silence_after: 6h\ntick: 5min"), "fridge.yaml:7: tick: stands twice"),
        (
            ("{fan_speed: low}", "{fan_sped: low}"),
            "failure_modes.fan_degradation.symptoms: no signal 'fan_sped'; there is cabinet_temp",
        ),
        (
            ("{fan_speed: low}", "{fan_speed: lower}"),
            "failure_modes.fan_degradation.symptoms.fan_speed: Input should be",
        ),
        (
            ("signal: freezer_temp, high: -6", "signal: freezer_temp"),
            "detectors.limits.0: give either high or low or rate",
        ),
        (
            ("failure_mode: refrigerant_leak}", "failure_mode: leak}"),
            "detectors.limits.0.failure_mode: no failure mode 'leak'",
        ),
        (
            ("symptoms: {fan_speed: low}", "symptoms: {fan_speed: low}\n    codes: [E17]"),
            "failure_modes.fan_degradation.codes: nothing looks at them: write `counters: {}`",
        ),
        (("components:", "components: ["), "not YAML"),
    ],
)
def test_an_error_names_file_line_and_field(change: tuple[str, str], where: str) -> None:
    assert change[0] in FRIDGE
    with pytest.raises(InvalidProfile) as caught:
        parse(FRIDGE.replace(*change, 1), "fridge.yaml")
    assert where in str(caught.value)
    assert str(caught.value).startswith("fridge.yaml:")


@pytest.mark.parametrize("text", ["", "- a", "just words", "\x00"])
def test_what_is_no_profile_at_all(text: str) -> None:
    with pytest.raises(InvalidProfile):
        parse(text, "x.yaml")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidProfile, match="cannot be read"):
        load(tmp_path / "none.yaml")


def test_signals_and_components_alone_are_enough() -> None:
    profile = parse(
        """
profile: pump
title: Pump
tick: 1min
silence_after: 1h
signals: {flow: {title: Flow, unit: l/s, range: [0, 10], interval: 10s, component: rotor}}
components: {rotor: {title: Rotor}}
""",
        "pump.yaml",
    )
    assert profile.detectors.baseline is not None
    assert profile.tick == timedelta(minutes=1)


def test_ones_own_folder_adds_and_replaces(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(FRIDGE.replace("tick: 30min", "tick: 1h"))
    profiles = Profiles(tmp_path)
    assert profiles["fridge"].tick == timedelta(hours=1)
    assert "air_compressor" in profiles
    with pytest.raises(NotFound, match="no device profile 'toaster'"):
        profiles["toaster"]


def test_the_same_name_twice_in_one_folder(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(FRIDGE)
    (tmp_path / "b.yaml").write_text(FRIDGE)
    with pytest.raises(InvalidProfile, match=r"b\.yaml:1: profile: 'fridge' stands in .*a\.yaml too"):
        Profiles(tmp_path)


def test_a_profile_that_is_gone_is_none_where_one_asks_so() -> None:
    assert Profiles().get("gone") is None
    with pytest.raises(NotFound):
        Profiles()["gone"]
