"""Sensor faults: a signal that stands still, jumps about, leaves its range, or is missing while its device speaks.

Each is held against what this very signal did before, so a signal that is constant, quantised or seldom sent by nature
is no fault. A sensor fault is never blamed on a component, and what the sensor says is kept from the other detectors.
"""

from dataclasses import replace
from typing import ClassVar

import numpy as np

from anomaly.detector import Columns, Field, Layout, SignalEvidence, Track, alone
from anomaly.detectors.spell import warm_up
from core import units
from core.profile import Profile
from telemetry.ranges import modes_of
from telemetry.window import Bools, Floats, Tick

COMPONENT = "sensors"
"""What a sensor fault is filed under: no part of the device that a customer would have repaired."""
_SHORTEST = 6.0
"""Ticks: shorter stands and gaps are taken to be normal for any signal."""
_FEWEST = 20.0
"""So many times a signal must have changed before standing still can mean anything; so many ticks it must have been
measured in before it can be missed.
"""
_RECENT = 24.0
"""Ticks over which jumps and values beyond the range are averaged."""
_SPIKE = 6.0
"""One jump counts no more than this many times the limit: a few single spikes make no noisy sensor."""
_WHITE = -0.25
"""Noise turns back at each step: the mean product of neighbouring steps is below this share of their mean square. It is
-0.5 of white noise, 0 of a random walk, positive of a swing.
"""
_REPEATED = 0.5
"""Share of recent values beyond the range from which on the sensor, not one reading, is wrong."""
_HALF = 0.25
"""Share of the limit, in mean squares, up to which jumps are learnt: half of it in widths."""
_FORGET = 4.0
"""The highest usual jumps are forgotten over so many warm-ups."""
_KINDS = ("stuck", "noisy", "out_of_range", "missing")


class Sensors:
    """Asks about each signal whether its sensor is to be believed; 1 is a fault."""

    name: ClassVar[str] = "sensors"
    version: ClassVar[str] = "3"

    def __init__(self, profile: Profile) -> None:
        settings = profile.detectors.sensors
        if settings is None:
            raise ValueError(f"profile {profile.name} does not use the detector {self.name}")
        self._profile = profile
        self._names = list(profile.signals)
        ranges = np.array([profile.signals[n].range for n in self._names])
        self._low, self._high = ranges[:, 0], ranges[:, 1]
        self._span = self._high - self._low
        # A device may stay in a mode for as long as it likes, and change it as often.
        self._moves = ~modes_of(profile.signals)
        self._count = np.array([profile.signals[n].unit == units.COUNT for n in self._names])
        # What jumps are usual can only be learnt once enough of them are averaged.
        self._warm_up = max(warm_up(settings.warm_up, profile), 2.0 * _RECENT)
        self._times = settings.times
        self._noise = settings.noise**2
        parts = [profile.signals[n].component or n for n in self._names]
        self._beside = np.array([[a == b and i != j for j, b in enumerate(parts)] for i, a in enumerate(parts)])
        self.tracks = tuple(
            Track(
                component=COMPONENT,
                failure_mode=failure_mode(name),
                kind="sensor",
                on_delay=3,
                off_delay=12,
                off_below=0.8,
            )
            for name in self._names
        )
        s = (len(self._names),)
        self.layout: Layout = {
            "fell": Field(shape=s, dtype="?"),  # whether it ever did
            "known": Field(shape=s, dtype="<f4"),  # heard ticks since the signal was first measured
            "n": Field(shape=s, dtype="<f4"),  # ticks in which it was measured
            "last": Field(shape=s, start=np.nan),  # its newest value
            "changes": Field(shape=s, dtype="<f4"),  # times it was another than before
            "flat": Field(shape=s, dtype="<f4"),  # measured ticks for which it has stood still
            "stood": Field(shape=s, dtype="<f4"),  # the stand that has just ended; 0: none
            "longest_flat": Field(shape=s, dtype="<f4"),  # the longest stand that was normal
            "missing": Field(shape=s, dtype="<f4"),  # heard ticks since it was last measured
            "away": Field(shape=s, dtype="<f4"),  # the gap that has just ended; 0: none
            "longest_gap": Field(shape=s, dtype="<f4"),  # the longest gap that was normal
            "step": Field(shape=s, dtype="<f4"),  # the newest change, in shares of the range
            "jumps": Field(shape=s, dtype="<f4"),  # recent mean square of the changes
            "turns": Field(shape=s, dtype="<f4"),  # recent mean product of neighbouring changes
            "usual": Field(shape=s, dtype="<f4"),  # the highest mean square that was normal, slowly forgotten
            "beyond": Field(shape=s, dtype="<f4"),  # recent share of values beyond the range
        }

    def score(self, tick: Tick, state: Columns) -> Floats:
        """[D, S] the strongest of the four faults of each signal; NaN until something can be said of it."""
        self._follow(tick, state)
        faults = self._faults(state)
        # A maximum of nothing known is not known.
        strongest: Floats = np.fmax.reduce(faults, axis=0)
        return strongest

    def _follow(self, tick: Tick, state: Columns) -> None:
        values, heard = tick.values, tick.heard[:, None]
        outside = ((values < self._low) | (values > self._high)).astype(np.float64)
        if tick.beyond is not None:
            # Where nothing within the range came, the sensor is there all the same: it is not missing but wrong.
            values = np.where(np.isfinite(values), values, tick.beyond.values)
            outside = np.maximum(outside, tick.beyond.share)
        seen = np.isfinite(values)
        before = np.isfinite(state["last"])
        both = seen & before
        moved = both & (values != state["last"])
        state["known"] += heard & (before | seen)
        state["n"] += seen
        state["changes"] += moved
        state["fell"] |= both & (values < state["last"])
        # A value far beyond the range says no more than one just beyond it, and squares stay finite.
        shares = np.clip((values - np.where(before, state["last"], values)) / self._span, -2.0, 2.0)
        step = np.where(both, shares, 0.0)
        most = np.where(state["usual"] > 0, _SPIKE * self._noise * state["usual"], np.inf)
        weight = both / np.minimum(np.maximum(state["n"] - 1.0, 1.0), _RECENT)
        turn = np.clip(step * state["step"], -most, most)
        state["jumps"] += weight * (np.minimum(step**2, most) - state["jumps"])
        state["turns"] += weight * (turn - state["turns"])
        state["step"] = np.where(both, step, state["step"])
        state["beyond"] += seen / _RECENT * (outside - state["beyond"])
        state["stood"] = np.where(moved, state["flat"], 0.0)
        state["away"] = np.where(seen, state["missing"], 0.0)
        state["flat"] = np.where(seen, np.where(moved, 0.0, state["flat"] + both), state["flat"])
        state["missing"] = np.where(seen, 0.0, state["missing"] + (heard & before))
        state["last"] = np.where(seen, values, state["last"])

    def _limit(self, longest: Floats) -> Floats:
        limit: Floats = self._times * np.maximum(longest, _SHORTEST)
        return limit

    def _ready(self, state: Columns) -> Bools:
        """[D, S] which signals are known long enough to be judged."""
        ready: Bools = (state["known"] >= self._warm_up) & (state["n"] >= _FEWEST)
        return ready

    def _faults(self, state: Columns) -> Floats:
        """[4, D, S] the score of each fault in the order of `_KINDS`."""
        ready = self._ready(state)
        # A counter stands still for as long as nothing happens.
        moves = self._moves & ~(self._count & ~state["fell"])
        moving = ready & (state["changes"] >= _FEWEST) & moves
        # A part that is off or dead reads zero or the end of its range, and that is for the other detectors to judge.
        inside = (state["last"] != 0.0) & (state["last"] > self._low) & (state["last"] < self._high)
        stuck = np.where(inside, state["flat"], 0.0) / self._limit(state["longest_flat"])
        # When most of a device stands still, it is the device that rests.
        resting = (moving & (state["flat"] >= _SHORTEST)).sum(axis=1) * 2 > np.maximum(moving.sum(axis=1), 1)
        alone = ~resting | (moving.sum(axis=1) == 1)
        stuck = np.where(alone[:, None], stuck, 0.0)
        usual = np.maximum(state["usual"], np.finfo(np.float32).tiny)
        noisy = np.sqrt(state["jumps"] / (self._noise * usual))
        white = state["turns"] < _WHITE * state["jumps"]
        # Noise that the neighbours of the same part share is the part's, not the sensor's.
        shared = ((noisy >= 0.5) & moving).astype(np.float32) @ self._beside.T.astype(np.float32) > 0
        noisy = np.where(white & ~shared, noisy, 0.0)
        beyond = np.where(state["n"] >= _FEWEST, state["beyond"] / _REPEATED, np.nan)
        missing = state["missing"] / self._limit(state["longest_gap"])
        faults: Floats = np.stack(
            [
                np.where(moving, stuck, np.nan),
                np.where(moving & (state["usual"] > 0), noisy, np.nan),
                beyond,
                np.where(ready, missing, np.nan),
            ]
        )
        return faults

    def learn(self, tick: Tick, state: Columns, abnormal: Bools) -> None:
        """How long a signal stood still or stayed away, and how much it jumps, unless that was strange."""
        # What is not judged yet is learnt whatever it is, or a signal that is seldom sent would be strange for good.
        young = ~self._ready(state)
        still = young | (state["changes"] < _FEWEST)
        for newest, longest, early in (("stood", "longest_flat", still), ("away", "longest_gap", young)):
            normal = early | (state[newest] < self._limit(state[longest]))
            state[longest] = np.where(normal, np.maximum(state[longest], state[newest]), state[longest])
        # Until enough steps are averaged, their mean is not yet what is usual.
        known = np.isfinite(tick.values) & (state["n"] > _RECENT)
        calm = known & ~abnormal & (still | (state["jumps"] < _HALF * self._noise * state["usual"]))
        kept = state["usual"] * (1.0 - 1.0 / (_FORGET * self._warm_up))
        state["usual"] = np.where(calm, np.maximum(kept, state["jumps"]), state["usual"])

    def because(self, tick: Tick, state: Columns, device: int, track: int) -> list[SignalEvidence]:  # noqa: ARG002 — the state holds it
        """The one signal, what is wrong with it, and its newest value."""
        own = alone(device, state)
        faults = np.nan_to_num(self._faults(own)[:, 0, track], nan=-1.0)
        name = self._names[track]
        low, high = self._profile.signals[name].range
        return [
            SignalEvidence(
                signal=name,
                unit=self._profile.signals[name].unit,
                normal_low=low,
                normal_high=high,
                seen=float(own["last"][0, track]),
                contribution=1.0,
                direction=_KINDS[int(np.argmax(faults))],
            )
        ]

    def trusted(self, tick: Tick, scores: Floats) -> Tick:
        """The tick as the other detectors see it: without what a faulty sensor says. scores: [D, S] of this detector."""
        values = tick.values
        faulty = (scores >= 1.0) | (values < self._low) | (values > self._high)
        return replace(tick, values=np.where(faulty, np.nan, values)) if faulty.any() else tick


def failure_mode(signal: str) -> str:
    """What a fault of a signal's sensor is called."""
    return f"{signal}_sensor"
