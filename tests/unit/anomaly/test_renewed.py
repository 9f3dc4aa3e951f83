"""The self-baseline after a part was replaced: what the new one is like is no fault, what the old one had may be one still."""

import numpy as np
import pytest

from anomaly.finding import Change
from anomaly.judge import Judge
from core.profile import parse
from telemetry.window import Floats, Marks, Window

HOUR = 3_600_000_000
PUMP = """
profile: pump
title: Pump
tick: 1h
silence_after: 1d
signals:
  hum: {title: Hum, unit: m/s2, range: [0, 1000], interval: 1h, component: rotor}
  flow: {title: Flow, unit: m3/s, range: [0, 1000], interval: 1h, component: wheel}
components: {rotor: {title: Rotor}, wheel: {title: Wheel}}
detectors: {baseline: {}}
"""
WEAR = PUMP + "failure_modes:\n  wear: {title: Wear, component: rotor, symptoms: {hum: high}}\n"
DAYS, REPLACED = 60, 30 * 24


def quiet() -> Floats:
    """[T, 2] the hum and the flow of a healthy pump."""
    return 100 + np.random.default_rng(1).normal(0, 1, (DAYS * 24, 2))


def told(values: Floats, replaced: str = "", text: str = PUMP, at: int = REPLACED) -> list[tuple[str, str, int]]:
    """What opened and closed of which component, and on which day, where a component is replaced at an hour."""
    profile = parse(text, "pump.yaml")
    one = np.zeros(1, dtype=np.int64)
    marks = Marks(names=(replaced,), at=one + at, device=one, what=one) if replaced else Marks()
    window = Window(
        devices=one,
        signals=tuple(profile.signals),
        times=np.arange(len(values)) * HOUR,
        values=values[:, None, :],
        replaced=marks,
    )
    judge = Judge(profile)
    changes = [c for c in judge.run(window, judge.fresh(1)) if c.change is not Change.EXTENDED]
    return [(str(c.change), c.component, int(c.at.timestamp() // 86400)) for c in changes]


@pytest.mark.parametrize("step", [12.0, -12.0, 300.0])
def test_a_new_part_that_is_different_is_no_fault(step: float) -> None:
    values = quiet()
    values[REPLACED:, 0] += step
    assert told(values, "rotor") == []
    assert told(values)[0][:2] == ("opened", "rotor")
    # What was replaced is another part than the one that is different now.
    assert told(values, "wheel") == told(values)


@pytest.mark.parametrize("step", [0.8, 1.0, -0.9])
def test_a_new_part_is_no_fault_where_a_low_threshold_tells_of_what_is_still_learnt(step: float) -> None:
    low = PUMP.replace("{baseline: {}}", "{baseline: {threshold: 2}}")
    values = quiet()
    values[REPLACED:, 0] += step

    def after(replaced: str) -> list[str]:
        return [change for change, component, day in told(values, replaced, low) if component == "rotor" and day >= 30]

    assert after("rotor") == []
    assert after("") == ["opened", "closed"]


def test_its_own_wear_is_told_against_its_own_normal() -> None:
    values = quiet()
    values[REPLACED:, 0] -= 20
    values[45 * 24 :, 0] += np.linspace(0, 20, 15 * 24)
    (opened,) = told(values, "rotor")
    assert opened[:2] == ("opened", "rotor")
    # It is not yet where the old part was.
    assert 45 < opened[2] < 59


def test_a_repair_that_helps_ends_the_finding_and_one_that_does_not_leaves_it() -> None:
    worn = quiet()
    worn[25 * 24 :, 0] += 12
    helped = worn.copy()
    helped[REPLACED:, 0] -= 12
    assert told(helped, "rotor") == [("opened", "rotor", 25), ("closed", "rotor", 30)]
    # Nothing changed: it was not that part, and nobody takes the fault for a new normal because somebody was there.
    assert told(worn, "rotor") == told(worn)


def test_a_worn_part_whose_successor_lies_on_the_other_side_is_over() -> None:
    values = quiet()
    values[25 * 24 : REPLACED, 0] += 12
    values[REPLACED:, 0] -= 12
    opened, closed = told(values, "rotor")
    assert (opened[0], closed[0]) == ("opened", "closed")
    assert closed[2] < 36


def test_what_a_new_part_is_like_in_a_way_that_is_no_symptom_changes_nothing() -> None:
    values = quiet()
    values[REPLACED:, 0] -= 12
    assert told(values, "rotor", WEAR) == told(values, "", WEAR) == []
