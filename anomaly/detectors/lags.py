"""What follows a context late: the heat of a gearbox, of a winding, of a room. How late, each device learns for itself."""

from collections.abc import Iterable

import numpy as np

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
_OFTEN, _AT_ONCE = 16, 2048
"""That is looked at after every so many ticks, of so many devices at once."""
WEIGHTS = (1.0 / LAGS).astype(np.float32)
"""What a tick weighs in each of these means."""
_NOTHING = 1e-30
_MEASURED = ("lag_times", "lag_mean", "lag_var", "lag_beside", "lag_with", "lag_left", "lag_leave")

Found = tuple[int, int, int, float]
"""Device, signal and context that were found to belong together by another lag, and how much more the context says by it."""


class Lags:
    """Finds how late each of S signals follows each of C contexts.

    What a context says of a signal, smoothed by each lag that there may be, is held against what all other contexts leave of the
    signal: the lag is right that explains most of it.
    """

    def __init__(self, contexts: int, signals: int) -> None:
        each, lags = (signals, contexts), (signals, contexts, len(LAGS))
        self.layout: Layout = {
            "lag": Field(shape=each, dtype="<i1"),  # which is believed, or the lesser of two
            "lag_part": Field(shape=each, dtype="<f4"),  # how far the right one is on the way to the greater, 0 to 1
            "lag_times": Field(shape=(signals,)),  # ticks compared since another one was
            "lag_says": Field(shape=lags, dtype="<f4"),  # what the context says, smoothed
            "lag_mean": Field(shape=lags, dtype="<f4"),  # mean of that
            "lag_var": Field(shape=lags, dtype="<f4"),  # variance of that
            "lag_beside": Field(shape=(*each, len(LAGS) - 1), dtype="<f4"),  # covariance with the next lag
            "lag_with": Field(shape=lags, dtype="<f4"),  # covariance with what other contexts leave
            "lag_left": Field(shape=each, dtype="<f4"),  # mean of what they leave
            "lag_leave": Field(shape=each, dtype="<f4"),  # variance of it
        }

    def follow(self, says: Floats, state: Columns) -> None:
        """Takes [D, S, C] what each context says of each signal at once."""
        state["lag_says"] += (says.astype(np.float32)[..., None] - state["lag_says"]) * WEIGHTS

    def learn(self, left: Floats, trust: Floats, memory: Floats, state: Columns) -> Iterable[Found]:
        """Takes [D, S, C] what the other contexts leave of each signal. trust: [D, S] how far it is to be learnt from. memory:
        [D, S] in ticks. Returns where another lag is believed from now on.
        """
        before = state["lag_times"]
        times = before + trust
        state["lag_times"] = times
        step = np.divide(trust, np.minimum(times, memory), out=np.zeros_like(times), where=trust > 0)
        step = step.astype(np.float32)[:, :, None]
        away = state["lag_says"] - state["lag_mean"]
        left_away = left.astype(np.float32) - state["lag_left"]
        state["lag_left"] += step * left_away
        weighed, keep = step[..., None] * away, 1.0 - step
        state["lag_mean"] += weighed
        state["lag_leave"] += step * left_away**2
        state["lag_leave"] *= keep
        keep = keep[..., None]
        for field, one, other in (
            ("lag_beside", weighed[..., :-1], away[..., 1:]),
            ("lag_var", weighed, away),
            ("lag_with", weighed, left_away[..., None]),
        ):
            state[field] += one * other
            state[field] *= keep
        due = (times // _OFTEN > before // _OFTEN) & (times >= _ENOUGH)
        devices = np.nonzero(due.any(axis=1))[0]
        parts = (devices[first : first + _AT_ONCE] for first in range(0, len(devices), _AT_ONCE))
        return [found for part in parts for found in self._look(part, due[part], state)]

    @staticmethod
    def _look(devices: Ints, due: Bools, state: Columns) -> Iterable[Found]:
        """Believes another lag where it explains more by far. due: [D, S] of the devices, which signals to look at."""
        fields = ("lag_var", "lag_beside", "lag_with", "lag_leave")
        # Products of variances are beyond what the state's numbers hold.
        var, beside, along, leave = (state[field][devices].astype(np.float64) for field in fields)
        between = _Between(var, beside, along, leave[..., None])
        parts = between.best()
        left, slope = between.left(parts)
        known = state["lag_times"][devices, :, None, None] >= _TIMES * LAGS[1:]
        left = np.where(known, left, np.inf)
        best, now = left.argmin(axis=3)[..., None], state["lag"][devices].astype(np.int64)[..., None]
        own, _ = between.left(np.broadcast_to(state["lag_part"][devices][..., None], parts.shape))
        own = np.take_along_axis(np.where(known, own, 0.0), now, axis=3)[..., 0]
        ratio = np.take_along_axis(left, best, axis=3)[..., 0] / np.maximum(own, _NOTHING)
        due = due[:, :, None] & (own > _WORTH * leave)
        # Of several contexts one at a time: what the others leave changes by it.
        found = due & (ratio < _BETTER) & (ratio == ratio.min(axis=2, keepdims=True))
        # A lag that is believed is followed as it shows more clearly.
        place = best[..., 0] + np.take_along_axis(parts, best, axis=3)[..., 0]
        believed = state["lag"][devices] + state["lag_part"][devices]
        near = (believed > 0) & (np.abs(place - believed) <= _NEAR) & (ratio < 1.0) & due
        d, s, c = np.nonzero(found | near)
        state["lag"][devices[d], s, c] = best[d, s, c, 0]
        state["lag_part"][devices[d], s, c] = parts[d, s, c, best[d, s, c, 0]]
        d, s, c = np.nonzero(found)
        for field in _MEASURED:
            state[field][devices[d], s] = 0.0
        gains = slope[d, s, c, best[d, s, c, 0]]
        return zip(devices[d].tolist(), s.tolist(), c.tolist(), gains.tolist(), strict=True)


class _Between:
    """What lags between each two that stand side by side leave unexplained.

    var: [..., L] the variance of what a context says by each lag. beside: [..., L - 1] the covariance of two. along: [..., L] that with
    what is to be explained, whose variance is `everything`, [..., 1].
    """

    def __init__(self, var: Floats, beside: Floats, along: Floats, everything: Floats) -> None:
        self._less, self._more, self._both = var[..., :-1], var[..., 1:], beside
        self._with_less, self._with_more, self._all = along[..., :-1], along[..., 1:], everything

    def best(self) -> Floats:
        """[..., L - 1] how far the best one is on the way from the lesser to the greater, 0 to 1."""
        of_less = self._with_less * self._more - self._with_more * self._both
        of_more = self._with_more * self._less - self._with_less * self._both
        total = of_less + of_more
        part: Floats = np.clip(of_more / np.where(total > 0, total, np.inf), 0.0, 1.0)
        return part

    def left(self, part: Floats) -> tuple[Floats, Floats]:
        """[..., L - 1] the variance that each leaves, and the slope by which what is to be explained follows it."""
        rest = 1.0 - part
        var = rest**2 * self._less + 2.0 * rest * part * self._both + part**2 * self._more
        along = rest * self._with_less + part * self._with_more
        # What moves against what it should follow does not follow it.
        slope = np.maximum(along, 0.0) / np.maximum(var, _NOTHING)
        return self._all - slope * along, slope
