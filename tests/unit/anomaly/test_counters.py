"""Counters that stand still: what counts where it hardly ever did is told, what counts as usual is not."""

from dataclasses import replace

import numpy as np
import pytest

from anomaly import detectors
from anomaly.detector import fresh
from anomaly.detectors.counters import Counters
from anomaly.finding import Change, FindingChange
from anomaly.judge import Judge, State
from core.profile import Profile, parse
from telemetry.window import Floats, Marks, Window

HOUR = 3_600_000_000
DAY = 24
TEXT = """
profile: disk
title: Disk
tick: 1h
silence_after: 1d
signals:
  retries: {title: Retries, unit: count, range: [0, 100000], interval: 1h, component: head}
  resets: {title: Resets, unit: count, range: [0, 100000], interval: 1h, component: head}
  heat: {title: Heat, unit: Cel, range: [0, 100], interval: 1h, component: motor}
components: {head: {title: Head}, motor: {title: Motor}}
"""
DEVICES, DAYS = 40, 60
MONTHS = DEVICES * DAYS / 30


def disk(more: str = "") -> Profile:
    return parse(TEXT + more, "disk.yaml")


def quiet(*rates: float, seed: int = 1) -> Floats:
    """[T, D, 3] counters that count by chance so many times a day, and a heat that wanders about."""
    random = np.random.default_rng(seed)
    counters = [random.poisson(rate / DAY, (DAYS * DAY, DEVICES)).cumsum(axis=0) for rate in rates]
    return np.stack([*counters, random.normal(40, 1, (DAYS * DAY, DEVICES))], axis=2).astype(float)


def window_of(values: Floats, first: int = 0, replaced: Marks | None = None) -> Window:
    return Window(
        devices=np.arange(values.shape[1]),
        signals=("retries", "resets", "heat"),
        times=(first + np.arange(len(values))) * HOUR,
        values=values,
        replaced=replaced or Marks(),
    )


def judged(
    values: Floats, profile: Profile | None = None, *, state: State | None = None, first: int = 0
) -> tuple[list[FindingChange], State]:
    judge = Judge(profile or disk())
    own = state or judge.fresh(values.shape[1])
    changes = judge.run(window_of(values, first), own)
    return [c for c in changes if c.change is not Change.EXTENDED], own


def opened(values: Floats, profile: Profile | None = None) -> list[tuple[int, str, int]]:
    """Device, component and day of what opened."""
    changes, _ = judged(values, profile)
    return [(c.device, c.component, int(c.at.timestamp() // 86400)) for c in changes if c.change is Change.OPENED]


def failing(values: Floats, device: int = 0, day: int = 50, a_day: float = 4.0) -> Floats:
    """The first counter of a device counts so much more from a day on."""
    more = np.zeros(len(values))
    more[day * DAY :] = np.random.default_rng(5).poisson(a_day / DAY, len(values) - day * DAY).cumsum()
    result = values.copy()
    result[:, device, 0] += more
    return result


@pytest.mark.parametrize("a_day", [0.0, 1 / 30, 1 / 7])
def test_a_counter_that_counts_more_often_is_told_within_days_and_no_other(a_day: float) -> None:
    found = opened(failing(quiet(a_day, a_day)))
    assert 50 <= min(day for device, component, day in found if (device, component) == (0, "head")) <= 53
    assert sum(device != 0 for device, _, _ in found) <= MONTHS * disk().false_alarms


def test_the_sooner_the_more_seldom_it_counted() -> None:
    found = []
    for a_day in (0.0, 1 / 30, 1.0):
        changes, _ = judged(failing(quiet(a_day, a_day), a_day=12.0))
        found.append(next(c.at for c in changes if c.device == 0))
    assert found == sorted(found)
    assert found[0] < found[2]


@pytest.mark.parametrize("a_day", [1 / 30, 1 / 7, 1.0, 3.0])
def test_what_counts_by_chance_costs_less_than_the_budget(a_day: float) -> None:
    values = quiet(a_day, a_day, seed=2)
    assert len(opened(values)) <= MONTHS * disk().false_alarms


def test_two_counters_that_count_a_little_tell_what_one_does_not() -> None:
    values = quiet(0.0, 0.0)
    one, both = values.copy(), values.copy()
    daily = (np.arange(10 * DAY) // DAY)[:, None]
    one[10 * DAY : 20 * DAY, 0, :1] += daily
    both[10 * DAY : 20 * DAY, 0, :2] += daily
    assert opened(one[: 20 * DAY]) == []
    assert [(device, component) for device, component, _ in opened(both[: 20 * DAY])] == [(0, "head")]


def test_the_finding_tells_where_it_stood_and_where_it_stands() -> None:
    values = quiet(0.0, 0.0)
    values[:, :, 0] = 7.0
    values[50 * DAY :, 3, 0] += 1.0 + np.arange(10 * DAY)
    change = judged(values)[0][0]
    (evidence,) = change.evidence
    assert (evidence.signal, evidence.normal_low, evidence.normal_high) == ("retries", 7.0, 7.0)
    assert evidence.seen > 7.0
    assert evidence.direction == "high"
    assert f"Retries {evidence.seen:.0f} (normal 7)" in change.because


def test_a_new_part_counts_from_wherever_it_stands() -> None:
    values = quiet(0.0, 0.0)
    values[50 * DAY :, 3, 0] = 900.0
    one = np.zeros(1, dtype=np.int64)
    marks = Marks(names=("head",), at=one + 50 * DAY, device=one + 3, what=one)
    judge = Judge(disk())
    changes = judge.run(window_of(values, replaced=marks), judge.fresh(DEVICES))
    assert changes == []


def test_a_repair_ends_the_finding() -> None:
    values = failing(quiet(0.0, 0.0), a_day=24.0)
    values[52 * DAY :, 0, 0] = 0.0
    one = np.zeros(1, dtype=np.int64)
    marks = Marks(names=("head",), at=one + 52 * DAY, device=one, what=one)
    judge = Judge(disk())
    changes = judge.run(window_of(values, replaced=marks), judge.fresh(DEVICES))
    assert [(c.change, int(c.at.timestamp() // 86400)) for c in changes if c.change is not Change.EXTENDED] == [
        (Change.OPENED, 50),
        (Change.CLOSED, 55),
    ]


def test_a_device_that_is_judged_again_alone_is_still_held_against_its_fleet() -> None:
    values = failing(quiet(1 / 30, 1 / 30), day=8)
    profile = disk()
    _, state = judged(values[: 8 * DAY], profile)
    alone = state.take(np.array([0]))
    together, _ = judged(values[8 * DAY :], profile, state=state, first=8 * DAY)
    again, _ = judged(values[8 * DAY :, :1], profile, state=alone, first=8 * DAY)
    # Nobody knew this device for long: of a fleet of itself nothing could be said so soon.
    new, _ = judged(values[7 * DAY : 14 * DAY, :1], profile, first=7 * DAY)
    assert [(c.device, c.at) for c in together][:1] == [(c.device, c.at) for c in again][:1]
    assert again[0].at.timestamp() < 14 * 86400
    assert new == [] or new[0].at > again[0].at


def test_what_rises_and_falls_is_no_counter_and_left_to_the_others() -> None:
    values = quiet(0.0, 0.0)
    values[:, :, 0] = np.random.default_rng(3).poisson(20, values.shape[:2])
    assert opened(values) == []
    values[50 * DAY :, 0, 0] += 40
    (change,) = judged(values)[0][:1]
    assert (change.device, change.detector) == (0, "baseline")


def test_a_counter_is_no_level_that_leaves_its_band() -> None:
    """One that counts all the time is ever higher than it was, and a step of a thousand is one count."""
    values = quiet(300.0, 0.0)
    values[10 * DAY :, 5, 1] += 1000.0
    assert opened(values) == []
    baseline = disk("detectors: {baseline: {}}")
    assert len(opened(values, baseline)) > 0


def test_a_limit_still_sees_it() -> None:
    limit = """
failure_modes: {crash: {title: Crash, component: head}}
detectors: {counters: {}, limits: [{signal: retries, high: 500, failure_mode: crash}]}
"""
    values = quiet(0.0, 0.0)
    values[30 * DAY :, 5, 0] = 1000.0
    assert opened(values, disk(limit)) == [(5, "head", 30)]


def test_a_failure_mode_is_told_by_the_counters_among_its_symptoms() -> None:
    described = """
failure_modes:
  crash: {title: Crash, component: head, symptoms: {retries: high, heat: high}}
  wear: {title: Wear, component: motor, symptoms: {resets: low}}
"""
    changes, _ = judged(failing(quiet(0.0, 0.0)), disk(described))
    assert {(c.device, c.failure_mode) for c in changes} == {(0, "crash")}


def test_a_profile_without_counters_is_not_judged_by_it() -> None:
    plain = parse(TEXT.replace("unit: count", "unit: W"), "disk.yaml")
    assert plain.detectors.counters is not None
    assert Counters.name not in [d.name for d in detectors.of(plain)]


def test_a_gap_is_no_count_and_what_was_counted_meanwhile_is_one() -> None:
    counters = Counters(disk())
    state = fresh(counters.layout, DEVICES)
    values = quiet(0.0, 0.0)[: 20 * DAY]
    values[10 * DAY : 11 * DAY, 0] = np.nan
    values[11 * DAY :, 0, 0] = 50.0
    for tick in window_of(values).ticks():
        score = counters.score(tick, state)
        counters.learn(tick, state, score >= 1.0)
    assert state["times"][0].sum() == pytest.approx(1, abs=0.05)
    assert state["times"][1:].sum() == 0


CODED = """
failure_modes:
  crash: {title: Crash, component: head, codes: [E17, E18]}
  jam: {title: Jam, component: motor, symptoms: {heat: high}, codes: [E30]}
"""


def coded(codes: list[tuple[int, float, str]], *, replaced: tuple[int, int] | None = None) -> list[FindingChange]:
    """What opens and closes where codes, each of a device at an hour, come while nothing is counted."""
    profile = disk(CODED)
    names = ("E17", "E18", "E30", "E99")
    rows = sorted((int(hour), device, names.index(code)) for device, hour, code in codes)
    at, device, what = (np.array(column, dtype=np.int64) for column in zip(*rows, strict=True))
    marks = Marks(names=names, at=at, device=device, what=what)
    found = replace(window_of(quiet(0.0, 0.0)), events=marks)
    if replaced is not None:
        own, hour = (np.array([x], dtype=np.int64) for x in replaced)
        found = replace(found, replaced=Marks(names=("head",), at=hour, device=own, what=np.zeros(1, dtype=np.int64)))
    judge = Judge(profile)
    return [c for c in judge.run(found, judge.fresh(DEVICES)) if c.change is not Change.EXTENDED]


def chatter(code: str, a_day: float, seed: int = 4) -> list[tuple[int, float, str]]:
    """A code that all devices send now and then."""
    random = np.random.default_rng(seed)
    times = [random.uniform(0, DAYS * DAY, random.poisson(a_day * DAYS)) for _ in range(DEVICES)]
    return [(device, float(hour), code) for device, hours in enumerate(times) for hour in hours]


def test_codes_of_a_failure_mode_that_come_more_often_are_told_by_its_name() -> None:
    every = [(5, 50.0 * DAY + 7 * n, "E17") for n in range(6)]
    opened = next(c for c in coded(chatter("E17", 1 / 30) + every) if c.device == 5 and c.at.timestamp() >= 50 * 86400)
    assert (opened.component, opened.failure_mode, opened.detector) == ("head", "crash", "counters")
    assert opened.at.timestamp() / 86400 < 51.5
    (evidence,) = opened.evidence
    assert (evidence.signal, evidence.normal_high) == ("E17", 0.0)
    assert f"error code E17 lately {evidence.seen:.2f} times (normal 0.00 times)" in opened.because


def test_several_codes_of_one_failure_mode_tell_together() -> None:
    one = [(5, 50.0 * DAY + 9 * n, "E17") for n in range(2)]
    both = one + [(5, 50.0 * DAY + 9 * n + 4, "E18") for n in range(2)]
    often = chatter("E17", 1 / 60) + chatter("E18", 1 / 60, seed=5)
    assert [c for c in coded(often + one) if c.device == 5 and c.at.timestamp() >= 50 * 86400] == []
    opened, *_ = [c for c in coded(often + both) if c.device == 5 and c.at.timestamp() >= 50 * 86400]
    assert opened.failure_mode == "crash"
    assert {e.signal for e in opened.evidence} == {"E17", "E18"}


def test_codes_that_come_as_usual_and_codes_of_no_failure_mode_are_no_news() -> None:
    usual = coded(chatter("E17", 1.0) + chatter("E30", 1 / 7))
    assert sum(c.change is Change.OPENED for c in usual) <= MONTHS * disk().false_alarms
    assert coded([(5, 50.0 * DAY + n, "E99") for n in range(20)]) == []


def test_codes_of_a_part_that_was_replaced_are_forgotten() -> None:
    codes = chatter("E17", 1 / 30) + [(5, 50.0 * DAY + 3 * n, "E17") for n in range(8)]

    def over(replaced: tuple[int, int] | None) -> list[int]:
        changes = coded(codes, replaced=replaced)
        return [int(c.at.timestamp() // 86400) for c in changes if c.device == 5 and c.change is Change.CLOSED]

    assert over((5, 51 * DAY)) == [54]
    assert over(None) != [54]


def test_a_faulty_sensor_says_nothing_against_a_code() -> None:
    """What stands on a faulty sensor waits; a code stands on none, also of a failure mode that the sensor's signal shows."""
    text = CODED.replace(
        "failure_modes:", "detectors: {counters: {}, sensors: {warm_up: 2d, noise: 2}}\nfailure_modes:"
    )
    values = quiet(0.0, 0.0)
    # Heat jumps about while the code comes.
    values[49 * DAY :, 5, 2] += 30 * (-1.0) ** np.arange(len(values) - 49 * DAY)
    hours = np.arange(50 * DAY, 50 * DAY + 60, 3)
    both = np.arange(len(hours)) % 2
    marks = Marks(names=("E17", "E30"), at=hours, device=np.full(len(hours), 5), what=both)
    judge = Judge(disk(text))
    changes = judge.run(replace(window_of(values), events=marks), judge.fresh(DEVICES))
    told = {(c.device, c.component, c.failure_mode) for c in changes if c.change is Change.OPENED}
    assert told == {(5, "sensors", "heat_sensor"), (5, "head", "crash"), (5, "motor", "jam")}


def test_a_busy_counter_is_told_by_how_many_an_hour() -> None:
    values = quiet(240.0, 0.0)
    assert opened(values) == []
    faster = values.copy()
    faster[50 * DAY :, 4, 0] += np.random.default_rng(8).poisson(8.0, 10 * DAY).cumsum()
    # Set back to zero, and not heard for two days: that is no change of how fast it counts.
    faster[30 * DAY :, 7, 0] -= faster[30 * DAY, 7, 0]
    faster[40 * DAY : 42 * DAY, 9] = np.nan
    changes, _ = judged(faster)
    assert {(c.device, c.component, c.detector) for c in changes} == {(4, "head", "baseline")}
    assert changes[0].at.timestamp() < 52 * 86400
    (evidence,) = changes[0].evidence
    assert (evidence.signal, evidence.unit, evidence.direction) == ("retries", "count/h", "high")
    assert evidence.normal_low is not None
    assert evidence.normal_high is not None
    assert evidence.normal_low < 10 < evidence.normal_high < evidence.seen < 20
    assert "/h" in changes[0].because
