"""What follows a context late: the heat of a gearbox, of a winding, of a room. How late, each device learns for itself."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anomaly.detector import Columns, Field, Layout
from telemetry.window import Bools, Floats, Ints

LAGS = 2.0 ** np.arange(7)
"""A signal follows a context as it is, or its exponential mean over 2, 4, 8 up to 64 ticks, or what lies between two of them."""
_ENOUGH, _TIMES = 100, 10
"""A mean is believed to explain a signal after so many ticks, and not before so many times as many as it is taken over: what moves
slowly goes along with anything else that does, for a while.
"""
_BETTER = 0.7
"""And where it leaves less than this share, in variance, of what is left by the one that is believed."""
_NEAR = 1.0
"""But one that is no farther from it than from one of them to the next is believed where it leaves less at all."""
_WORTH = 1e-4
"""Where so small a share of what others leave is left, in variance, nothing is to be gained."""
_OFTEN = 16
"""That is looked at after every so many ticks."""
_AT_ONCE = 2048
"""Of so many devices at once: what is worked out of them on the way stays near the processor."""
WEIGHTS = (1.0 / LAGS).astype(np.float32)
"""What a tick weighs in each of these means."""
_NOTHING = 1e-30
_BY_LAG = ("lag_mean", "lag_var", "lag_beside", "lag_with")
_BY_SIGNAL = ("lag_times", "lag_left", "lag_leave")
"""What is measured anew once another lag is believed."""
Singles = NDArray[np.floating[Any]]

Found = tuple[int, int, int, float]
"""Device, signal and context that were found to belong together by another lag, and how much more the context says by it."""


class Lags:
    """Finds how late each of S signals follows each of C contexts.

    What a context says of a signal, smoothed by each lag that there may be, is held against what all other contexts leave of the
    signal: the lag is right that explains most of it.
    """

    def __init__(self, contexts: int, signals: int) -> None:
        # Lags stand before signals: numpy is slow along an axis as short as theirs.
        each, lags = (signals, contexts), (len(LAGS), signals, contexts)
        self.layout: Layout = {
            "lag": Field(shape=each, dtype="<i1"),  # which is believed, or the lesser of two
            "lag_part": Field(shape=each, dtype="<f4"),  # how far the right one is on the way to the greater, 0 to 1
            "lag_times": Field(shape=(signals,)),  # ticks compared since another one was
            "lag_says": Field(shape=lags, dtype="<f4"),  # what the context says, smoothed
            "lag_mean": Field(shape=lags, dtype="<f4"),  # mean of that
            "lag_var": Field(shape=lags, dtype="<f4"),  # variance of that
            "lag_beside": Field(shape=(len(LAGS) - 1, *each), dtype="<f4"),  # covariance with the next lag
            "lag_with": Field(shape=lags, dtype="<f4"),  # covariance with what other contexts leave
            "lag_left": Field(shape=each, dtype="<f4"),  # mean of what they leave
            "lag_leave": Field(shape=each, dtype="<f4"),  # variance of it
        }
        self._weights = np.broadcast_to(WEIGHTS[:, None, None], lags).copy()

    def follow(self, says: Floats, state: Columns) -> None:
        """Takes [D, S, C] what each context says of each signal at once."""
        for some in _parts(len(says)):
            smoothed = state["lag_says"][some]
            moved = says[some].astype(np.float32)[:, None] - smoothed
            moved *= self._weights
            smoothed += moved

    def learn(self, left: Floats, trust: Floats, memory: Floats, state: Columns) -> list[Found]:
        """Takes [D, S, C] what the other contexts leave of each signal. trust: [D, S] how far it is to be learnt from. memory:
        [D, S] in ticks. Returns where another lag is believed from now on.
        """
        found: list[Found] = []
        for some in _parts(len(left)):
            own = {name: state[name][some] for name in self.layout}
            due = self._measure(left[some], trust[some], memory[some], own)
            devices = np.nonzero(due.any(axis=1))[0]
            if len(devices):
                found += self._look(devices, due[devices], own, some.start)
        return found

    @staticmethod
    def _measure(left: Floats, trust: Floats, memory: Floats, state: Columns) -> Bools:
        """Moves means, variances and covariances. Returns [D, S] which signals are to be looked at again."""
        before = state["lag_times"].copy()
        state["lag_times"] += trust
        times = state["lag_times"]
        share = np.divide(trust, np.minimum(times, memory), out=np.zeros_like(times), where=trust > 0)
        step = np.broadcast_to(share[:, :, None], left.shape).astype(np.float32)
        keep = 1.0 - step
        left_away = left.astype(np.float32) - state["lag_left"]
        state["lag_left"] += step * left_away
        state["lag_leave"] += step * left_away**2
        state["lag_leave"] *= keep
        away = state["lag_says"] - state["lag_mean"]
        weighed, keep = step[:, None] * away, keep[:, None]
        state["lag_mean"] += weighed
        for field, one, other in (
            ("lag_beside", weighed[:, :-1], away[:, 1:]),
            ("lag_with", weighed, left_away[:, None]),
            ("lag_var", weighed, away),
        ):
            state[field] += one * other
            state[field] *= keep
        due: Bools = (np.floor(times / _OFTEN) > np.floor(before / _OFTEN)) & (times >= _ENOUGH)
        return due

    @staticmethod
    def _look(devices: Ints, due: Bools, state: Columns, first: int) -> Iterable[Found]:
        """Believes another lag where it explains more by far. due: [D, S] of the devices, which signals to look at. first: where
        the state begins among all devices.
        """
        var, beside, along, leave = (
            state[field][devices] for field in ("lag_var", "lag_beside", "lag_with", "lag_leave")
        )
        # Of size one, whatever is measured: products of variances are beyond what these numbers hold.
        size, of_left = np.sqrt(np.maximum(var.max(axis=1), _NOTHING)), np.sqrt(np.maximum(leave, _NOTHING))
        square = (size**2)[:, None]
        var /= square
        beside /= square
        along /= (size * of_left)[:, None]
        between = _Between(var, beside, along)
        parts = between.best()
        left, slope = between.left(parts)
        known = state["lag_times"][devices, None, :, None] >= _TIMES * LAGS[1:, None, None]
        left = np.where(known, left, np.inf)
        now, part = state["lag"][devices], state["lag_part"][devices]
        own = np.zeros_like(part)
        for lag in np.unique(now).tolist():
            of_lag, _ = between.only(lag).left(part[:, None])
            own = np.where((now == lag) & known[:, lag], of_lag[:, 0], own)
        best = left.argmin(axis=1)[:, None]
        ratio, parts, slope = (np.take_along_axis(of, best, axis=1)[:, 0] for of in (left, parts, slope))
        ratio /= np.maximum(own, _NOTHING)
        due = due[:, :, None] & (own > _WORTH) & (leave > _NOTHING)
        # Of several contexts one at a time: what the others leave changes by it.
        found = due & (ratio < _BETTER) & (ratio == ratio.min(axis=2, keepdims=True))
        # A lag that is believed is followed as it shows more clearly.
        believed = now + part
        near = (believed > 0) & (np.abs(best[:, 0] + parts - believed) <= _NEAR) & (ratio < 1.0) & due
        d, s, c = np.nonzero(found | near)
        state["lag"][devices[d], s, c] = best[d, 0, s, c]
        state["lag_part"][devices[d], s, c] = parts[d, s, c]
        d, s, c = np.nonzero(found)
        for field in _BY_LAG:
            state[field][devices[d], :, s] = 0.0
        for field in _BY_SIGNAL:
            state[field][devices[d], s] = 0.0
        gains = slope[d, s, c] * of_left[d, s, c] / size[d, s, c]
        return zip((first + devices[d]).tolist(), s.tolist(), c.tolist(), gains.tolist(), strict=True)


def _parts(devices: int) -> Iterable[slice]:
    """All of so many devices, some at a time."""
    return (slice(first, first + _AT_ONCE) for first in range(0, devices, _AT_ONCE))


class _Between:
    """What lags between each two that stand side by side leave unexplained, of a signal whose variance is 1.

    var: [D, L, ...] the variance of what a context says by each lag. beside: [D, L - 1, ...] the covariance of two. along: [D, L, ...]
    that with what is to be explained.
    """

    def __init__(self, var: Singles, beside: Singles, along: Singles) -> None:
        self._var, self._both, self._along = var, beside, along
        self._less, self._more = var[:, :-1], var[:, 1:]
        self._with_less, self._with_more = along[:, :-1], along[:, 1:]

    def only(self, lag: int) -> "_Between":
        """What lies between one lag and the next."""
        two, one = slice(lag, lag + 2), slice(lag, lag + 1)
        return _Between(self._var[:, two], self._both[:, one], self._along[:, two])

    def best(self) -> Singles:
        """[D, L - 1, ...] how far the best one is on the way from the lesser to the greater, 0 to 1."""
        of_less = self._with_less * self._more - self._with_more * self._both
        of_more = self._with_more * self._less - self._with_less * self._both
        of_less += of_more
        part: Singles = np.clip(of_more / np.where(of_less > 0, of_less, np.float32(np.inf)), 0.0, 1.0)
        return part

    def left(self, part: Singles) -> tuple[Singles, Singles]:
        """[D, L - 1, ...] the variance that each leaves, and the slope by which what is to be explained follows it."""
        along = self._with_less + part * (self._with_more - self._with_less)
        rest = np.float32(1.0) - part
        var = rest * (rest * self._less + 2.0 * part * self._both) + part**2 * self._more
        # What moves against what it should follow does not follow it.
        slope: Singles = np.maximum(along, np.float32(0.0)) / np.maximum(var, np.float32(_NOTHING))
        left: Singles = np.float32(1.0) - slope * along
        return left, slope
