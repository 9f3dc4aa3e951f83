"""Durations as people write them, in profiles and settings: `30min`."""

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator

_WRITTEN = re.compile(r"^(\d+(?:\.\d+)?)\s*(s|min|h|d)$")
_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86400}


def _parse(value: object) -> object:
    if isinstance(value, timedelta):
        return value
    match = _WRITTEN.match(value) if isinstance(value, str) else None
    if not match:
        raise ValueError("is not a duration; write a number and s, min, h or d, like 30min")
    return timedelta(seconds=float(match[1]) * _SECONDS[match[2]])


Duration = Annotated[timedelta, BeforeValidator(_parse)]


def written(duration: timedelta) -> str:
    """A duration as it is written, in the largest unit that leaves no fraction."""
    seconds = duration.total_seconds()
    unit = next(u for u in ("d", "h", "min", "s") if seconds % _SECONDS[u] == 0 or u == "s")
    return f"{seconds / _SECONDS[unit]:g}{unit}"
