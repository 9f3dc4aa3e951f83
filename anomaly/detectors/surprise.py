"""Strange by the device's own standards: for signals with bursts and daily rhythm, where a band around the mean says little.

Each signal is seen in four views: as it is, its slow mean, its distance from the same hour of earlier days, and how much
it scatters. Each view is held against the farthest it has been from its mean in this device's own past, a record that fades: a burst
that comes every day sets a record once and then surprises nobody, in a quiet signal little is needed. So the rate of
alarms follows from how long records last, not from how a signal happens to be distributed: that needs no tuning by kind.
"""

from typing import ClassVar

import numpy as np

from anomaly.detector import Columns, Field, Layout, SignalEvidence, Track, alone, believable, least_spread
from anomaly.detectors.spell import spell, warm_up
from core.profile import Profile
from telemetry.window import Bools, Floats, Tick

MEMORY, SMOOTH, OFF_DELAY = 1008, 12, 48
"""What a profile that gives no durations gets, in ticks."""
_SLOW = 6
"""The slow mean is so many times slower than the smoothing of the other views."""
_SPELL = 2
"""A record is set anew after so many times the smoothing, so that what rises little by little does not chase its own."""
_LASTING = 8
"""A record fades by half in so many times the memory."""
_SETTLING = 50
"""Ticks a view is learnt before its strangeness means anything."""
_FLOOR, _RELATIVE_FLOOR = 1e-6, 3e-5
"""The spread is never taken to be less than these shares of a signal's range and of its usual value, added up."""
_OWN_FLOOR = 1e-4
"""A signal that uses little of its range is no coarser for it: the range counts no more than this share of its own size."""
_DAY = 86_400_000_000
_HOURS = 24
_NEW_DAY = 0.2
"""The least weight of a new day in what is usual at an hour."""
_NOW, _LEVEL, _HOUR, _SCATTER = range(4)
_VIEWS = 4


class Surprise:
    """Scores each component by how far its strangest signal beats what is the strangest so far; 1 is a record by `margin`.

    It learns from all it sees: what came once is, from then on, less of a surprise. That keeps one lasting change from
    being told again and again, and is the reason why what was flagged is not kept from it.
    """

    name: ClassVar[str] = "surprise"
    version: ClassVar[str] = "2"

    def __init__(self, profile: Profile) -> None:
        settings = profile.detectors.surprise
        if settings is None:
            raise ValueError(f"profile {profile.name} does not use the detector {self.name}")
        self._profile = profile
        names = list(profile.signals)
        self._judged = [n for n in profile.measured if profile.signals[n].component]
        self._columns = np.array([names.index(n) for n in self._judged], dtype=np.int64)
        span = np.array([profile.signals[n].range[1] - profile.signals[n].range[0] for n in self._judged])
        self._floor = (span * _FLOOR)[:, None]
        self._margin = settings.margin
        self._warm_up = warm_up(settings.warm_up, profile)
        self._memory = spell(settings.memory, profile, MEMORY)
        self._smooth = spell(settings.smooth, profile, SMOOTH)
        self._wild = believable(profile)
        self._spell = _SPELL * self._smooth
        self._fade = 0.5 ** (1.0 / (_LASTING * self._memory))
        tick = round(profile.tick.total_seconds() * 1e6)
        # With ticks of half a day and more there is no rhythm of the day to be seen.
        self._hours = min(_HOURS, _DAY // tick) if tick < _DAY // 2 else 0
        self._components = [
            c for c in profile.components if any(profile.signals[n].component == c for n in self._judged)
        ]
        self._of = [
            np.array([s for s, n in enumerate(self._judged) if profile.signals[n].component == c])
            for c in self._components
        ]
        self.tracks = tuple(
            Track(
                component=component,
                failure_mode="abnormal",
                kind="degradation",
                on_delay=1,
                off_delay=spell(settings.off_delay, profile, OFF_DELAY),
                off_below=1.0,
            )
            for component in self._components
        )
        s = len(self._judged)
        self.layout: Layout = {
            "n": Field(shape=(s,), dtype="<f4"),  # ticks in which the signal was measured
            "slow": Field(shape=(s,)),
            "away": Field(shape=(s,), dtype="<f4"),  # smoothed distance from the hour's usual value
            "scatter": Field(shape=(s,), dtype="<f4"),  # smoothed size of the distance from the mean
            "hour": Field(dtype="i1", start=-1),  # the hour of the day that is being measured
            "hour_sum": Field(shape=(s,)),
            "hour_n": Field(shape=(s,), dtype="<f4"),
            "usual": Field(shape=(s, self._hours), dtype="<f4", start=np.nan),  # mean by hour of the day
            "days": Field(shape=(s, self._hours), dtype="<u2"),
            "view": Field(shape=(s, _VIEWS), start=np.nan),  # the views of the last tick
            "weight": Field(shape=(s, _VIEWS), dtype="<f4"),  # ticks learnt, at most the memory
            "mean": Field(shape=(s, _VIEWS)),
            "var": Field(shape=(s, _VIEWS)),
            "strange": Field(shape=(s, _VIEWS), dtype="<f4"),  # distance of the last tick from the mean
            "coming": Field(shape=(s, _VIEWS), dtype="<f4"),  # the strangest of the present spell
            "record": Field(shape=(s, _VIEWS), dtype="<f4"),  # the strangest before it, faded
        }

    def score(self, tick: Tick, state: Columns) -> Floats:
        """[D, C] by component; NaN in the warm-up and where nothing was measured."""
        values = np.clip(tick.values, -self._wild, self._wild)[:, self._columns]
        seen = np.isfinite(values)
        self._remember(tick, seen, state)
        self._look(tick, values, seen, state)
        known = np.isfinite(state["view"])
        known &= state["weight"] >= _SETTLING
        state["strange"][:] = np.abs(np.where(known, state["view"] - state["mean"], 0.0))
        beaten = state["strange"] / self._band(state)
        ready = seen & (state["n"] >= self._warm_up)
        by_signal = np.where(ready, beaten.max(axis=2, initial=0.0), -np.inf)
        columns = [by_signal[:, own].max(axis=1) for own in self._of]
        result = np.stack(columns, axis=1) if columns else np.empty((len(values), 0))
        return np.where(np.isfinite(result), result, np.nan)

    def _remember(self, tick: Tick, seen: Bools, state: Columns) -> None:
        """Takes what was before this tick into the records; they stand still within a spell, and fade slowly."""
        fade = np.where(tick.heard, self._fade, 1.0).astype(np.float32)[:, None, None]
        state["record"] *= fade
        state["coming"] *= fade
        np.maximum(state["coming"], state["strange"], out=state["coming"])
        over = (seen & (state["n"] % self._spell == 0))[:, :, None]
        np.maximum(state["record"], state["coming"], out=state["record"], where=over)
        np.copyto(state["coming"], 0.0, where=over)

    def _look(self, tick: Tick, values: Floats, seen: Bools, state: Columns) -> None:
        """Moves the present: the four views of the tick, NaN where there is none yet."""
        state["n"] += seen
        first = state["n"] <= 1.0
        x = np.where(seen, values, 0.0)
        step = np.maximum(1.0 / (_SLOW * self._smooth), 1.0 / np.maximum(state["n"], 1.0))
        state["slow"] += np.where(seen, step * (x - state["slow"]), 0.0)
        usual = self._usual(tick, x, seen, state)
        told = seen & np.isfinite(usual)
        state["away"] += np.where(told, (x - np.where(told, usual, 0.0) - state["away"]) / self._smooth, 0.0)
        # How far a value is out means something once its mean is known a little.
        based = seen & (state["weight"][:, :, _NOW] >= _SETTLING)
        size = np.abs(x - state["mean"][:, :, _NOW])
        state["scatter"] += np.where(based, (size - state["scatter"]) / self._smooth, 0.0)
        view = state["view"]
        view[:, :, _NOW] = np.where(seen, x, np.nan)
        view[:, :, _LEVEL] = np.where(seen & ~first, state["slow"], np.nan)
        view[:, :, _HOUR] = np.where(told, state["away"], np.nan)
        view[:, :, _SCATTER] = np.where(based, state["scatter"], np.nan)

    def _usual(self, tick: Tick, x: Floats, seen: Bools, state: Columns) -> Floats:
        """[D, S] what is usual at this hour of the day; NaN where no earlier day is known. An hour is learnt when the next
        one begins, so that it is never held against itself.
        """
        if not self._hours:
            return np.full(x.shape, np.nan)
        hour = tick.time % _DAY * self._hours // _DAY
        over = np.nonzero(tick.heard & (state["hour"] != hour))[0]
        if len(over):
            signal = state["hour_n"][over] > 0
            row, s = over[np.nonzero(signal)[0]], np.nonzero(signal)[1]
            at = (row, s, state["hour"][row])
            mean = state["hour_sum"][row, s] / state["hour_n"][row, s]
            state["days"][at] = np.minimum(state["days"][at] + 1, 60_000)
            old = np.where(np.isfinite(state["usual"][at]), state["usual"][at], mean)
            state["usual"][at] = old + (mean - old) * np.maximum(_NEW_DAY, 1.0 / state["days"][at])
            state["hour"][over] = hour
            state["hour_sum"][over] = 0.0
            state["hour_n"][over] = 0.0
        state["hour_sum"] += x
        state["hour_n"] += seen
        usual: Floats = state["usual"][:, :, hour].astype(float)
        return usual

    def _band(self, state: Columns) -> Floats:
        """[D, S, V] the distance that would be a surprise; no less than the usual spread."""
        least = np.sqrt(state["var"])
        size = np.maximum(np.abs(state["mean"][:, :, _NOW]), least[:, :, _NOW])[:, :, None]
        least += least_spread(self._floor, size, _OWN_FLOOR) + _RELATIVE_FLOOR * np.abs(state["mean"])
        band: Floats = self._margin * np.maximum(state["record"], least)
        return band

    def learn(self, tick: Tick, state: Columns, abnormal: Bools) -> None:  # noqa: ARG002 — it learns from all, see above
        """Moves what is usual in each view."""
        known = np.isfinite(state["view"])
        state["weight"] = np.minimum(state["weight"] + known, np.float32(self._memory))
        step = known / np.maximum(state["weight"], 1.0)
        away = np.where(known, state["view"] - state["mean"], 0.0)
        state["mean"] += step * away
        state["var"] = (1.0 - step) * (state["var"] + step * away**2)

    def because(self, tick: Tick, state: Columns, device: int, track: int) -> list[SignalEvidence]:  # noqa: ARG002 — the state holds it
        """The component's signals that beat their records, each by its strangest view in the signal's own unit."""
        own = alone(device, state)
        band = self._band(own)[0]
        beaten = own["strange"][0] / band
        mean, view = own["mean"][0], own["view"][0]
        signals = self._of[track]
        total = float(beaten[signals].max(axis=1).sum()) or 1.0
        found = []
        for s in signals.tolist():
            at = int(beaten[s].argmax())
            if not np.isfinite(view[s, at]):
                continue
            centre, seen, width = mean[s, at], view[s, at], band[s, at]
            if at == _HOUR:
                usual = float(own["usual"][0, s, own["hour"][0]])
                centre, seen = centre + usual, seen + usual
            elif at == _SCATTER:
                # The usual size of its moves, drawn around the usual value.
                width, centre = mean[s, at] + width, mean[s, _NOW]
                seen = centre + np.copysign(view[s, at], view[s, _NOW] - centre)
            name = self._judged[s]
            found.append(
                SignalEvidence(
                    signal=name,
                    unit=self._profile.signals[name].unit,
                    normal_low=float(centre - width),
                    normal_high=float(centre + width),
                    seen=float(seen),
                    contribution=float(beaten[s, at]) / total,
                    direction="high" if seen > centre else "low",
                )
            )
        return sorted(found, key=lambda e: -e.contribution)
