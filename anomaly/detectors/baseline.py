"""A device against its own past: robust self-baseline with slow drift, corrected for context.

Each judged signal is smoothed, explained by the profile's context signals (room temperature, load, mode of operation) through
what the device has learnt of them for itself, and the rest is held against its own usual spread.
What looks abnormal is not learnt (after river's QuantileFilter: score first, learn last).
"""

from typing import ClassVar

import numpy as np

from anomaly.asked import Asked
from anomaly.detector import Columns, Field, Layout, SignalEvidence, Track, alone, or_zero
from anomaly.detectors.explained import FEWEST, LEARN_NONE, Explained
from anomaly.detectors.renewal import Renewal
from anomaly.detectors.rest import share
from anomaly.detectors.spell import spell, warm_up
from core.profile import Profile
from telemetry.window import Bools, Floats, Tick

MEMORY, SMOOTH = 336, 12
"""What a profile that gives no durations gets, in ticks: with hourly ticks two weeks, half a day."""
_WIDEST, _GROWS = 1 / 4, 6.0
"""Without a duration the smoothing widens, as a device grows older than the horizon by so many horizons, up to this share of it:
what lasts for less foretells nothing, however often the device measures.
"""
_REMEMBERED = MEMORY / SMOOTH
"""Then the memory is at least this many times the smoothing: a device that is as wide as it gets has lived for as long as it remembers."""
_LASTS = 4
"""An alarm opens after a quarter of the smoothing and closes after the whole, where the profile says nothing else."""
_SILENT = 4
"""A signal that was not measured for so many times the smoothing, while others were, says nothing any more."""
_SAME = 0.4
"""A level that moved by less than this share of the threshold has stayed where it is."""
_LEVELLED = 8
"""Whether it moved is seen by its mean over the memory divided by this."""
_ALLOWED, _DRIFTED = 0.1, 0.05
"""What is beyond this share of the threshold is added up as drift, and drift is abnormal at this share of the threshold times the
memory: a quarter of the threshold for a third of the memory, half of it for an eighth."""
_SCATTERED = 1.4
"""It is never abnormal at less than this many thresholds times the smoothing: so much adds up by chance."""
_MOST_AT_ONCE = 0.8
"""No tick adds more to a drift than this share of the threshold: what is far out shows without it."""
_MOST_DRIFT = 1.5
"""A drift that is over is forgotten soon, so it is never more than this."""


class Baseline:
    """Scores each failure mode by how far its symptoms are from the device's own normal, in the declared directions.

    A component that has signals but no failure mode with symptoms is watched for any deviation, as `abnormal`.
    """

    name: ClassVar[str] = "baseline"
    version: ClassVar[str] = "9"

    def __init__(self, profile: Profile) -> None:
        settings = profile.detectors.baseline
        if settings is None:
            raise ValueError(f"profile {profile.name} does not use the detector {self.name}")
        self._profile = profile
        self._threshold = settings.threshold
        self._judged = profile.measured
        self._warm_up = warm_up(settings.warm_up, profile)
        self._memory = spell(settings.memory, profile, max(MEMORY, 2 * self._warm_up))
        self._smooth = spell(settings.smooth, profile, SMOOTH)
        self._horizon = profile.horizon / profile.tick
        widest = min(self._horizon * _WIDEST, self._memory / _REMEMBERED if settings.memory is not None else np.inf)
        self._widest = max(self._smooth, widest) if settings.smooth is None else self._smooth
        self._remembered = _REMEMBERED if settings.memory is None else 0.0
        longest = max(self._memory, self._remembered * self._widest)
        self._explained = Explained(profile, self._judged, self._threshold, longest)
        self._drifts = settings.drift
        self._asked = Asked.of(profile, self._judged)
        self._renewal = Renewal(profile, self._judged, self._asked, min(1.0, LEARN_NONE / self._threshold))
        self.tracks = tuple(
            Track(
                component=component,
                failure_mode=mode,
                kind="degradation",
                on_delay=spell(settings.on_delay, profile, -(-self._smooth // _LASTS)),
                off_delay=spell(settings.off_delay, profile, self._smooth),
                off_below=1.0 - settings.deadband / settings.threshold,
            )
            for component, mode in self._asked.modes
        )
        s = len(self._judged)
        self.layout: Layout = {
            "known": Field(shape=(s,)),  # ticks since the signal was first measured
            "age": Field(shape=(s,)),  # ticks since it was last measured before this one
            "fresh": Field(shape=(s,)),  # whether it was measured in the last tick
            "level": Field(shape=(s,)),  # the deviation, smoothed once more
            "held": Field(shape=(s,)),  # the same when it last moved
            "still": Field(shape=(s,)),  # ticks since then, while it is strange
            **self._renewal.layout,
            **self._explained.layout,
        }
        if self._drifts:
            # Upwards and downwards: deviations added up, 1 is abnormal.
            self.layout = {**self.layout, "drift": Field(shape=(2, s))}

    def score(self, tick: Tick, state: Columns) -> Floats:
        """[D, K] combined deviation of the symptoms, 1 at the threshold; NaN until the device's warm-up is over."""
        smooth = self._smoothing(state)
        if len(tick.replaced.device):
            self._renewal.begin(tick.replaced, self._deviation(state), smooth, state)
        self._follow(tick, state, smooth)
        deviation = self._deviation(state)
        if self._drifts:
            self._add_up(deviation, state, smooth)
        return self._fuse(self._strongest(deviation, state))

    def _smoothing(self, state: Columns) -> Floats:
        """[D, S], or [1, 1] where all are the same: over how many ticks the rest is smoothed."""
        if self._widest == self._smooth:
            return np.array([[float(self._smooth)]])
        older = np.clip((state["known"] / self._horizon - 1.0) / _GROWS, 0.0, 1.0)
        smoothing: Floats = self._smooth + older * (self._widest - self._smooth)
        return smoothing

    def _remembering(self, smooth: Floats) -> Floats:
        """[D, S] over how many ticks what is normal is learnt."""
        return np.maximum(self._memory, self._remembered * smooth)

    def _follow(self, tick: Tick, state: Columns, smooth: Floats) -> None:
        """Takes the tick's values, and holds what explanations leave against its usual spread."""
        seen = self._explained.seen(tick)
        # Time runs in ticks in which the device was heard, so a signal that is measured seldom (a heater's power while it
        # heats) is smoothed over the same time as one that always is.
        passed = tick.heard[:, None] & ((state["known"] > 0) | seen)
        state["known"] += passed
        state["age"] = np.where(state["fresh"] > 0, 0.0, state["age"]) + passed
        state["fresh"] = seen.astype(float)
        silent = ~seen & (state["age"] > np.maximum(_SILENT * smooth, FEWEST))
        warm = (state["known"] >= self._warm_up) & ~silent
        self._explained.follow(tick, state["age"], smooth, warm, self._renewal.since(smooth, state), state)

    def _deviation(self, state: Columns) -> Floats:
        """[D, S] signed deviation from what explains each signal best, 1 at the threshold; NaN where that is not known, or may be
        what a new part is like.
        """
        return self._renewal.known(self._explained.deviation(state), state)

    def _add_up(self, deviation: Floats, state: Columns, smooth: Floats) -> None:
        """Moves the two sums (Page's CUSUM): a deviation that the memory would swallow before it is large shows by lasting."""
        passed = np.where(np.isfinite(deviation), state["fresh"] * state["age"], 0.0)[:, None, :]
        sides = np.array([1.0, -1.0])[:, None]
        towards = np.clip(or_zero(deviation)[:, None, :] * sides, -_MOST_AT_ONCE, _MOST_AT_ONCE)
        enough = np.maximum(_DRIFTED * self._remembering(smooth), _SCATTERED * smooth)
        drift = state["drift"] + (towards - _ALLOWED) * passed / enough[:, None, :]
        # On the other side of normal it was no drift.
        drift = np.where(towards < 0, drift * np.maximum(1.0 - passed / smooth[:, None, :], 0.0), drift)
        state["drift"] = np.clip(drift, 0.0, _MOST_DRIFT)

    def _strongest(self, deviation: Floats, state: Columns) -> Floats:
        """[D, S] the deviation, or the drift where that says more; NaN where the deviation is not known."""
        if not self._drifts:
            return deviation
        drift = state["drift"][:, 0] - state["drift"][:, 1]
        return np.where(np.abs(drift) > np.abs(deviation), np.where(np.isfinite(deviation), drift, np.nan), deviation)

    def _fuse(self, deviation: Floats) -> Floats:
        """[D, K] from signals to failure modes, by the signals that are there; NaN where none is."""
        result = np.full((len(deviation), len(self._asked.modes)), np.nan)
        there = np.isfinite(deviation)
        known = np.where(there, deviation, 0.0)
        for k, (signs, either) in enumerate(zip(self._asked.signs, self._asked.either, strict=True)):
            if either.any():
                fused, count = np.abs(known[:, either]).max(axis=1), there[:, either].sum(axis=1)
            else:
                shown = signs != 0
                count = there[:, shown].sum(axis=1)
                # Stouffer's sum: several signs, each too weak alone, are strong together.
                fused = known[:, shown] @ signs[shown] / np.sqrt(np.maximum(count, 1))
            result[:, k] = np.where(count > 0, fused, np.nan)
        return result

    def learn(self, tick: Tick, state: Columns, abnormal: Bools) -> None:  # noqa: ARG002 — judged by signal, not by mode
        """Moves what is normal, with less weight the stranger a signal is, with none beyond the threshold."""
        smooth = self._smoothing(state)
        memory = self._remembering(smooth)
        deviation = or_zero(self._deviation(state))
        passed = state["fresh"] * state["age"]
        self._explained.learn(tick, passed, smooth, memory, state)
        self._settle(state, deviation, passed, memory)

    def _settle(self, state: Columns, deviation: Floats, passed: Floats, memory: Floats) -> None:
        """Takes a strange level for the new normal when it has not moved for as long as the memory: a setting was changed, or a
        part was exchanged and nobody said so. Wear moves on, and each move starts the time anew. What came with a part that is known
        to be new is normal soon.
        """
        state["level"] += share(passed, np.maximum(1.0, memory / _LEVELLED)) * (deviation - state["level"])
        moved = np.abs(state["level"] - state["held"]) > _SAME
        state["held"] = np.where(moved, state["level"], state["held"])
        strange = np.abs(state["level"]) * self._threshold >= LEARN_NONE
        state["still"] = np.where(strange & ~moved, state["still"] + passed, 0.0)
        new = state["still"] >= memory
        if self._renewal.goes_on(state):
            new |= self._renewal.over(passed, self._explained.deviation(state), state)
        if new.any():
            self._explained.settle(new, state)
            for field in ("level", "held", "still"):
                state[field] = np.where(new, 0.0, state[field])
            if self._drifts:
                state["drift"] = np.where(new[:, None, :], 0.0, state["drift"])

    def because(self, tick: Tick, state: Columns, device: int, track: int) -> list[SignalEvidence]:
        """Symptoms of the failure mode with the normal band in the present context, and what was seen there, smoothed as it is judged."""
        asked = (self._asked.signs[track] != 0) | self._asked.either[track]
        own = alone(device, state)
        smooth = self._smoothing(own)
        plain = self._deviation(own)
        signed = self._strongest(plain, own)
        deviation = signed[0]
        # A drift is judged by what lies outside a narrower band.
        band = np.where(deviation == plain[0], 1.0, _ALLOWED)
        width = self._explained.width(smooth, own)[0] * self._threshold * band
        expected = self._explained.expected(tick.time, own)[0]
        # What was judged is the smoothed rest: the newest value alone may be back within the band.
        seen = expected + self._explained.rest(own)[0]
        hourly = self._explained.hourly(own)[0]
        strength = self._asked.shown(track, signed)[0]
        total = float(strength.sum()) or 1.0
        found = []
        for s, name in enumerate(self._judged):
            if not asked[s] or not np.isfinite(deviation[s]):
                continue
            found.append(
                SignalEvidence(
                    signal=name,
                    unit=self._profile.signals[name].unit,
                    normal_low=float(expected[s] - width[s]),
                    normal_high=float(expected[s] + width[s]),
                    seen=float(seen[s]),
                    contribution=float(strength[s]) / total,
                    direction="high" if deviation[s] > 0 else "low",
                    hourly=bool(hourly[s]),
                )
            )
        return sorted(found, key=lambda e: -e.contribution)
