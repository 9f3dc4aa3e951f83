"""How late signals follow contexts, as a device finds it out."""

import numpy as np
import pytest

from anomaly.detector import Columns, fresh
from anomaly.detectors.curves import Curves
from anomaly.detectors.lags import Lags
from telemetry.window import Floats

MEMORY = np.full((1, 1), 2000.0)


def late(values: Floats, ticks: float) -> Floats:
    """[T] their exponential mean over so many ticks."""
    found = np.empty(len(values))
    last = values[0]
    for at, value in enumerate(values):
        last += (value - last) / ticks
        found[at] = last
    return found


def loads(ticks: int, seed: int, levels: tuple[float, ...] = (0.0, 0.3, 0.6, 1.0)) -> Floats:
    """[T] of a machine that runs for 4 to 40 ticks at each."""
    random = np.random.default_rng(seed)
    return np.concatenate([np.full(random.integers(4, 40), random.choice(levels)) for _ in range(ticks)])[:ticks]


def found(says: Floats, left: Floats) -> tuple[float, Columns]:
    """The position among the lags of what is believed of one signal and one context, [T] each, at the end."""
    lags = Lags(1, 1)
    state = fresh(lags.layout, 1)
    for say, leave in zip(says, left, strict=True):
        lags.follow(np.full((1, 1, 1), say), state)
        list(lags.learn(np.full((1, 1, 1), leave), np.ones((1, 1)), MEMORY, state))
    return float(state["lag"][0, 0, 0] + state["lag_part"][0, 0, 0]), state


@pytest.mark.parametrize("ticks", [2.0, 3.0, 11.0, 23.0, 60.0])
def test_the_lag_that_a_signal_has_is_found_and_what_lies_between_two(ticks: float) -> None:
    says = loads(2500, 1)
    place, _ = found(says, 5 + 40 * late(says, ticks) + np.random.default_rng(2).normal(0, 0.5, len(says)))
    assert 2**place == pytest.approx(ticks, rel=0.15)


def test_what_follows_at_once_or_not_at_all_or_the_other_way_has_no_lag() -> None:
    random = np.random.default_rng(3)
    says = loads(1500, 4)
    for left in (40 * says + random.normal(0, 2, 1500), random.normal(0, 2, 1500), -40 * late(says, 16)):
        assert found(says, left)[0] == 0


def test_nothing_is_looked_for_where_nothing_is_left() -> None:
    """A signal that never moves, one that follows to the last digit, and numbers of any size."""
    says = loads(600, 9)
    for size in (0.0, 1.0, 1e12):
        place, state = found(size * says, size * 3 * says)
        assert place == 0
        assert float(state["lag_times"][0, 0]) == 600
    assert 2 ** found(1e12 * says, 1e12 * late(says, 8))[0] == pytest.approx(8, rel=0.15)


def test_what_little_is_known_of_shows_no_lag() -> None:
    """Two things that move slowly go together for a while, whatever they have to do with each other."""
    says = loads(90, 5)
    assert found(says, late(says, 3))[0] == 0


def test_a_lag_is_still_looked_for_when_the_memory_is_full() -> None:
    says = loads(6000, 6)
    place, state = found(says, np.concatenate([says[:3000], late(says[3000:], 16)]))
    assert 2**place == pytest.approx(16, rel=0.15)
    assert float(state["lag_times"][0, 0]) < 3500


def test_curves_explain_what_follows_late_as_well_as_what_follows_at_once() -> None:
    """A winding warms slowly by what the load makes of it, which is no straight line, and goes with the room at once."""
    random = np.random.default_rng(7)
    load, room = loads(3000, 8), late(random.normal(0, 20, 3000), 20)
    heats = {0.0: 0.0, 0.3: 25.0, 0.6: 10.0, 1.0: 45.0}
    winding = late(np.array([heats[at] for at in load]), 12) + room + random.normal(0, 0.5, 3000)
    curves = Curves(np.array([1.0, 100.0]), np.zeros(2, dtype=bool), 1)
    state, left = fresh(curves.layout, 1), np.empty(3000)
    for at in range(3000):
        told, _ = curves.follow(np.array([[load[at], room[at]]]), np.zeros((1, 1, 2)), np.full((1, 1), 12.0), state)
        left[at] = winding[at] - told[0, 0]
        curves.learn(np.full((1, 1), winding[at]), np.full((1, 1), winding.mean()), np.ones((1, 1)), MEMORY, state)
    assert curves.believed(state).all()
    load_lag, room_lag = 2 ** (state["lag"] + state["lag_part"])[0, 0]
    assert load_lag == pytest.approx(12, rel=0.2)
    assert room_lag < 2
    assert left[2000:].std() < 1.5
