"""Limits of how fast a signal moves."""

import numpy as np
import pytest

from anomaly.detector import fresh, pack, unpack
from anomaly.detectors.limits import Limits
from anomaly.finding import Change, FindingChange
from anomaly.judge import Judge
from core.errors import InvalidProfile
from core.profile import Profile, parse
from telemetry.window import Floats, Tick, Window

HALF = 1_800_000_000
TEXT = """
profile: box
title: Box
tick: 30min
silence_after: 1d
signals: {heat: {title: Heat, unit: Cel, range: [0, 100], interval: 10min, component: heater}}
components: {heater: {title: Heater}}
failure_modes: {burn: {title: Burn, component: heater}, leak: {title: Leak, component: heater}}
detectors:
  limits:
    - {signal: heat, rate: 6, deadband: 3, failure_mode: burn}
    - {signal: heat, high: 90, failure_mode: burn}
    - {signal: heat, rate: -10, failure_mode: leak}
"""


def box() -> Profile:
    return parse(TEXT, "box.yaml")


def scores(*heat: float) -> Floats:
    """[T, K] of one device, a value each half an hour."""
    limits = Limits(box())
    state = fresh(limits.layout, 1)
    return np.array([limits.score(tick(at, value), state)[0] for at, value in enumerate(heat)])


def tick(at: int, value: float) -> Tick:
    return Tick(time=(at + 1) * HALF, values=np.array([[value]]), heard=np.array([np.isfinite(value)]))


def test_a_rate_is_in_the_unit_an_hour_and_1_at_its_limit() -> None:
    found = scores(20, 23, 29, 24)
    np.testing.assert_allclose(found[:, 0], [np.nan, 1.0, 2.0, -10 / 6])
    np.testing.assert_allclose(found[:, 2], [np.nan, -0.6, -1.2, 1.0])
    np.testing.assert_allclose(found[:, 1], 1 + (np.array([20, 23, 29, 24]) - 90) / 5)


def test_over_a_gap_it_is_the_rate_between_the_values_around() -> None:
    found = scores(20, np.nan, np.nan, 32)
    np.testing.assert_allclose(found[:, 0], [np.nan, np.nan, np.nan, 12 / 1.5 / 6])


def test_a_packed_state_goes_on() -> None:
    limits = Limits(box())
    state, other = fresh(limits.layout, 1), fresh(limits.layout, 1)
    limits.score(tick(0, 20.0), state)
    assert unpack(limits.layout, pack(limits.layout, state, 0), other, 0)
    assert limits.score(tick(1, 23.0), other)[0, 0] == pytest.approx(1.0)


def test_it_opens_says_why_and_closes_below_the_deadband() -> None:
    judge = Judge(box())
    values = np.array([20, 20, 25, 27, 28, 28], dtype=float)[:, None, None]
    window = Window(
        devices=np.array([1]), signals=("heat",), times=np.arange(6, dtype=np.int64) * HALF + HALF, values=values
    )
    opened, closed = judge.run(window, judge.fresh(1))
    assert (opened.change, closed.change) == (Change.OPENED, Change.CLOSED)
    assert told(opened) == "Heat 10.0 °C/h (limit 6.00 °C/h)"
    # 4 an hour is above the deadband's 3, 2 an hour below.
    assert (closed.at - opened.at).total_seconds() == 3600


def told(change: FindingChange) -> str:
    return change.because.split(";", maxsplit=1)[0]


def test_a_limit_is_one_of_high_low_and_rate() -> None:
    with pytest.raises(InvalidProfile, match="give either high or low or rate"):
        parse(TEXT.replace("rate: 6,", "rate: 6, high: 80,"), "box.yaml")
    with pytest.raises(InvalidProfile, match="rate must not be 0"):
        parse(TEXT.replace("rate: 6,", "rate: 0,"), "box.yaml")
