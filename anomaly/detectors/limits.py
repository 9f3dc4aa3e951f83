"""Alarm limits with on-delay, off-delay and deadband (ISA-18.2)."""

from typing import ClassVar

import numpy as np

from anomaly.detector import Columns, Layout, SignalEvidence, Track
from anomaly.detectors.spell import spell
from core.profile import Limit, Profile
from telemetry.window import Bools, Floats, Tick

_FULL = 0.05
"""Share of a signal's range beyond its limit that adds one to the score."""


class Limits:
    """Scores how far a signal's mean of a tick is beyond its limit: 1 at the limit."""

    name: ClassVar[str] = "limits"
    version: ClassVar[str] = "1"

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._limits = profile.detectors.limits
        names = list(profile.signals)
        self._columns = np.array([names.index(x.signal) for x in self._limits], dtype=np.int64)
        spans = [profile.signals[x.signal].range for x in self._limits]
        self._unit = np.array([(high - low) * _FULL for low, high in spans])
        self._limit = np.array([x.high if x.high is not None else x.low for x in self._limits], dtype=float)
        self._sign = np.array([1.0 if x.high is not None else -1.0 for x in self._limits])
        self.layout: Layout = {}
        self.tracks = tuple(self._track(x, unit) for x, unit in zip(self._limits, self._unit, strict=True))

    def _track(self, limit: Limit, unit: float) -> Track:
        return Track(
            component=self._profile.failure_modes[limit.failure_mode].component,
            failure_mode=limit.failure_mode,
            kind="limit",
            on_delay=spell(limit.on_delay, self._profile, 1),
            off_delay=spell(limit.off_delay, self._profile, 1),
            off_below=1.0 - limit.deadband / unit,
        )

    def score(self, tick: Tick, state: Columns) -> Floats:  # noqa: ARG002 — limits know nothing of the past
        """[D, K] distance beyond the limit plus one; NaN where the signal was not measured."""
        beyond: Floats = 1.0 + self._sign * (tick.values[:, self._columns] - self._limit) / self._unit
        return beyond

    def learn(self, tick: Tick, state: Columns, abnormal: Bools) -> None:
        """Limits are given, not learnt."""

    def because(self, tick: Tick, state: Columns, device: int, track: int) -> list[SignalEvidence]:  # noqa: ARG002 — as above
        """The one signal and its limit."""
        limit = self._limits[track]
        return [
            SignalEvidence(
                signal=limit.signal,
                unit=self._profile.signals[limit.signal].unit,
                normal_low=limit.low,
                normal_high=limit.high,
                seen=float(tick.values[device, self._columns[track]]),
                contribution=1.0,
                direction="high" if limit.high is not None else "low",
            )
        ]
