"""Alarms against labelled intervals, NAB's score and remaining life, on hand-made cases."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomaly.judgement import intervals, nab, remaining
from anomaly.judgement.alarms import Alarms
from anomaly.judgement.remaining import Prognoses
from telemetry.recorded import Intervals, RemainingLife
from telemetry.window import Ints

SECOND = 1_000_000


def labels(*rows: tuple[int, int, int]) -> Intervals:
    table = np.array(rows, dtype=np.int64).reshape(len(rows), 3)
    return Intervals(device=table[:, 0], starts=table[:, 1] * SECOND, ends=table[:, 2] * SECOND)


def alarms(*rows: tuple[int, int, int]) -> Alarms:
    return Alarms.of([(d, 0, s * SECOND, e * SECOND, 1.0, 0) for d, s, e in rows])


def ticks(*lengths: int) -> list[Ints]:
    return [np.arange(length) * SECOND for length in lengths]


def test_ticks_are_counted_one_by_one() -> None:
    # 100 ticks; 40 to 59 labelled; alarm over 50 to 69.
    found = intervals.judge(alarms((0, 50, 70)), labels((0, 40, 59)), ticks(100), np.zeros(1, dtype=np.int64))
    assert found.f1 == pytest.approx(2 * 10 / (2 * 10 + 10 + 10))
    assert found.far == pytest.approx(10 / 80)
    assert found.mar == pytest.approx(10 / 20)
    assert found.delay_median_s == 10
    assert (found.detected, found.intervals, found.ticks) == (1.0, 1, 100)


def test_one_hit_tick_is_not_the_whole_interval() -> None:
    found = intervals.judge(alarms((0, 45, 46)), labels((0, 40, 59)), ticks(100), np.zeros(1, dtype=np.int64))
    assert found.mar == pytest.approx(19 / 20)


def test_the_healthy_start_and_other_devices_do_not_count() -> None:
    found = intervals.judge(
        alarms((0, 0, 30), (1, 0, 20)), labels((1, 10, 19)), ticks(100, 40), np.array([40 * SECOND, 5 * SECOND])
    )
    assert found.ticks == 60 + 35
    assert found.far == pytest.approx(5 / 85)
    assert found.mar == 0.0
    assert found.delay_median_s == 0


def test_without_labels_or_alarms_nothing_is_claimed() -> None:
    found = intervals.judge(alarms(), labels(), ticks(10), np.zeros(1, dtype=np.int64))
    assert (found.f1, found.far, found.mar, found.delay_median_s, found.detected) == (None, 0.0, None, None, None)


@given(spans=st.lists(st.tuples(st.integers(0, 50), st.integers(0, 20)), max_size=6))
def test_covered_is_what_lies_in_any_span(spans: list[tuple[int, int]]) -> None:
    times = np.arange(0, 80, 3)
    starts = np.array([a for a, _ in spans], dtype=np.int64)
    ends = np.array([a + n for a, n in spans], dtype=np.int64)
    expected = [any(a <= t < a + n for a, n in spans) for t in times.tolist()]
    assert intervals.covered(times, starts, ends).tolist() == expected


def series(*detections: int, rows: int = 1000, windows: tuple[tuple[int, int], ...] = ((400, 499),)) -> nab.Series:
    return nab.Series(rows=np.arange(rows), windows=windows, detections=np.array(detections, dtype=np.int64))


STANDARD = nab.PROFILES["standard"]


def test_nab_runs_from_nothing_to_perfect() -> None:
    assert nab.score([series()], STANDARD) == pytest.approx(0.0)
    assert nab.score([series(400)], STANDARD) == pytest.approx(100.0)
    assert nab.score([series(windows=())], STANDARD) is None
    for costs in nab.PROFILES.values():
        assert nab.score([series()], costs) == pytest.approx(0.0)
        assert nab.score([series(400)], costs) == pytest.approx(100.0)


def test_nab_rewards_early_and_counts_a_window_once() -> None:
    early, late = nab.score([series(410)], STANDARD), nab.score([series(490)], STANDARD)
    assert early is not None
    assert late is not None
    assert late < early
    assert nab.score([series(410, 420, 430)], STANDARD) == pytest.approx(early)
    # In the middle of the window: 2 / (1 + e^-2.5) - 1 of what the left edge is worth.
    worth = (2 / (1 + np.exp(-2.5)) - 1) / (2 / (1 + np.exp(-5)) - 1)
    assert nab.score([series(450)], STANDARD) == pytest.approx(100 * (1 + worth) / 2)


def test_nab_costs_of_false_detections() -> None:
    # Far behind the window, or before any, it costs all of 0.11; just behind it, little.
    assert nab.score([series(400, 900)], STANDARD) == pytest.approx(100 * (2 - 0.11) / 2)
    assert nab.score([series(200, 400)], STANDARD) == pytest.approx(100 * (2 - 0.11) / 2)
    near = nab.score([series(400, 501)], STANDARD)
    assert near is not None
    assert 98 < near < 100
    low_fp = nab.score([series(400, 900)], nab.PROFILES["low_fp"])
    assert low_fp == pytest.approx(100 * (2 - 0.22) / 2)


def test_nab_does_not_judge_the_first_rows() -> None:
    assert nab.score([series(149, 400)], STANDARD) == pytest.approx(100.0)
    assert nab.score([series(150, 400)], STANDARD) == pytest.approx(100 * (2 - 0.11) / 2)


def test_nab_weighs_a_miss_twice_where_that_is_asked() -> None:
    two = ((400, 499), (700, 799))
    half = nab.score([series(400, windows=two)], nab.PROFILES["low_fn"])
    assert half == pytest.approx(100 * (1 - 2 + 4) / 6)


def test_remaining_life_takes_the_last_prediction_up_to_the_time() -> None:
    truth = RemainingLife(device=np.array([0, 1, 2]), times=np.array([10, 10, 10]), ticks=np.array([50.0, 200.0, 7.0]))
    told = Prognoses(
        device=np.array([0, 0, 0, 1]),
        times=np.array([1, 9, 11, 10]),
        p10=np.array([0.0, 45.0, 0.0, 126.0]),
        p50=np.array([0.0, 53.0, 0.0, 130.0]),
        p90=np.array([0.0, 60.0, 0.0, 140.0]),
    )
    found = remaining.judge(told, truth, cap=125.0)
    # 53 against 50; beyond the cap both are 125.
    assert found.rmse == pytest.approx(np.sqrt(9 / 2))
    assert found.inside_p10_p90 == 1.0
    assert (found.predicted, found.devices) == (2, 3)
    nothing = remaining.judge(
        told, RemainingLife(device=np.array([-1]), times=np.array([1]), ticks=np.array([1.0])), None
    )
    assert (nothing.rmse, nothing.devices) == (None, 0)


def test_age_alone_knows_the_lives_that_were_longer() -> None:
    truth = RemainingLife(device=np.array([0, 1]), times=np.array([0, 0]), ticks=np.array([0.0, 0.0]))
    told = remaining.by_age(np.array([100.0, 200.0, 300.0]), truth, np.array([150.0, 500.0]))
    assert told.p50.tolist() == [100.0, 0.0]
    assert told.p10[0] == pytest.approx(60.0)
