"""The benchmark of rhythms: each kind of fleet is made and judged."""

import pytest

from benchmarks import fleets, rhythms


@pytest.mark.parametrize("kind", rhythms.KINDS)
def test_each_kind_is_judged(kind: str) -> None:
    draw = rhythms.KINDS[kind]
    recording, labels = rhythms.fleet(draw, 120, devices=4, failing=2, days=60, seed=3, healthy=30)
    assert fleets.judged(rhythms.profile_of(120), recording, labels).failures == 2
    day = recording.values[recording.device == 3][:12, 0]
    assert (day.max() - day.min() > 15) == (kind != "none")
