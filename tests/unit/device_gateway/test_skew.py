"""By how much a device's clock is wrong, though messages come late for other reasons too."""

import numpy as np

from device_gateway.skew import Skews


def follow(skews: Skews, now: float, *lags: tuple[int, float]) -> dict[int, float]:
    devices, values = zip(*lags, strict=True)
    return dict(skews.follow(np.array(devices, dtype=np.int32), np.array(values), now))


def test_a_wrong_clock_is_found_after_some_spans_and_told_once() -> None:
    skews = Skews(span=60)
    told = [follow(skews, n * 60.0, (1, 0.2), (1, 4.0), (2, 900.4), (3, -35.0)) for n in range(10)]
    assert told[:3] == [{}, {}, {}]
    assert told[3] == {1: 0.2, 2: 900.4, 3: -35.0}
    assert not any(told[4:])


def test_a_backlog_is_no_wrong_clock() -> None:
    skews = Skews(span=60)
    for n in range(6):
        follow(skews, n * 60.0, (1, 0.2))
    told = [follow(skews, 400.0 + n, (1, 1200.0 - n)) for n in range(50)]
    told += [follow(skews, 460.0 + n * 60, (1, 0.3)) for n in range(8)]
    assert not any(told)


def test_a_device_that_buffers_is_judged_by_its_live_messages() -> None:
    skews = Skews(span=60)
    told: dict[int, float] = {}
    for n in range(8):
        told |= follow(skews, n * 60.0, (1, 3000.0))
        told |= follow(skews, n * 60.0 + 5, (1, 0.1))
    assert told == {1: 0.1}


def test_a_clock_that_is_set_right_is_told_again() -> None:
    skews = Skews(span=60)
    for n in range(12):
        follow(skews, n * 60.0, (1, 900.0))
    told = [follow(skews, (12 + n) * 60.0, (1, 0.5)) for n in range(12)]
    assert {1: 0.5} in told
