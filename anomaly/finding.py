"""Findings: episodes of abnormal behaviour of one component, told as changes (opened, extended, closed)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from anomaly.detector import Prognosis, SignalEvidence
from anomaly.learning.features import MAINTAINED
from core import units
from core.profile import Profile

_FAULTS = {
    "stuck": "stands still at",
    "noisy": "jumps about, last at",
    "out_of_range": "is beyond what its sensor can give, last at",
    "missing": "is missing, last seen at",
}
"""Words for what is wrong with a sensor, by the direction of its evidence."""


class Change(StrEnum):
    """What happened to a finding."""

    OPENED = "opened"
    EXTENDED = "extended"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingChange:
    """A change of the one open finding of a device, component and failure mode. Times are those of the measurement.

    at: when it happened. began_at: when the behaviour started, before the on-delay. score: 1 is the threshold.
    because is given when it opens, evidence then and, as it is now, while it is extended: each time, or now and then where
    much goes on at once. prognosis: how long the component still has, counted from `at`; None while it is not predictable.
    """

    change: Change
    device: int
    kind: str
    component: str
    failure_mode: str
    severity: str
    detector: str
    version: str
    began_at: datetime
    at: datetime
    score: float
    because: str = ""
    evidence: tuple[SignalEvidence, ...] = ()
    prognosis: Prognosis | None = None


def moment(microseconds: int) -> datetime:
    """An aware UTC datetime from microseconds since the epoch."""
    return datetime.fromtimestamp(microseconds / 1e6, tz=UTC)


def sentence(profile: Profile, evidence: Sequence[SignalEvidence], began_at: datetime) -> str:
    """The reason of a finding in words for an engineer: each signal that speaks, its normal band, what was seen."""
    parts: list[str] = []
    for e in evidence:
        if e.contribution < 0.05 and parts:
            continue
        unit = units.shown(e.unit)
        number = _count if e.unit == units.COUNT and e.signal in profile.signals else _number
        if e.direction in _FAULTS:
            parts.append(f"{profile.signals[e.signal].title} {_FAULTS[e.direction]} {number(e.seen)} {unit}".rstrip())
            continue
        # What never moved has one normal value.
        band = " to ".join(dict.fromkeys(number(x) for x in (e.normal_low, e.normal_high) if x is not None))
        at = " at that hour" if e.hourly else ""
        kind = "normal" if e.normal_low is not None and e.normal_high is not None else "limit"
        title, unit = _named(profile, e.signal, unit)
        parts.append(
            f"{title} {number(e.seen)} {unit} ({kind} {band} {unit}{at})".replace(" )", ")").replace("  ", " ")
        )
    return "; ".join(parts) + f"; since {began_at:%Y-%m-%d %H:%M} UTC"


def _named(profile: Profile, source: str, unit: str) -> tuple[str, str]:
    """What evidence is called, and its unit: a signal, how long a component has been in place, how often a code came."""
    if source in profile.signals:
        return str(profile.signals[source].title), unit
    if source in profile.components:
        return f"{profile.components[source].title} in place for", unit
    return (f"time since the {source}", unit) if source == MAINTAINED else (f"error code {source} lately", "times")


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _count(value: float) -> str:
    return f"{value:.0f}" if value == round(value) else _number(value)
