"""What explains the signals of a device, and what is left of them: contexts along a line or curves, and the hour of the day."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from anomaly.detector import Columns, Field, Layout, believable, or_zero
from anomaly.detectors.curves import RECENT, Curves
from anomaly.detectors.line import Line
from anomaly.detectors.rest import Rest, fast, share
from anomaly.detectors.rhythm import Rhythm
from core.profile import Profile
from telemetry.ranges import modes_of
from telemetry.window import Bools, Floats, Tick

_FLOOR = 1e-5
"""The spread is never taken to be less than this share of a signal's range, nor of more than its own usual size."""
_NOTHING, _NEVER = np.zeros((1, 1)), np.zeros((1, 1), dtype=bool)
"""What is expected of values from which all that explains them was taken already; what is so of no signal."""
FEWEST = 20
"""So many ticks a signal must have been measured in before it is judged."""
LEARN_ALL, LEARN_NONE = 1.5, 3.0
"""Up to how many widths of the band a value is learnt with full weight, and from how many on not at all. A higher threshold
learns no more: a slow fault would widen its own band before it is found."""


class Explained:
    """Three explanations of S signals side by side, each with what it leaves: a straight line through the contexts, curves through
    them, and the hour of the day besides the better of these two. Each signal is judged by the best that is believed.
    """

    def __init__(self, profile: Profile, judged: Sequence[str], threshold: float, memory: float) -> None:
        """threshold: widths of the band that are abnormal. memory: ticks in which at most is learnt."""
        self._threshold = threshold
        names, contexts = list(profile.signals), profile.contexts
        self._columns = np.array([names.index(n) for n in judged], dtype=np.int64)
        self._contexts = np.array([names.index(n) for n in contexts], dtype=np.int64)
        spans = {n: signal.range[1] - signal.range[0] for n, signal in profile.signals.items()}
        floor, by_context = (np.array([spans[n] for n in some]) for some in (judged, contexts))
        floor *= _FLOOR
        self._wild = believable(profile)
        s = len(floor)
        self._line = Line(by_context, s)
        self._by_line = Rest("line", threshold, floor)
        self.layout: Layout = {**self._line.layout, **self._by_line.layout}
        modes = modes_of(profile.signals)[self._contexts]
        self._curves = Curves(by_context, modes, s) if contexts else None
        self._by_curve = Rest("curve", threshold, floor, RECENT)
        if self._curves is not None:
            self.layout = {
                **self.layout,
                **self._curves.layout,
                **self._by_curve.layout,
                "explained": Field(shape=(s,)),  # whether curves knew the context it was measured in, in the last tick
                "usual": Field(shape=(s,)),  # what curves said of it, smoothed as the rest is
            }
        self._rhythm = Rhythm(profile, s) if Rhythm.shows(profile, memory) else None
        self._by_hour = Rest("hour", threshold, floor, RECENT)
        if self._rhythm is not None:
            self.layout = {**self.layout, **self._rhythm.layout, **self._by_hour.layout}
        there = (
            (self._by_line, True),
            (self._by_curve, self._curves is not None),
            (self._by_hour, self._rhythm is not None),
        )
        self._rests = [by for by, used in there if used]

    def seen(self, tick: Tick) -> Bools:
        """[D, S] which of the signals were measured."""
        return np.isfinite(tick.values[:, self._columns])

    def follow(
        self, tick: Tick, age: Floats, smooth: Floats, warm: Bools, renewed: Floats | None, state: Columns
    ) -> None:
        """Moves the running means of the present, and holds what explanations leave against its usual spread. age: [D, S] ticks since
        the value before. smooth: [D, S] or [1, 1], in ticks. warm: [D, S] what may be judged. renewed: see `Rest.follow`.
        """
        values = self._believable(tick)
        y, context = values[:, self._columns], values[:, self._contexts]
        seen = np.isfinite(y)
        self._line.follow(context, fast(smooth).max(axis=1, keepdims=True, initial=1.0), state)
        expected = self._line.expected(state)
        self._by_line.take(y, seen, age, smooth, state)
        ready = warm & self._by_line.enough(state, FEWEST)
        width = self._width_by(self._by_line, state, smooth)
        self._by_line.follow(expected, width, seen, age, smooth, state, renewed)
        self._by_line.judge(width, ready, state)
        if self._curves is not None:
            told, sure = self._curves.follow(context, self._line.slope(state), smooth, state)
            explained = seen & sure
            state["explained"] = explained.astype(float)
            self._by_curve.take(y - told, explained, age, smooth, state)
            width = self._width_by(self._by_curve, state, smooth)
            self._by_curve.follow(_NOTHING, width, explained, age, smooth, state, renewed)
            self._by_curve.judge(width, ready, state)
            step = np.where(self._by_curve.first(state), 1.0, share(age, smooth))
            state["usual"] += np.where(explained, step * (told - state["usual"]), 0.0)
        if self._rhythm is not None:
            left, explained = self._left(seen, expected, state)
            width = self._width_by(self._by_hour, state, smooth)
            left, known = self._rhythm.rest(tick.time, left, self._threshold * width, smooth, state)
            self._by_hour.put(left, explained & known, state)
            self._by_hour.follow(_NOTHING, width, explained & known, age, smooth, state, renewed)
            self._by_hour.judge(width, ready, state)

    def deviation(self, state: Columns) -> Floats:
        """[D, S] of the rest as last judged, 1 at the threshold; NaN where it is not known."""
        return self._best(lambda by: by.deviation(state), state)

    def rest(self, state: Columns) -> Floats:
        """[D, S] what is left of each signal, smoothed, in its unit."""
        return self._best(lambda by: by.rest(state), state)

    def width(self, smooth: Floats, state: Columns) -> Floats:
        """[D, S] the usual spread of the rest."""
        return self._best(lambda by: self._width_by(by, state, smooth), state)

    def expected(self, time: int, state: Columns) -> Floats:
        """[D, S] what each signal should be in the present context, and at this hour where that tells anything."""
        expected = self._line.expected(state)
        if self._curves is not None:
            # Of one tick's mode this says nothing, but of all that the rest was smoothed over.
            expected = np.where(self._curves.believed(state), state["usual"], expected)
        if self._rhythm is not None:
            adds, _ = self._rhythm.told(time, state)
            expected = expected + np.where(self._rhythm.believed(state), adds, 0.0)
        return expected

    def hourly(self, state: Columns) -> Bools:
        """[D, S] where what is expected depends on the hour."""
        return np.zeros(state["known"].shape, dtype=bool) if self._rhythm is None else self._rhythm.believed(state)

    def learn(self, tick: Tick, passed: Floats, smooth: Floats, memory: Floats, state: Columns) -> None:
        """Takes a tick into what is usual, with less weight the stranger a signal is. passed: [D, S] ticks since the last value, 0 where
        none was measured. memory: [D, S] or [1, 1], in ticks.
        """
        bent, anew = self._bent(state), _NEVER
        trust = {by: self._trust(by, passed, state) for by in self._rests}
        strict, value = trust, self._by_line.value(state)
        if self._rhythm is not None:
            # What is strange at its hour is not learnt from, though another explanation sees nothing.
            trust[self._by_hour] *= self._rhythm.usual(passed, smooth, state)
            rhythmic, by_hour = self._rhythm.believed(state), trust[self._by_hour]
            strict = {by: np.where(rhythmic, np.minimum(own, by_hour), own) for by, own in trust.items()}
            expected = self._line.expected(state)
            value = np.where(rhythmic & ~bent, expected + self._by_hour.value(state), value)
            left, explained = self._left(passed > 0, expected, state)
            self._learn_hour(self._rhythm, tick.time, left, explained, trust, smooth, memory, state)
        if self._curves is not None:
            line = self._line.expected(state, state["now"])
            told, longest = strict[self._by_curve], np.broadcast_to(memory, passed.shape)
            anew = self._curves.learn(self._believable(tick)[:, self._columns], line, told, longest, state)
            told = trust[self._by_curve] * state["explained"]
            self._by_curve.count(told, memory, state)
            self._by_curve.learn(told, _NOTHING, smooth, state)
            self._by_curve.begin(anew, state)
        self._by_line.count(trust[self._by_line], memory, state)
        step = self._by_line.step(strict[self._by_line], state)
        self._line.learn(value, step, self._by_line.first(state), state)
        self._line.regress(state)
        self._by_line.learn(trust[self._by_line], self._line.expected(state), smooth, state)
        other = (anew & bent) | (bent != self._bent(state))
        if self._rhythm is not None and other.any():
            # Another explanation leaves something else.
            self._rhythm.begin(other, state)
            self._by_hour.begin(other, state)

    def settle(self, new: Bools, state: Columns) -> None:
        """Takes what is left of some signals, [D, S], for their new normal."""

        def lasting(by: Rest) -> Floats:
            # Not what comes and goes with the hour, where that is known.
            left = by.rest(state)
            if self._rhythm is not None:
                left = np.where(self._rhythm.believed(state), self._by_hour.rest(state), left)
            return np.where(new, left, 0.0)

        self._line.shift(lasting(self._by_line), state)
        self._by_line.settle(new, state)
        if self._curves is not None:
            self._curves.shift(lasting(self._by_curve), state)
            self._by_curve.settle(new, state)
        if self._rhythm is not None:
            self._by_hour.settle(new, state)

    def _believable(self, tick: Tick) -> Floats:
        return np.clip(tick.values, -self._wild, self._wild)

    def _bent(self, state: Columns) -> Bools:
        """[D, S] where curves explain the signal better than the line."""
        return _NEVER if self._curves is None else self._curves.believed(state)

    def _of_contexts(self, of: Callable[[Rest], Floats], state: Columns) -> Floats:
        """[D, S] something of each signal by the better of line and curves."""
        by_line = of(self._by_line)
        return by_line if self._curves is None else np.where(self._curves.believed(state), of(self._by_curve), by_line)

    def _best(self, of: Callable[[Rest], Floats], state: Columns) -> Floats:
        """[D, S] something of each signal by what explains it best."""
        found = self._of_contexts(of, state)
        return found if self._rhythm is None else np.where(self._rhythm.believed(state), of(self._by_hour), found)

    def _left(self, seen: Bools, by_line: Floats, state: Columns) -> tuple[Floats, Bools]:
        """[D, S] what the better of line and curves leaves of the values, smoothed a little, and where it explains what was seen.
        by_line: what the line expects.
        """
        left = self._by_line.value(state) - by_line
        if self._curves is None:
            return left, seen
        bent = self._curves.believed(state)
        return np.where(bent, self._by_curve.value(state), left), seen & ((state["explained"] > 0) | ~bent)

    def _width_by(self, by: Rest, state: Columns, smooth: Floats) -> Floats:
        """[D, S] usual spread of what an explanation leaves; wider where it hardly knows the context."""
        correlated = 2.0 * fast(smooth)
        unsure: Floats | float = 0.0
        if by is not self._by_curve:
            independent = np.maximum(by.weight(state) / correlated, 1.0)
            unsure = self._line.unsure(by.scatter(state), independent, state)
        if self._curves is not None and by is not self._by_line:
            doubt = by.scatter(state) * correlated * self._curves.doubt(state)
            unsure = doubt if by is self._by_curve else np.where(self._curves.believed(state), doubt, unsure)
        return by.width(self._line.usual(state), smooth, state, unsure)

    def _learn_hour(
        self,
        rhythm: Rhythm,
        time: int,
        left: Floats,
        explained: Bools,
        trust: Mapping[Rest, Floats],
        smooth: Floats,
        memory: Floats,
        state: Columns,
    ) -> None:
        """Takes what the better of line and curves leaves into what is usual at this hour. left, explained: see `_left`."""
        told = self._best(lambda by: trust[by], state) * explained * rhythm.settled(state["known"])
        followed = trust[self._by_hour] * (explained & rhythm.told(time, state)[1])
        self._by_hour.count(followed, memory, state)
        self._by_hour.learn(followed, _NOTHING, smooth, state)
        without = self._of_contexts(lambda by: by.rest(state), state)
        step, weight = self._by_hour.step_of_spread(followed, smooth, state), self._by_hour.weight(state)
        rhythm.believe(self._by_hour.spread(state), without, step, weight, smooth, state)
        scatter = self._by_hour.scatter(state)
        rhythm.learn(time, left, scatter, told, memory, state)
        if (changed := rhythm.look(time, scatter, state)).any():
            self._by_hour.begin(changed, state)

    def _trust(self, by: Rest, passed: Floats, state: Columns) -> Floats:
        """[D, S] ticks that count as learnt: those since the last value, or fewer, down to none, the stranger it is."""
        strange = np.abs(or_zero(by.deviation(state))) * self._threshold
        trust: Floats = np.clip((LEARN_NONE - strange) / (LEARN_NONE - LEARN_ALL), 0.0, 1.0)
        return trust * passed
