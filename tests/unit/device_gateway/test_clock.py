"""The rules for device times. Times here are milliseconds; now is `NOW`."""

import math

import numpy as np

from device_gateway.clock import Judged, Rules, judge

NOW = 1_800_000_000_000
DAY = 86_400_000
RULES = Rules(tolerance=300_000_000, earliest=1_000_000_000_000_000)


def judged(*messages: list[float]) -> Judged:
    ts = np.array([t for message in messages for t in message])
    of = np.array([at for at, message in enumerate(messages) for _ in message])
    return judge(ts, of, np.full(len(messages), NOW * 1000, dtype=np.int64), RULES)


def milliseconds(verdict: Judged) -> list[float]:
    return [t / 1000 for t in verdict.time]


def test_a_time_in_the_past_or_a_little_ahead_is_kept() -> None:
    times = [NOW - DAY, NOW, NOW + 300_000.0]
    verdict = judged(times)
    assert milliseconds(verdict) == times
    assert not verdict.ahead.any() | verdict.too_old.any() | verdict.senseless.any()


def test_no_time_is_the_servers_time() -> None:
    assert milliseconds(judged([math.nan])) == [NOW]


def test_a_fraction_of_a_millisecond_is_kept() -> None:
    assert judged([NOW + 0.25]).time.tolist() == [NOW * 1000 + 250]


def test_a_message_of_a_clock_that_is_ahead_is_moved_as_a_whole() -> None:
    verdict = judged([NOW - 5.0], [NOW + DAY - 60_000.0, NOW + DAY, NOW + DAY - 120_000.0], [NOW - 7.0])
    assert milliseconds(verdict) == [NOW - 5, NOW - 60_000, NOW, NOW - 120_000, NOW - 7]
    assert verdict.ahead.tolist() == [False, True, True, True, False]


def test_a_buffered_hour_of_a_clock_that_is_a_little_ahead_keeps_its_spacing() -> None:
    verdict = judged([NOW - 3_000_000.0, NOW + 600_000.0])
    assert milliseconds(verdict) == [NOW - 3_600_000, NOW]
    assert verdict.ahead.all()


def test_one_sample_far_ahead_does_not_move_its_good_neighbours() -> None:
    verdict = judged([NOW - 1000.0, NOW + 70 * 365 * DAY, NOW - 2000.0])
    assert milliseconds(verdict) == [NOW - 1000, NOW, NOW - 2000]
    assert verdict.ahead.tolist() == [False, True, False]


def test_a_time_before_the_first_that_is_believed_is_too_old() -> None:
    assert judged([999_999_999_999.0, 1_000_000_000_000.0, -1.0]).too_old.tolist() == [True, False, True]


def test_what_cannot_be_milliseconds_is_senseless_and_nothing_else() -> None:
    verdict = judged([NOW * 1e3, NOW * 1e6, 1e300, -1e300])
    assert verdict.senseless.all()
    assert not verdict.ahead.any() | verdict.too_old.any()
