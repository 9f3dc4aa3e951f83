"""Signals with a rhythm of the day: what is told of them, what a holiday is, when it is learnt anew."""

from collections.abc import Callable

import numpy as np
import pytest

from anomaly.detector import Columns, fresh
from anomaly.detectors.baseline import Baseline
from anomaly.finding import Change, FindingChange
from anomaly.judge import Judge
from core.profile import Profile, parse
from telemetry.window import Bools, Floats, Window

HOUR = 3_600_000_000
MONDAY = 4 * 24
"""Hours since the epoch at which a week begins."""
OVEN = """
profile: oven
title: Oven
tick: 1h
silence_after: 1d
signals: {heat: {title: Heat, unit: Cel, range: [0, 500], interval: 1h, component: burner}}
components: {burner: {title: Burner}}
"""


def profile(text: str = OVEN) -> Profile:
    return parse(text, "oven.yaml")


def hours(days: int) -> Floats:
    """Of so many days from a Monday on."""
    return np.arange(days * 24, dtype=float)


def at_work(hour: Floats, *, weekends: bool = True) -> Bools:
    """From 8 to 17 o'clock, each day or from Monday to Friday."""
    found: Bools = (hour % 24 >= 8) & (hour % 24 < 17) & (weekends | (hour // 24 % 7 < 5))
    return found


def heat(works: Bools, seed: int = 1) -> Floats:
    """Ten degrees more while it works than while not, and as much less else, give or take one."""
    return 200 + np.where(works, 10.0, -10.0) + np.random.default_rng(seed).normal(0, 1, len(works))


def window(values: Floats) -> Window:
    times = (MONDAY + np.arange(len(values))) * HOUR
    return Window(devices=np.array([1]), signals=("heat",), times=times, values=values[:, None, None])


def opened(values: Floats, kind: Profile | None = None) -> list[FindingChange]:
    judge = Judge(kind or profile())
    return [c for c in judge.run(window(values), judge.fresh(1)) if c.change is Change.OPENED]


def day_of(finding: FindingChange) -> float:
    """Days since the first value."""
    return (finding.at.timestamp() / 3600 - MONDAY) / 24


def followed(values: Floats, look: Callable[[int, Columns], None] = lambda *_: None) -> Columns:
    """The state of the detector alone after so many values; `look` sees it after each."""
    detector = Baseline(profile())
    state = fresh(detector.layout, 1)
    for at, tick in enumerate(window(values).ticks()):
        scores = detector.score(tick, state)
        detector.learn(tick, state, scores >= 1)
        look(at, state)
    return state


@pytest.mark.parametrize("up", [True, False])
@pytest.mark.parametrize("weekends", [True, False])
def test_a_fault_far_within_the_days_swing_is_told(*, up: bool, weekends: bool) -> None:
    works = at_work(hours(50), weekends=weekends)
    assert opened(heat(works)) == []
    faulty = heat(works)
    faulty[40 * 24 :] += np.linspace(0, 5 if up else -5, 10 * 24)
    (finding, *_) = opened(faulty)
    assert 40 < day_of(finding) < 48
    assert finding.component == "burner"
    (evidence,) = finding.evidence
    assert evidence.direction == ("high" if up else "low")
    # The band is that of the hour, not of the day.
    assert evidence.hourly
    assert "at that hour" in finding.because
    assert evidence.normal_low is not None
    assert evidence.normal_high is not None
    assert evidence.normal_high - evidence.normal_low < 8
    assert abs((evidence.normal_low + evidence.normal_high) / 2 - 200) > 5


def test_holidays_and_vacations_are_no_fault() -> None:
    works = at_work(hours(90), weekends=False)
    for first, days in ((30, 1), (37, 1), (45, 14), (70, 2)):
        works[first * 24 : (first + days) * 24] = False
    # And a Saturday is worked.
    works[82 * 24 + 8 : 82 * 24 + 17] = True
    assert opened(heat(works)) == []


def test_what_the_day_never_brings_is_told_at_once() -> None:
    values = heat(at_work(hours(40)))
    values[38 * 24 :] += 30
    (finding, *_) = opened(values)
    assert 38 < day_of(finding) < 38.6


def test_weekends_are_told_apart_where_they_differ() -> None:
    for weekends in (True, False):
        state = followed(heat(at_work(hours(28), weekends=weekends)))
        assert (state["rhythmic"][0, 0], state["apart"][0, 0]) == (1.0, float(not weekends))


@pytest.mark.parametrize("seed", range(6))
def test_what_has_no_rhythm_gets_none(seed: int) -> None:
    random = np.random.default_rng(seed)
    ever: list[float] = []
    # What wanders is like yesterday, too.
    wanders = 200 + np.convolve(random.normal(0, 1, 60 * 24 + 99), np.full(100, 0.1), mode="valid")
    for values in (200 + random.normal(0, 1, 60 * 24), wanders):
        followed(values, lambda _, state: ever.append(state["rhythmic"][0, 0]))
    assert max(ever) == 0.0


def test_another_rhythm_is_learnt_after_some_weeks() -> None:
    works = at_work(hours(100))
    works[40 * 24 :] = at_work(hours(60) + 9)
    known: list[float] = []
    state = followed(heat(works), lambda _, state: known.append(state["rhythmic"][0, 0]))
    assert known[40 * 24 - 1] == 1.0
    assert min(known[40 * 24 :]) == 0.0
    assert known[-1] == 1.0
    # From 23 to 8 o'clock it works now.
    adds = state["hours"][0, :, :, 0]
    assert (adds[:, 0:7] > adds[:, 10:20].max()).all()


def test_a_level_that_moved_is_no_rhythm() -> None:
    values = heat(at_work(hours(60)))
    values[30 * 24 :] += 1.0
    state = followed(values)
    swing = state["highest"] - state["lowest"]
    assert swing[0, 0] == pytest.approx(20, abs=2)
    assert state["highest"][0, 0] + state["lowest"][0, 0] == pytest.approx(0, abs=6)


def test_an_hour_that_was_never_seen_is_not_judged() -> None:
    values = heat(at_work(hours(40)))
    values[hours(40) % 24 >= 22] = np.nan
    # One night it speaks, of what no hour ever brought.
    values[38 * 24 + 22 : 38 * 24 + 24] = 260
    assert opened(values) == []


@pytest.mark.parametrize(
    ("tick", "section"),
    [("8h", ""), ("1min", "detectors: {baseline: {memory: 2d}}"), ("1min", "detectors: {baseline: {smooth: 2h}}")],
)
def test_a_tick_too_long_and_a_memory_too_short_know_no_hours(tick: str, section: str) -> None:
    assert "hours" not in Baseline(profile(OVEN.replace("tick: 1h", f"tick: {tick}") + section)).layout
