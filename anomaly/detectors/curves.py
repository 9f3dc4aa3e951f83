"""What each context signal makes of each signal where that is no straight line, point by point, as each device learns it for itself:
modes of operation, a turbine's power over the wind.
"""

import numpy as np

from anomaly.detector import Columns, Field, Layout, or_zero, total
from anomaly.detectors.lags import LAGS, WEIGHTS, Lags
from telemetry.window import Bools, Floats, Ints

POINTS = 12
"""A curve has at most so many points, and no two that are nearer than this part of what the context ever moved over."""
_LEAST = 0.005
"""Nor nearer than this share of the context's range."""
_MODE = 0.5
"""But modes are whole numbers, and each is a point, with nothing between it and the next."""
_SURE = 1.0
"""A value is explained where all that the curves say of it is no less certain than a single value."""
_KNOWN = 2.0
"""A point that fewer values were learnt at says nothing of what lies between it and the next."""
_PRIOR = 0.001
"""What is said of a new point, by the slope of the line from its neighbour, is worth so many values."""
_BENT, _STRAIGHT = 1 / 3, 1 / 2
"""Curves are believed once they leave less than this share of what the line leaves, in variance, until they leave more than that."""
_COMPARED = 20
"""So many values must have been foretold by both."""
RECENT = 2.0
"""What curves leave now counts so many times as much as all before: they get better for long, and a lag is found late."""
_BARELY = 1e-9
"""A point that no tick was spent at yet."""
_FADING = np.tile(1.0 - WEIGHTS, (POINTS, 1))
"""[P, L] what is left of a share after a tick."""


class Curves:
    """A sum of curves through at most 12 points each, one for each of C contexts, for S signals, each of which may follow each
    context late.

    They are learnt from single values, since a mode that lasts for one tick has no part in the next. A value moves the points that
    explain it by how little is known of them, as a Kalman filter would. They are believed of a signal once they foretell its
    values better than a straight line does, and better than what the line left lately: what only follows in time explains nothing.
    """

    def __init__(self, spans: Floats, modes: Bools, signals: int) -> None:
        """spans: [C] what the contexts' sensors can give, from the least to the greatest. modes: [C] which are numbers of modes."""
        self._least, self._modes = spans * _LEAST, modes
        c, s = len(spans), signals
        self._lags = Lags(c, s)
        self.layout: Layout = {
            "now": Field(shape=(c,), start=np.nan),  # context, as last measured
            "low": Field(shape=(c,), start=np.nan),
            "high": Field(shape=(c,), start=np.nan),
            "nearest": Field(shape=(c,), start=-1.0),  # which point the context is nearest to
            "point": Field(shape=(c, POINTS)),  # mean context there
            "times": Field(shape=(c, POINTS)),  # ticks spent there, at most the memory; 0 is no point
            "spent": Field(shape=(c, POINTS), dtype="<f4"),  # share of the last ticks that were spent there
            "share": Field(shape=(c, POINTS, len(LAGS)), dtype="<f4"),  # by each lag that there may be
            "height": Field(shape=(c, POINTS, s), dtype="<f4"),  # what is added to what is common
            "learnt": Field(shape=(c, POINTS, s), dtype="<f4"),  # values learnt there, at most the memory
            "common": Field(shape=(s,)),
            "commonly": Field(shape=(s,)),  # values learnt in all, at most the memory
            "told": Field(shape=(s,)),  # the sum in the present context
            "says": Field(shape=(s, c)),  # each context's part in it
            "unsure": Field(shape=(s,)),  # its variance, in variances of single values
            "lately": Field(shape=(s,)),  # what the line left lately, as soon forgotten as curves move
            "by_line": Field(shape=(s,)),  # mean square of what the line left of values that were not learnt yet
            "by_time": Field(shape=(s,)),
            "by_curve": Field(shape=(s,)),
            "compared": Field(shape=(s,)),
            "bent": Field(shape=(s,)),  # whether curves are believed
            **self._lags.layout,
        }

    def follow(self, context: Floats, slope: Floats, smooth: Floats, state: Columns) -> tuple[Floats, Bools]:
        """Takes the context [D, C] of a tick. Returns [D, S] what the signals should be in it, and whether that is known. slope:
        [D, S, C] of the straight line. smooth: [D, S] or [1, 1], the last ticks are so many.
        """
        state["now"] = np.where(np.isfinite(context), context, state["now"])
        state["low"] = np.fmin(state["low"], state["now"])
        state["high"] = np.fmax(state["high"], state["now"])
        apart = np.maximum(or_zero(state["high"] - state["low"]) / POINTS, self._least)
        apart = np.where(self._modes, _MODE, apart)
        unsure = 1.0 / (state["commonly"] + _PRIOR)
        last = np.broadcast_to(smooth.max(axis=1, initial=1.0), len(unsure))
        at_once = np.empty_like(state["says"])
        for c in range(len(self._least)):
            self._place(c, apart[:, c], slope[:, :, c], state)
            after, part = self._between(c, state)
            self._spend(c, last, after, part, state)
            at_once[:, :, c], doubt = self._at_once(c, after, part, state)
            state["says"][:, :, c] = at_once[:, :, c]
            late, lagging, share = self._late(c, state)
            if len(late):
                says, learnt = (state["height"][late, c] * share).sum(axis=1), state["learnt"][late, c] + _PRIOR
                state["says"][late, :, c] = np.where(lagging, says, at_once[late, :, c])
                doubt[late] = np.where(lagging, (share**2 / learnt).sum(axis=1), doubt[late])
            unsure += doubt
        self._lags.follow(at_once, state)
        state["told"], state["unsure"] = state["common"] + total(state["says"]), unsure
        return state["told"], unsure <= _SURE

    def believed(self, state: Columns) -> Bools:
        """[D, S] where curves explain the signal, not the straight line alone."""
        found: Bools = state["bent"] > 0
        return found

    def doubt(self, state: Columns) -> Floats:
        """[D, S] the variance of what they said over the last ticks, in variances of single values: errors of several points level
        out, that of one does not. 0 where they are not believed.
        """
        doubt = np.zeros_like(state["unsure"])
        some = np.nonzero((state["bent"] > 0).any(axis=1))[0]
        if len(some):
            by_point = 1.0 / np.maximum(state["learnt"][some], 1.0)
            by_all = 1.0 / (state["commonly"][some] + _PRIOR)
            doubt[some] = by_all + np.einsum("dcp,dcps->ds", state["spent"][some] ** 2, by_point)
        return doubt

    def learn(self, values: Floats, line: Floats, trust: Floats, memory: Floats, state: Columns) -> Bools:
        """Takes a tick's values [D, S]. line: [D, S] what the straight line says of them in the context as last measured. trust:
        [D, S] how far they are to be learnt from. memory: [D, S] in ticks. Returns [D, S] where the curves say something else from now
        on, as another lag was found.
        """
        measured, unsure = np.isfinite(values), state["unsure"]
        values = np.where(measured, values, state["told"])
        left = values - state["told"]
        sure = unsure <= _SURE
        trust = np.where(measured, np.minimum(trust, 1.0), 0.0)
        compared = trust * sure
        self._compare(values - line, left, compared, memory, state)
        # What is hardly known is learnt in any case: a new mode is no fault.
        trust = np.where(measured & ~sure, 1.0, trust)
        weighed = trust * left / (1.0 + unsure)
        state["common"] += weighed / (state["commonly"] + _PRIOR)
        state["commonly"] = np.minimum(state["commonly"] + trust, memory)
        longest = memory.max(axis=1, initial=1.0)
        for c in range(len(self._least)):
            there = np.nonzero(state["nearest"][:, c] >= 0)[0]
            at = state["nearest"][there, c].astype(np.int64)
            learnt = state["learnt"][there, c, at]
            late, lagging, share = self._late(c, state)
            at_once = np.ones(trust.shape, dtype=bool)
            at_once[late] = ~lagging
            at_once = at_once[there]
            state["height"][there, c, at] += np.where(at_once, weighed[there] / (learnt + _PRIOR), 0.0)
            state["learnt"][there, c, at] = np.minimum(learnt + np.where(at_once, trust[there], 0.0), memory[there])
            if len(late):
                share, learnt = np.where(lagging[:, None], share, 0.0), state["learnt"][late, c]
                state["height"][late, c] += weighed[late, None] * share / (learnt + _PRIOR)
                state["learnt"][late, c] = np.minimum(learnt + trust[late, None] * share**2, memory[late, None])
            times = np.minimum(state["times"][there, c, at] + 1.0, longest[there])
            state["times"][there, c, at] = times
            state["point"][there, c, at] += (state["now"][there, c] - state["point"][there, c, at]) / np.maximum(
                times, 1.0
            )
        anew = np.zeros(trust.shape, dtype=bool)
        # Last: the curves learnt this tick by the lags by which they foretold it.
        for device, signal, c, gain in self._lags.learn(left[:, :, None] + state["says"], compared, memory, state):
            self._stretch(device, signal, c, gain, state)
            anew[device, signal] = True
        state["compared"] = np.where(anew, 0.0, state["compared"])
        return anew

    def shift(self, by: Floats, state: Columns) -> None:
        """Moves all curves by [D, S]."""
        state["common"] += by

    @staticmethod
    def _compare(by_line: Floats, by_curve: Floats, trust: Floats, memory: Floats, state: Columns) -> None:
        """Takes [D, S] what both left of values into the account of which is better."""
        state["compared"] = np.minimum(state["compared"] + trust, memory)
        step = np.minimum(RECENT * trust / np.maximum(state["compared"], 1.0), 1.0)
        for field, left in (("by_line", by_line), ("by_time", by_line - state["lately"]), ("by_curve", by_curve)):
            state[field] += step * (left**2 - state[field])
        state["lately"] += trust * (by_line - state["lately"]) * state["unsure"] / (1.0 + state["unsure"])
        most = np.where(state["bent"] > 0, _STRAIGHT, _BENT) * np.minimum(state["by_line"], state["by_time"])
        state["bent"] = ((state["compared"] >= _COMPARED) & (state["by_curve"] < most)).astype(float)

    @staticmethod
    def _stretch(device: int, signal: int, c: int, gain: float, state: Columns) -> None:
        """Makes a curve steeper by `gain`, as the signal follows it by another lag. The points are learnt anew from there: by the
        wrong lag they took what earlier contexts had left behind for their own.
        """
        times, height = state["times"][device, c], state["height"][device, c, :, signal]
        mean = (height * times).sum() / max(times.sum(), _BARELY)
        state["height"][device, c, :, signal] = np.where(times > 0, mean + gain * (height - mean), height)
        state["learnt"][device, c, :, signal] = np.minimum(state["learnt"][device, c, :, signal], _KNOWN)

    def _between(self, c: int, state: Columns) -> tuple[Ints, Floats]:
        """[D] the point that is next to the nearest one on that side where the context is, and how far it is on the way there."""
        rows, at = np.arange(len(state["now"])), state["nearest"][:, c].astype(np.int64)
        point = state["point"][:, c]
        own = point[rows, at]
        away = np.where(at >= 0, state["now"][:, c] - own, 0.0)
        beside = (point - own[:, None]) * np.where(away >= 0, 1.0, -1.0)[:, None]
        beside = np.where((state["times"][:, c] > 0) & (beside > 0), beside, np.inf)
        after = beside.argmin(axis=1)
        part = np.minimum(np.abs(away) / beside[rows, after], 1.0)
        return after, np.zeros_like(part) if self._modes[c] else part

    @staticmethod
    def _spend(c: int, last: Floats, after: Ints, part: Floats, state: Columns) -> None:
        """Moves the shares of the last ticks [D] that were spent at each point of a curve, and of those that a signal may follow."""
        at = state["nearest"][:, c].astype(np.int64)
        there = np.nonzero(at >= 0)[0]
        state["spent"][:, c] *= (1.0 - 1.0 / last)[:, None]
        state["spent"][there, c, at[there]] += 1.0 / last[there]
        at, after = at[there], after[there]
        beyond = np.where(state["times"][there, c, after] >= _KNOWN, part[there], 0.0).astype(np.float32)[:, None]
        shares = state["share"][:, c]
        shares *= _FADING
        shares[there, at] += (1.0 - beyond) * WEIGHTS
        shares[there, after] += beyond * WEIGHTS

    @staticmethod
    def _at_once(c: int, after: Ints, part: Floats, state: Columns) -> tuple[Floats, Floats]:
        """[D, S] the height of a curve in the present context, and its variance, in variances of single values."""
        at = state["nearest"][:, c].astype(np.int64)
        known = (at >= 0)[:, None]
        height, learnt = (_of(state[field], c, at) for field in ("height", "learnt"))
        part = np.where(_of(state["learnt"], c, after) >= _KNOWN, part[:, None], 0.0)
        height += part * (_of(state["height"], c, after) - height)
        return np.where(known, height, 0.0), np.where(known, 1.0 / (learnt + _PRIOR), 0.0)

    @staticmethod
    def _late(c: int, state: Columns) -> tuple[Ints, Bools, Floats]:
        """Devices that have signals which follow a context late; of these [D, S] which do, and [D, P, S] how much of what they
        follow was spent at each point.
        """
        lagging = (state["lag"][:, :, c] > 0) | (state["lag_part"][:, :, c] > 0)
        late = np.nonzero(lagging.any(axis=1))[0]
        if not len(late):
            return late, lagging[late], state["height"][late, c]
        lag, part = state["lag"][late, :, c].astype(np.int64), state["lag_part"][late, :, c, None]
        shares, lag = state["share"][late, c], lag[:, None]
        less, more = (np.take_along_axis(shares, at, axis=2) for at in (lag, lag + 1))
        part = part[:, None, :, 0]
        return late, lagging[late], (1.0 - part) * less + part * more

    @staticmethod
    def _place(c: int, apart: Floats, slope: Floats, state: Columns) -> None:
        """Finds the point that each device's context is nearest to, a new one where all are farther than [D] `apart`."""
        now = state["now"][:, c]
        away = _away(now, state["point"][:, c], state["times"][:, c])
        nearest = away.argmin(axis=1)
        far = np.nonzero(np.isfinite(now) & (away[np.arange(len(now)), nearest] > apart))[0]
        if len(far):
            full = far[(state["times"][far, c] > 0).all(axis=1)]
            if len(full):
                _unite(c, full, apart, state)
            new = far[(state["times"][far, c] == 0).any(axis=1)]
            beside = _nearest(new, c, state)
            at = np.argmax(state["times"][new, c] == 0, axis=1)
            first = (state["times"][new, c] == 0).all(axis=1)[:, None]
            along = (now[new] - state["point"][new, c, beside])[:, None] * slope[new]
            state["height"][new, c, at] = np.where(first, 0.0, state["height"][new, c, beside] + along)
            state["point"][new, c, at] = now[new]
            state["times"][new, c, at] = _BARELY
            state["learnt"][new, c, at] = 0.0
            state["spent"][new, c, at] = 0.0
            state["share"][new, c, at] = 0.0
            nearest[far] = _nearest(far, c, state)
        state["nearest"][:, c] = np.where(np.isfinite(now), nearest, -1)


def _of(column: Floats, c: int, at: Ints) -> Floats:
    """[D, S] one point [D] of each device's curve, of a column [D, C, P, S]; numpy takes rows of a matrix soonest."""
    devices, contexts, points, signals = column.shape
    rows = (np.arange(devices) * contexts + c) * points + at
    found: Floats = column.reshape(devices * contexts * points, signals).take(rows, axis=0)
    return found


def _away(now: Floats, point: Floats, times: Floats) -> Floats:
    """[D, P] how far each point of a curve is from the context [D], NaN where that is not known. point, times: [D, P]."""
    away: Floats = np.abs(point - now[:, None])
    away[times <= 0] = np.inf
    return away


def _nearest(devices: Ints, c: int, state: Columns) -> Ints:
    """The point of a curve that the context of each of some devices is nearest to."""
    away = _away(*(state[field][devices, c] for field in ("now", "point", "times")))
    nearest: Ints = away.argmin(axis=1)
    return nearest


def _unite(c: int, devices: Ints, apart: Floats, state: Columns) -> None:
    """Makes the two nearest points of a curve one where they are nearer than [D] `apart`: they were told apart when the context
    had hardly moved.
    """
    order = np.argsort(state["point"][devices, c], axis=1)
    gaps = np.diff(np.take_along_axis(state["point"][devices, c], order, axis=1), axis=1)
    best = gaps.argmin(axis=1)
    rows = np.arange(len(devices))
    some = gaps[rows, best] < apart[devices]
    one, other = order[rows, best][some], order[rows, best + 1][some]
    devices = devices[some]

    def unite(field: str, weight: str) -> None:
        value, by = state[field], state[weight]
        own, others = by[devices, c, one], by[devices, c, other]
        part = others / np.maximum(own + others, _BARELY)
        value[devices, c, one] += part * (value[devices, c, other] - value[devices, c, one])

    unite("point", "times")
    unite("height", "learnt")
    for field in ("learnt", "times", "spent"):
        state[field][devices, c, one] += state[field][devices, c, other]
        state[field][devices, c, other] = 0.0
    state["share"][devices, c, one] += state["share"][devices, c, other]
    state["share"][devices, c, other] = 0.0
