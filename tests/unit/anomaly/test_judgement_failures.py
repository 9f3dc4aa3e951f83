"""Alarms against failures on hand-made cases whose answers are known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomaly.judgement import failures
from anomaly.judgement.alarms import FACTORS, Alarms, Exposure, Part
from anomaly.judgement.failures import Failures, Row, Verdict
from telemetry.window import Window

HOUR = 3_600_000_000
DAY = 24 * HOUR
LEAD, HORIZON = 12 * HOUR, 48 * HOUR


def alarms(*rows: tuple[int, int, float], length: float = 1, score: float = 1.0) -> Alarms:
    """Alarms of (device, component, start in hours)."""
    return Alarms.of([(d, c, round(h * HOUR), round((h + length) * HOUR), score, 0) for d, c, h in rows])


def broken(*rows: tuple[int, int, float]) -> Failures:
    """Failures of (device, component, time in hours)."""
    table = np.array([(d, c, round(h * HOUR)) for d, c, h in rows], dtype=np.int64).reshape(len(rows), 3)
    size = len(rows)
    return Failures(device=table[:, 0], component=table[:, 1], time=table[:, 2], horizon=np.full(size, HORIZON))


def whole(devices: int) -> Part:
    return Part(
        devices=np.ones(devices, dtype=bool),
        since=np.zeros(devices, dtype=np.int64),
        until=np.full(devices, 10**18, dtype=np.int64),
    )


def judged(found: Alarms, failed: Failures, devices: int = 3) -> Row:
    tally = failures.tally(found, failed, LEAD, whole(devices), np.ones(len(failed), dtype=bool))
    failing = np.isin(np.arange(devices), failed.device)
    months = np.ones(devices)
    return failures.row([(tally, np.ones(devices, dtype=bool))], months, failing, budget=0.5, lead_hours=12, factor=1.0)


@pytest.mark.parametrize(
    ("start", "component", "verdict", "lead"),
    [
        (51.9, 0, Verdict.FALSE, -1),  # 48.1 h before: too early
        (52, 0, Verdict.HIT, 48),
        (70, 0, Verdict.HIT, 30),
        (88, 0, Verdict.HIT, 12),
        (88.1, 0, Verdict.LATE, -1),  # 11.9 h before: too late
        (100, 0, Verdict.LATE, -1),
        (100.1, 0, Verdict.FALSE, -1),  # after it
        (70, 1, Verdict.WRONG_COMPONENT, -1),
    ],
)
def test_an_alarm_foresees_a_failure_only_between_horizon_and_lead(
    start: float, component: int, verdict: Verdict, lead: float
) -> None:
    matched = failures.match(alarms((0, component, start)), broken((0, 0, 100)), LEAD)
    assert matched.verdict.tolist() == [verdict]
    assert matched.lead.tolist() == [lead * HOUR if lead > 0 else -1]


def test_another_device_foresees_nothing() -> None:
    matched = failures.match(alarms((1, 0, 70)), broken((0, 0, 100)), LEAD)
    assert matched.verdict.tolist() == [Verdict.FALSE]
    assert matched.healthy.tolist() == [True]


def test_false_alarms_near_a_failure_are_no_healthy_time() -> None:
    failed = broken((0, 0, 100))
    found = alarms((0, 1, 70), (0, 1, 110), (0, 1, 130), (0, 0, 10))
    assert failures.match(found, failed, LEAD, settle=24 * HOUR).healthy.tolist() == [False, False, True, True]


def test_the_first_alarm_in_time_tells_the_component() -> None:
    failed = broken((0, 0, 100))
    assert failures.match(alarms((0, 1, 60), (0, 0, 70)), failed, LEAD).right.tolist() == [0]
    assert failures.match(alarms((0, 1, 80), (0, 0, 70)), failed, LEAD).right.tolist() == [1]
    assert failures.match(alarms(), failed, LEAD).right.tolist() == [-1]
    # Two that open together: the stronger one is what a person reads.
    both = Alarms.of([(0, 1, 60 * HOUR, 61 * HOUR, 1.0, 0), (0, 0, 60 * HOUR, 61 * HOUR, 2.0, 0)])
    assert failures.match(both, failed, LEAD).right.tolist() == [1]


def test_of_two_components_that_fail_together_either_is_right() -> None:
    matched = failures.match(alarms((0, 1, 70)), broken((0, 0, 100), (0, 1, 100)), LEAD)
    assert matched.right.tolist() == [1, 1]
    assert matched.verdict.tolist() == [Verdict.HIT]
    assert (matched.lead >= 0).tolist() == [False, True]


def test_a_row_of_figures() -> None:
    failed = broken((0, 0, 100), (1, 1, 100), (1, 0, 300))
    found = alarms((0, 0, 60), (0, 0, 85), (1, 1, 90), (1, 1, 280), (2, 0, 50))
    row = judged(found, failed)
    assert (row.failures, row.foreseen, row.false, row.late) == (3, 1, 2, 1)
    assert row.recall == pytest.approx(1 / 3)
    assert row.precision == pytest.approx(2 / 4)
    assert row.false_per_device_month == pytest.approx(2 / 3)
    assert row.lead_median_hours == pytest.approx(40)
    # Of two failures something was said in time, once about the wrong component.
    assert row.component_right == pytest.approx(0.5)
    assert row.healthy_flagged == pytest.approx(1.0)
    assert row.too_early == 0.0
    assert row.recall is not None
    assert row.recall_low is not None
    assert row.recall_high is not None
    assert row.recall_low <= row.recall <= row.recall_high


def test_too_early_counts_since_the_failure_before() -> None:
    assert judged(alarms((0, 0, 10)), broken((0, 0, 100))).too_early == 1.0
    assert judged(alarms((0, 0, 45)), broken((0, 0, 50), (0, 0, 200))).too_early == 0.0


def test_without_alarms_nothing_is_claimed() -> None:
    row = judged(alarms(), broken((0, 0, 100)))
    assert (row.recall, row.precision, row.lead_median_hours, row.component_right) == (0.0, None, None, None)
    assert (row.recall_low, row.recall_high) == (0.0, 0.0)
    assert judged(alarms((0, 0, 5)), broken()).recall is None


def test_only_what_lies_in_the_part_counts() -> None:
    part = Part(devices=np.array([True, False]), since=np.array([50 * HOUR, 0]), until=np.array([200 * HOUR, 10**18]))
    failed = broken((0, 0, 100), (0, 0, 300), (1, 0, 100))
    found = alarms((0, 0, 40), (0, 0, 70), (1, 0, 70), (1, 1, 70))
    tally = failures.tally(found, failed, LEAD, part, np.ones(3, dtype=bool))
    assert tally.failures.tolist() == [1, 0]
    assert tally.foreseen.tolist() == [1, 0]
    assert tally.false.tolist() == [0, 0]
    assert tally.hits.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("rates", "budget", "chosen"),
    [
        ([9, 4, 2, 1, 0], 2, 2),
        ([9, 4, 2, 1, 0], 0.5, 4),
        ([1, 9, 4, 1, 0], 2, 3),  # one endless episode at the lowest threshold is not cheap
        ([9, 4, 3], 2, None),
        ([0, 0, 0], 0, 0),
    ],
)
def test_the_threshold_is_the_lowest_whose_cost_and_that_of_all_higher_ones_is_in_the_budget(
    rates: list[float], budget: float, chosen: int | None
) -> None:
    assert failures.threshold(rates, budget) == chosen


@pytest.mark.parametrize(
    ("foreseen", "chosen"),
    [
        ([400, 300, 300, 300, 290, 0], 3),  # no threshold is lower than the failures need
        ([400, 300, 299, 297, 296, 0], 3),  # all but one in a hundred of the most that is within the budget
        ([400, 290, 300, 290, 290, 0], 2),
        ([40, 30, 30, 30, 29, 0], 1),  # of few failures the next may be weaker than all of them
        ([40, 28, 30, 30, 29, 0], 2),  # an alarm that came too early foresees nothing
        ([40, 0, 0, 0, 0, 0], 1),
    ],
)
def test_where_failures_are_known_no_threshold_is_lower_than_foreseeing_them_needs(
    foreseen: list[int], chosen: int
) -> None:
    assert failures.threshold([9, 4, 2, 1, 0, 0], 4, foreseen) == chosen
    assert failures.threshold([9, 9, 9, 9, 9, 9], 4, foreseen) is None


def test_the_bootstrap_knows_how_little_a_few_devices_say() -> None:
    few = failures.interval(np.array([1, 0]), np.array([1, 1]))
    many = failures.interval(np.array([1, 0] * 500), np.array([1, 1] * 500))
    assert few == (0.0, 1.0)
    assert many[0] == pytest.approx(0.47, abs=0.01)
    assert many[1] == pytest.approx(0.53, abs=0.01)
    # Devices that never fail change nothing.
    padded = failures.interval(np.array([1, 0] * 500 + [0] * 4000), np.array([1, 1] * 500 + [0] * 4000))
    assert padded[0] == pytest.approx(many[0], abs=0.02)
    assert failures.interval(np.array([0]), np.array([0])) == (None, None)


def test_episodes_within_the_cooldown_are_one() -> None:
    found = alarms((0, 0, 0), (0, 0, 10), (0, 0, 40), (0, 1, 11), (1, 0, 12), length=2)
    merged = found.merged(24 * HOUR)
    assert list(zip(merged.device, merged.component, merged.start // HOUR, merged.end // HOUR, strict=True)) == [
        (0, 0, 0, 12),
        (0, 0, 40, 42),
        (0, 1, 11, 13),
        (1, 0, 12, 14),
    ]
    inner = Alarms.of(
        [(0, 0, 0, 100 * HOUR, 1.0, 0), (0, 0, 5 * HOUR, 6 * HOUR, 1.0, 0), (0, 0, 90 * HOUR, 91 * HOUR, 1.0, 0)]
    )
    assert inner.merged(0).end.tolist() == [100 * HOUR]


rows = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1), st.integers(0, 400)), max_size=12)


@given(found=rows, cooldown=st.integers(0, 60))
def test_merging_twice_changes_nothing_and_keeps_first_and_last(
    found: list[tuple[int, int, int]], cooldown: int
) -> None:
    once = alarms(*found).merged(cooldown * HOUR)
    twice = once.merged(cooldown * HOUR)
    assert once.start.tolist() == twice.start.tolist()
    assert once.end.tolist() == twice.end.tolist()
    assert set(zip(once.device, once.component, strict=True)) == {(d, c) for d, c, _ in found}
    for device, component in {(d, c) for d, c, _ in found}:
        own = (once.device == device) & (once.component == component)
        times = [h * HOUR for d, c, h in found if (d, c) == (device, component)]
        assert once.start[own].min() == min(times)
        assert once.end[own].max() == max(times) + HOUR


@given(found=rows, failed=st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1), st.integers(50, 400)), max_size=4))
def test_a_false_alarm_more_never_makes_it_look_better(
    found: list[tuple[int, int, int]], failed: list[tuple[int, int, int]]
) -> None:
    before = judged(alarms(*found), broken(*failed))
    # Device 2 never fails.
    after = judged(alarms(*found, (2, 0, 123)), broken(*failed))
    assert after.recall == before.recall
    assert after.false == before.false + 1
    assert (after.precision or 0.0) <= (before.precision if before.precision is not None else 1.0)
    assert after.lead_median_hours == before.lead_median_hours


@given(found=rows, failed=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1), st.integers(50, 400)), max_size=4))
def test_each_alarm_is_counted_once(found: list[tuple[int, int, int]], failed: list[tuple[int, int, int]]) -> None:
    all_of_them = alarms(*found)
    tally = failures.tally(all_of_them, broken(*failed), LEAD, whole(3), np.ones(len(failed), dtype=bool))
    assert (tally.hits + tally.false + tally.late).sum() == len(found)
    assert (tally.foreseen <= tally.failures).all()


def test_exposure_counts_gaps_only_up_to_silence_and_leaves_danger_out() -> None:
    # Device 0 measures for 10 h, is away for 90 h, measures 10 h; device 1 measures only the first 5 h.
    hours = np.array([*range(10), *range(100, 110)])
    values = np.ones((20, 2, 1))
    values[5:, 1] = np.nan
    exposed = Exposure(
        whole(2), [(0, 103 * HOUR, 106 * HOUR), (0, 105 * HOUR, 107 * HOUR)], tick=HOUR, silence=6 * HOUR
    )
    for cut in (slice(0, 7), slice(7, 13), slice(13, 20)):
        exposed.take(Window(devices=np.arange(2), signals=("s",), times=hours[cut] * HOUR, values=values[cut]))
    assert (exposed.heard / HOUR).tolist() == [10 + 6 + 9, 5]
    assert (exposed.danger / HOUR).tolist() == [4, 0]
    assert exposed.months[0] == pytest.approx(25 / 720)
    assert exposed.healthy_months[0] == pytest.approx(21 / 720)


@pytest.mark.parametrize("budget", [0.01, 0.015, 0.02, 0.03, 0.05, 0.08, 0.1])
def test_thresholds_stand_close_enough_to_use_most_of_a_budget(budget: float) -> None:
    # Odds with a heavy tail, half as many beyond twice as much; a model's score is their fourth root.
    rates = [min(1.0, factor**-4) for factor in FACTORS]
    at = failures.threshold(rates, budget)
    assert at is not None
    assert 0.79 * budget < rates[at] <= budget
