"""Silence as its own condition: a device that no longer reports. It never lets the duration of another alarm mature."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from anomaly.finding import Change, FindingChange

COMPONENT = "connectivity"
FAILURE_MODE = "silence"
DETECTOR = "silence"
VERSION = "1"


class Heard(StrEnum):
    """What silence means now for a device."""

    FELL_SILENT = "fell silent"
    CAME_BACK = "came back"
    NO_CHANGE = "no change"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """When a device was last heard (server time), and whether its silence is an open finding."""

    heard_at: datetime
    silent: bool


def listen(device: Listening, silence_after: timedelta, now: datetime) -> Heard:
    """Whether the device fell silent or came back. `now` and `heard_at` are server times."""
    quiet = now - device.heard_at > silence_after
    if quiet and not device.silent:
        return Heard.FELL_SILENT
    if device.silent and not quiet:
        return Heard.CAME_BACK
    return Heard.NO_CHANGE


def told(device: int, what: Heard, heard_at: datetime, now: datetime) -> FindingChange:
    """The change of the finding of a device that fell silent or came back."""
    fell = what is Heard.FELL_SILENT
    return FindingChange(
        change=Change.OPENED if fell else Change.CLOSED,
        device=device,
        kind="silence",
        component=COMPONENT,
        failure_mode=FAILURE_MODE,
        severity="warning",
        detector=DETECTOR,
        version=VERSION,
        began_at=heard_at,
        at=now,
        score=1.0 if fell else 0.0,
        because=f"nothing was received since {heard_at:%Y-%m-%d %H:%M} UTC" if fell else "",
    )
