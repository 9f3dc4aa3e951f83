"""What an explanation leaves of each signal, smoothed and held against its own usual spread."""

import numpy as np

from anomaly.detector import Columns, Field, Layout, least_spread
from telemetry.window import Bools, Floats

_STEPS = 8
"""Values are smoothed over 1/8 of the final smoothing before they are explained: slow enough for lags, fast enough for days."""
_OWN_FLOOR = 1e-2
_RELATIVE_FLOOR = 1e-3
"""The spread is never taken to be less than these shares of a signal's own usual size, where the floor by its range is more, and
of its usual value, added up.
"""
_LEAST = 0.25
"""The spread of the smoothed rest is at least this share, in variance, of what independent values would have."""
_GUESSED = 0.5
"""That the smoothed rest spreads as widely as the rest itself is a guess, and weighs as much as this share of the smoothing."""
_MOST = 3.0
"""A rest moves away from nothing as if it were no more than this many thresholds further out: one tick alone makes no alarm, and what
lasts is ranked however far it goes.
"""


def fast(smooth: Floats) -> Floats:
    """What signals are smoothed by before they are explained, in ticks, where the rest is smoothed over `smooth`."""
    return np.maximum(1.0, smooth / _STEPS)


def share(age: Floats, constant: Floats) -> Floats:
    """The weight of a new value after `age` ticks in an exponential mean with a time constant in ticks."""
    found: Floats = 1.0 - (1.0 - 1.0 / constant) ** age
    return found


class Rest:
    """Follows what one explanation leaves of S signals of each device.

    threshold: spreads that are abnormal. floor: [S] the least spread by the signals' ranges, in their units.
    """

    def __init__(self, name: str, threshold: float, floor: Floats, recent: float = 1.0) -> None:
        """name: of the explanation, before each field of the state. recent: how many times as much the spread now counts as all
        before it, since an explanation that is still being learnt leaves more at first than it will.
        """
        self._threshold, self._floor, self._recent = threshold, floor, recent
        fields = ("met", "value", "weight", "scatter", "rest", "spread", "deviation")
        # met: ticks in which the signal was explained. value: smoothed a little. weight: ticks learnt, at most `recent` memories.
        # scatter: usual variance of what is not explained. rest: that, smoothed: what is judged. spread: its usual variance.
        # deviation: of the rest, as last judged.
        names = [f"{name}_{f}" for f in fields]
        self._met, self._value, self._weight, self._scatter, self._rest, self._spread, self._deviation = names
        self.layout: Layout = {f"{name}_{f}": Field(shape=floor.shape) for f in fields}

    def value(self, state: Columns) -> Floats:
        """[D, S] what is explained, smoothed a little."""
        found: Floats = state[self._value]
        return found

    def rest(self, state: Columns) -> Floats:
        """[D, S] what is left of it, smoothed, in the signal's unit."""
        found: Floats = state[self._rest]
        return found

    def weight(self, state: Columns) -> Floats:
        """[D, S] how many ticks were learnt."""
        found: Floats = state[self._weight]
        return found

    def scatter(self, state: Columns) -> Floats:
        """[D, S] the usual variance of what is left before it is smoothed."""
        found: Floats = state[self._scatter]
        return found

    def spread(self, state: Columns) -> Floats:
        """[D, S] the usual variance of the rest."""
        found: Floats = state[self._spread]
        return found

    def deviation(self, state: Columns) -> Floats:
        """[D, S] what `judge` found last."""
        found: Floats = state[self._deviation]
        return found

    def first(self, state: Columns) -> Bools:
        """[D, S] whether no value but the newest is known."""
        found: Bools = state[self._met] <= 1.0
        return found

    def enough(self, state: Columns, ticks: int) -> Bools:
        """[D, S] whether the signal was explained in so many ticks."""
        found: Bools = state[self._met] >= ticks
        return found

    def take(self, values: Floats, seen: Bools, age: Floats, smooth: Floats, state: Columns) -> None:
        """Takes a tick's values. values: [D, S]; seen: where they were measured; age: [D, S] ticks since the one before."""
        state[self._met] += seen
        step = np.maximum(share(age, fast(smooth)), 1.0 / np.maximum(state[self._met], 1.0))
        state[self._value] += np.where(seen, step * (np.where(seen, values, 0.0) - state[self._value]), 0.0)

    def put(self, values: Floats, seen: Bools, state: Columns) -> None:
        """Takes a tick's values that were smoothed already, as `take` does."""
        state[self._met] += seen
        state[self._value] = np.where(seen, values, state[self._value])

    def follow(
        self,
        expected: Floats,
        width: Floats,
        seen: Bools,
        age: Floats,
        smooth: Floats,
        state: Columns,
        renewed: Floats | None = None,
    ) -> None:
        """Smooths what is left of the values where [D, S] `expected` explains them. width: [D, S] of the usual rest. renewed: [D, S]
        ticks since another part is there, whose mean it is then; infinite or None: nothing was replaced.
        """
        # Until the explanation has seen a few independent values its rest means nothing.
        started = seen & (state[self._weight] >= smooth)
        # A value far out counts only so much at once: a day with warm food in it is no trend.
        most, now = _MOST * self._threshold * width, state[self._rest]
        step = share(age, smooth)
        if renewed is not None:
            most, step = np.where(np.isfinite(renewed), np.inf, most), np.maximum(step, 1.0 / renewed)
        left = np.clip(state[self._value] - expected, np.minimum(now, 0.0) - most, np.maximum(now, 0.0) + most)
        state[self._rest] += np.where(started, step * (left - now), 0.0)

    def judge(self, width: Floats, ready: Bools, state: Columns) -> None:
        """Finds the signed deviation of the rest, 1 at the threshold; NaN where it is not `ready`, [D, S]."""
        state[self._deviation] = np.where(ready, state[self._rest] / (self._threshold * width), np.nan)

    def width(self, usual: Floats, smooth: Floats, state: Columns, unsure: Floats | float = 0.0) -> Floats:
        """[D, S] the usual spread of the rest. usual: [D, S] the signals' usual values. unsure: how much less certain the
        explanation is now than usual, as a variance.
        """
        least = _LEAST * state[self._scatter] * fast(smooth) / smooth
        width: Floats = np.sqrt(np.maximum(state[self._spread], least) + unsure)
        size = np.maximum(np.abs(usual), np.sqrt(state[self._scatter]))
        width += least_spread(self._floor, size, _OWN_FLOOR) + _RELATIVE_FLOOR * np.abs(usual)
        return width

    def count(self, trust: Floats, memory: Floats, state: Columns) -> None:
        """Counts a tick as learnt from, as far as it is trusted, [D, S]."""
        state[self._weight] = np.minimum(state[self._weight] + trust, self._recent * memory)

    def step(self, trust: Floats, state: Columns) -> Floats:
        """[D, S] the share that a tick which was counted, and is trusted so much, has in what is learnt."""
        return np.minimum(self._recent * trust / np.maximum(state[self._weight], 1.0), 1.0)

    def step_of_spread(self, trust: Floats, smooth: Floats, state: Columns) -> Floats:
        """[D, S] the same in what spread of the smoothed rest is usual."""
        weight = state[self._weight] - _GUESSED * smooth
        return np.minimum(self._recent * trust / np.maximum(weight, 1.0), 1.0)

    def learn(self, trust: Floats, expected: Floats, smooth: Floats, state: Columns) -> None:
        """Moves what spread is usual. trust: [D, S] how far a tick that was counted is trusted."""
        weight = state[self._weight]
        left = state[self._value] - expected
        state[self._scatter] += self.step(trust, state) * (left**2 - state[self._scatter])
        # Until it is learnt, the smoothed rest is taken to spread as widely as the rest itself.
        step = self.step_of_spread(trust, smooth, state)
        moved = state[self._spread] + step * (state[self._rest] ** 2 - state[self._spread])
        state[self._spread] = np.where(weight > smooth, moved, state[self._scatter])

    def begin(self, anew: Bools, state: Columns) -> None:
        """Learns what is left anew where the explanation is another one."""
        for field in (self._weight, self._rest):
            state[field] = np.where(anew, 0.0, state[field])

    def settle(self, new: Bools, state: Columns) -> None:
        """What is left becomes nothing where it was made the new normal."""
        state[self._rest] = np.where(new, 0.0, state[self._rest])
