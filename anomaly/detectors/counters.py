"""Counters that stand still or seldom move: restarts, retries, reallocated sectors, error codes. What counts where it hardly ever did
is news, however small; a band around a mean says nothing of it.

Whether a counter counts in a tick is a chain of two states: how often it begins to, and how often it goes on. Both are known from
the device itself and from its fleet. That it counts more often now is added up as a log likelihood ratio (CUSUM, Page 1954), whose
threshold follows from the false-alarm budget: by chance it is reached once in e to its power ticks at most (Lorden 1971).
"""

import math
from dataclasses import replace
from datetime import timedelta
from typing import ClassVar

import numpy as np

from anomaly.asked import Asked
from anomaly.detector import Columns, Field, Layout, SignalEvidence, Track, alone, or_zero
from anomaly.detectors.spell import spell
from core import units
from core.profile import Profile
from telemetry.window import Bools, Floats, Tick

_MONTH, _YEAR = timedelta(days=30), timedelta(days=365)
_SHARES = np.array([1 / 2, 1 / 4, 1 / 16])[:, None]
"""How often it may count now: the power of how often it did. The first is for a few counts in some time, the last for a counter that
counts nearly always."""
_UNKNOWN, _UNKNOWN_ON = 20.0, 2.0
"""A fleet of which nothing is known is taken to have begun to count once in so many ticks, and to have gone on once in so many."""
_OWN, _OWN_ON = 100.0, 5.0
"""After so many ticks, and after so many of those that follow a count, a device is known by itself as well as by its fleet."""
_KEPT = 0.5
"""What the fleet did is not forgotten while less than this share of it is heard: so one device can be judged again alone."""
_ENDS, _ENDS_AFTER = 0.8, timedelta(days=3)
"""An alarm is over when nothing more than this share of the threshold was left for so long."""
_CHANCE = 2.0
"""So much is added up by chance at any time, in one counter in seven: of several counters it counts once."""
_CALM = 1.0
"""With less than this added up a counter stands where it usually does."""
_BUSY = 0.2
"""What counts in more than this share of its ticks is told by how many an hour, too."""
_HOUR = timedelta(hours=1) // timedelta(microseconds=1)
_FALLS = 0.05
"""What falls in more than this share of its ticks, and once at its beginning, is a number of something, but no counter."""


class Counters:
    """Scores each failure mode by the counters among its symptoms, and components without any by all of theirs."""

    name: ClassVar[str] = "counters"
    version: ClassVar[str] = "1"

    def __init__(self, profile: Profile) -> None:
        settings = profile.detectors.counters
        if settings is None:
            raise ValueError(f"profile {profile.name} does not use the detector {self.name}")
        names = list(profile.signals)
        signals = tuple(n for n in profile.measured if profile.signals[n].unit == units.COUNT)
        self._columns = np.array([names.index(n) for n in signals], dtype=np.int64)
        self._codes = profile.codes
        self._counters = signals + self._codes
        asked = Asked.of(profile, signals)
        codes = {(mode.component, name): mode.codes for name, mode in profile.failure_modes.items() if mode.codes}
        modes = tuple(dict.fromkeys((*asked.modes, *codes)))
        self._shows: Bools = np.zeros((len(modes), len(self._counters)), dtype=bool)
        for at, mode in enumerate(modes):
            self._shows[at, len(signals) :] = [code in codes.get(mode, ()) for code in self._codes]
        self._shows[: len(asked.modes), : len(signals)] = (asked.signs > 0) | asked.either
        self._of = {
            component: np.array(
                [profile.signals[n].component == component for n in signals]
                + [any(code in codes[m] for m in codes if m[0] == component) for code in self._codes],
                dtype=bool,
            )
            for component in profile.components
        }
        self._fades = float(np.exp(-profile.tick / (settings.memory or _MONTH)))
        self._forgets = float(np.exp(-profile.tick / _YEAR))
        # In so many ticks the budget allows one alarm, and each counter would have one by chance.
        once = _MONTH / profile.tick / profile.false_alarms
        self._threshold = np.log(np.maximum(once * self._shows.sum(axis=1), math.e))
        self._usual = math.log(max(once, math.e))
        self.tracks = tuple(
            Track(
                component=component,
                failure_mode=mode,
                kind="degradation",
                on_delay=1,
                off_delay=spell(_ENDS_AFTER, profile, 1),
                off_below=_ENDS,
            )
            for component, mode in modes
        )
        s = len(self._counters)
        pair = Field(shape=(2, s))  # in ticks after one without a count, and after one with
        self.layout: Layout = {
            "value": Field(shape=(s,), start=np.nan),
            "at": Field(shape=(s,), dtype="<i8"),  # when that was
            "an_hour": Field(shape=(s,), start=np.nan),  # how fast it counted to get there
            "stood": Field(shape=(s,)),  # the value before it began to count
            "known": Field(shape=(s,), dtype="?"),  # whether it is known if it counts in this tick
            "counts": Field(shape=(s,), dtype="?"),
            "counted": Field(shape=(s,), dtype="?"),  # the same in the tick before
            "fell": Field(shape=(s,), dtype="?"),
            "sums": Field(shape=(len(_SHARES), s)),  # log likelihood ratios, nats
            "ticks": pair,
            "times": pair,  # in how many of these it counted
            "fleet_ticks": pair,
            "fleet_times": pair,
            "falls": Field(shape=(s,)),  # in how many it fell
        }

    def score(self, tick: Tick, state: Columns) -> Floats:
        """[D, K] how sure it is that counters count more often than they did, 1 at the threshold; NaN where none is known."""
        for device, what in zip(tick.replaced.device.tolist(), tick.replaced.what.tolist(), strict=True):
            own = self._of.get(tick.replaced.names[what])
            if own is not None:
                # A new part counts from wherever it stands.
                state["value"][device, own] = np.nan
                state["sums"][device][:, own] = 0.0
        self._follow(tick, state)
        there = self._is_counter(state) & (state["ticks"].sum(axis=1) > 0)
        beyond = np.where(there[:, None, :], np.maximum(state["sums"] - _CHANCE, 0.0), 0.0) @ self._shows.T
        sure = beyond.max(axis=1)
        return np.where(there @ self._shows.T, (sure + _CHANCE * (sure > 0)) / self._threshold, np.nan)

    def _follow(self, tick: Tick, state: Columns) -> None:
        before = state["value"].copy()
        # Before a device was heard first, and after a part was replaced, no code had come.
        before[:, len(self._columns) :] = or_zero(before[:, len(self._columns) :])
        values = self._read(tick, before)
        seen = np.isfinite(values)
        state["known"] = known = seen & np.isfinite(before)
        state["counts"] = counts = known & (values > before)
        state["fell"] = known & (values < before)
        self._ask_fleet(tick.heard, state, tick.heard, state)
        calm = state["sums"].max(axis=1) < _CALM
        state["stood"] = np.where(known & calm, before, np.where(seen & ~known, values, state["stood"]))
        was = self._chance(state)[:, None, :]
        now = was**_SHARES
        news = np.where(counts[:, None, :], np.log(now / was), np.log1p(-now) - np.log1p(-was))
        fades = np.where(tick.heard, self._fades, 1.0)[:, None, None]
        state["sums"] = np.maximum(fades * state["sums"] + known[:, None, :] * news, 0.0)
        hours = np.where(known & (state["at"] < tick.time), tick.time - state["at"], _HOUR) / _HOUR
        state["an_hour"] = np.where(known & ~state["fell"], (values - before) / hours, np.nan)
        state["value"] = np.where(seen, values, before)
        state["at"] = np.where(seen, tick.time, state["at"])

    def _read(self, tick: Tick, before: Floats) -> Floats:
        """[D, S] what the counters stand at; of codes how often each came so far, from when the device was first heard on. before:
        [D, S] the same in the tick before.
        """
        values: Floats = tick.values[:, self._columns]
        if not self._codes:
            return values
        came = np.zeros((len(values), len(self._codes)))
        place = np.array([self._codes.index(n) if n in self._codes else -1 for n in tick.events.names], dtype=np.int64)
        what = place[tick.events.what]
        np.add.at(came, (tick.events.device[what >= 0], what[what >= 0]), 1.0)
        there = tick.heard[:, None] | (came > 0)
        return np.concatenate([values, np.where(there, before[:, len(self._columns) :] + came, np.nan)], axis=1)

    def acquaint(self, everyone: Columns, state: Columns) -> None:
        """Tells devices what their whole fleet did so far, where not all of it is judged at the same time."""
        self._ask_fleet(
            np.ones(len(everyone["falls"]), dtype=bool), everyone, np.ones(len(state["falls"]), dtype=bool), state
        )

    def _ask_fleet(self, heard: Bools, fleet: Columns, asks: Bools, state: Columns) -> None:
        """Takes what devices of a fleet did that are heard, but for those whose counters are out of the ordinary."""
        usual = (heard[:, None] & (fleet["sums"].max(axis=1) < self._usual))[:, None, :]
        ticks, times = ((usual * fleet[name]).sum(axis=0) for name in ("ticks", "times"))
        enough = asks[:, None, None] & (ticks >= _KEPT * state["fleet_ticks"])
        state["fleet_ticks"] = np.where(enough, ticks, state["fleet_ticks"])
        state["fleet_times"] = np.where(enough, times, state["fleet_times"])

    def _chance(self, state: Columns) -> Floats:
        """[D, S] how often a counter has counted after a tick such as the last."""
        unknown, like = np.array([[_UNKNOWN], [_UNKNOWN_ON]]), np.array([[_OWN], [_OWN_ON]])
        fleet = (state["fleet_times"] + 1.0) / (state["fleet_ticks"] + unknown)
        own = (state["times"] + like * fleet) / (state["ticks"] + like)
        # That it counted never tells no more than that it does so more seldom than once in as long.
        own = np.maximum(own, np.minimum(fleet, 1.0 / (state["ticks"] + 1.0)))
        begins, goes_on = own[:, 0], own[:, 1]
        chance: Floats = np.where(state["counted"], np.maximum(begins, goes_on), begins)
        return chance

    def _is_counter(self, state: Columns) -> Bools:
        """[D, S] where a signal hardly ever falls."""
        is_counter: Bools = state["falls"] <= 1.0 + _FALLS * state["ticks"].sum(axis=1)
        return is_counter

    def learn(self, tick: Tick, state: Columns, abnormal: Bools) -> None:  # noqa: ARG002 — the fleet decides what is usual at first
        """How often each counter begins to count, and goes on: what lasts for long enough is usual one day."""
        known, counted, counts = state["known"], state["counted"], state["counts"]
        after = np.stack([known & ~counted, known & counted], axis=1)
        forgets = np.where(known, self._forgets, 1.0)
        state["ticks"] = forgets[:, None, :] * state["ticks"] + after
        state["times"] = forgets[:, None, :] * state["times"] + (after & counts[:, None, :])
        state["falls"] = forgets * state["falls"] + state["fell"]
        state["counted"] = np.where(known, counts, counted)

    def left(self, tick: Tick, state: Columns) -> Tick:
        """The tick for detectors that ask how far a value is from usual: of counters that count most of the time how many an hour,
        nothing of those that mostly stand still.
        """
        signals = len(self._columns)
        if not signals:
            return tick
        ticks, times = (state[name].sum(axis=1)[:, :signals] for name in ("ticks", "times"))
        an_hour = np.where(times > _BUSY * ticks, state["an_hour"][:, :signals], np.nan)
        values = tick.values.copy()
        values[:, self._columns] = np.where(self._is_counter(state)[:, :signals], an_hour, values[:, self._columns])
        return replace(tick, values=values)

    def told(self, evidence: SignalEvidence, state: Columns, device: int) -> SignalEvidence:
        """Evidence of a detector that saw what `left` gave it, of one device (its position): in counts an hour where it is of a counter."""
        at = self._counters.index(evidence.signal) if evidence.signal in self._counters else None
        if at is None or not self._is_counter(alone(device, state))[0, at]:
            return evidence
        return replace(evidence, unit=f"{evidence.unit}/h")

    def because(self, tick: Tick, state: Columns, device: int, track: int) -> list[SignalEvidence]:  # noqa: ARG002 — the state holds it
        """The counters that speak for it: where each stood, and where it stands; of codes how often each came lately."""
        own = alone(device, state)
        sums = own["sums"][0].max(axis=0)
        # One that may move by chance is not told beside others.
        says = np.where(self._shows[track] & self._is_counter(own)[0] & (sums > min(_CHANCE, sums.max())), sums, 0.0)
        total = float(says.sum()) or 1.0
        found = []
        for s in np.argsort(-says, kind="stable").tolist():
            stood, stands = float(own["stood"][0, s]), float(own["value"][0, s])
            if s >= len(self._columns):
                stood, stands = 0.0, stands - stood
            if says[s] > 0:
                found.append(
                    SignalEvidence(
                        signal=self._counters[s],
                        unit=units.COUNT,
                        normal_low=stood,
                        normal_high=stood,
                        seen=stands,
                        contribution=float(says[s]) / total,
                        direction="high",
                    )
                )
        return found
