"""Silence as its own condition: a device that no longer reports. It never lets the duration of another alarm mature."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

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
