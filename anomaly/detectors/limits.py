"""Alarm limits, of values and of rates, with on-delay, off-delay and deadband (ISA-18.2)."""

from typing import ClassVar

import numpy as np

from anomaly.detector import Columns, Field, Layout, SignalEvidence, Track
from anomaly.detectors.spell import spell
from core.detection import Limit
from core.profile import Profile
from telemetry.window import Bools, Floats, Tick

_FULL = 0.05
"""Share of a signal's range beyond its limit that adds one to the score."""
_HOUR = 3_600_000_000


class Limits:
    """Scores how far a signal's mean of a tick is beyond its limit, or how fast it moves against a limited rate: 1 at the
    limit, and 2 at twice the rate.
    """

    name: ClassVar[str] = "limits"
    version: ClassVar[str] = "1"

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._limits = profile.detectors.limits
        names = list(profile.signals)
        self._columns = np.array([names.index(x.signal) for x in self._limits], dtype=np.int64)
        spans = [profile.signals[x.signal].range for x in self._limits]
        self._unit = np.array([(high - low) * _FULL for low, high in spans])
        self._limit = np.array([_given(x) for x in self._limits], dtype=float)
        self._sign = np.array([1.0 if x.high is not None else -1.0 for x in self._limits])
        self._rates = np.array([x.rate is not None for x in self._limits], dtype=bool)
        r = int(self._rates.sum())
        self._place = np.cumsum(self._rates) - 1
        self.layout: Layout = {
            "before": Field(shape=(r,), start=np.nan),  # the last mean
            "at": Field(shape=(r,), dtype="<i8"),  # the start of its tick
            "rate": Field(shape=(r,), start=np.nan),  # how fast it moved to get there, an hour
        }
        if not r:
            self.layout = {}
        self.tracks = tuple(self._track(x, unit) for x, unit in zip(self._limits, self._unit, strict=True))

    def _track(self, limit: Limit, unit: float) -> Track:
        return Track(
            component=self._profile.failure_modes[limit.failure_mode].component,
            failure_mode=limit.failure_mode,
            kind="limit",
            on_delay=spell(limit.on_delay, self._profile, 1),
            off_delay=spell(limit.off_delay, self._profile, 1),
            off_below=1.0 - limit.deadband / (unit if limit.rate is None else abs(limit.rate)),
        )

    def score(self, tick: Tick, state: Columns) -> Floats:
        """[D, K] distance beyond the limit plus one, or the rate in shares of its limit; NaN where the signal was not
        measured, and for the rate of the first value.
        """
        values = tick.values[:, self._columns]
        score: Floats = 1.0 + self._sign * (values - self._limit) / self._unit
        if self._rates.any():
            score[:, self._rates] = self._moved(tick.time, values[:, self._rates], state) / self._limit[self._rates]
        return score

    def _moved(self, time: int, values: Floats, state: Columns) -> Floats:
        """[D, R] the signals' change an hour since they were last measured; takes the tick into the state."""
        seen = np.isfinite(values)
        hours = np.where(state["at"] < time, time - state["at"], _HOUR) / _HOUR
        rate: Floats = np.where(seen, (values - state["before"]) / hours, np.nan)
        state["before"] = np.where(seen, values, state["before"])
        state["at"] = np.where(seen, time, state["at"])
        state["rate"] = np.where(seen, rate, state["rate"])
        return rate

    def learn(self, tick: Tick, state: Columns, abnormal: Bools) -> None:
        """Limits are given, not learnt."""

    def because(self, tick: Tick, state: Columns, device: int, track: int) -> list[SignalEvidence]:
        """The one signal and its limit; nothing where it was not measured."""
        limit = self._limits[track]
        unit = self._profile.signals[limit.signal].unit
        seen = tick.values[device, self._columns[track]]
        if limit.rate is not None:
            unit, seen = f"{unit}/h", state["rate"][device, self._place[track]]
        if not np.isfinite(seen):
            return []
        given = float(self._limit[track])
        upper = limit.high is not None or (limit.rate is not None and limit.rate > 0)
        return [
            SignalEvidence(
                signal=limit.signal,
                unit=unit,
                normal_low=None if upper else given,
                normal_high=given if upper else None,
                seen=float(seen),
                contribution=1.0,
                direction="high" if upper else "low",
            )
        ]


def _given(limit: Limit) -> float:
    (given,) = (x for x in (limit.high, limit.low, limit.rate) if x is not None)
    return given
