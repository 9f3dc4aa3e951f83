"""The rules by which a history is judged, given by whoever asks: horizon, lead, cooldown, what is known to be healthy."""

import re
from dataclasses import dataclass, field

import numpy as np

from anomaly.judgement.failures import BUDGETS
from core.errors import InvalidInput
from telemetry.window import Ints

HOUR = 3_600_000_000
_LENGTH = re.compile(r"^(\d+(?:\.\d+)?)\s*(s|min|h|d|%|rows)?$")
_MICROSECONDS = {"s": 1_000_000, "min": 60_000_000, "h": HOUR, "d": 24 * HOUR}


@dataclass(frozen=True, slots=True, kw_only=True)
class Length:
    """A length of history: of time (microseconds), of a share of a device's life, or of its rows. One is given."""

    time: int | None = None
    share: float | None = None
    rows: int | None = None

    def __str__(self) -> str:
        if self.share is not None:
            return f"{self.share:.0%} of the life"
        return f"{self.rows} rows" if self.rows is not None else span(self.time or 0)


def length(text: str, option: str, *, rows: bool = False) -> Length:
    """A length as people write it: 48h, 30d, 50%; with `rows`, 400 too. Raises InvalidInput, which names the option."""
    match = _LENGTH.match(text.strip())
    unit = match[2] if match else None
    if match and unit in _MICROSECONDS:
        return Length(time=round(float(match[1]) * _MICROSECONDS[unit]))
    if match and unit == "%" and 0 < float(match[1]) <= 100:
        return Length(share=float(match[1]) / 100)
    if match and rows and unit in {None, "rows"} and match[1].isdigit():
        return Length(rows=int(match[1]))
    raise InvalidInput(f"{option} {text}: write a duration like 48h, 15min or 30d, or a share of the life like 50%")


def duration(text: str, option: str) -> int:
    """A duration in microseconds. Raises InvalidInput, which names the option."""
    found = length(text, option).time
    if found is None:
        raise InvalidInput(f"{option} {text}: write a duration like 12h, 10min or 1d")
    return found


def span(microseconds: int) -> str:
    """A duration as people write it."""
    for unit in ("d", "h", "min"):
        if microseconds and microseconds % _MICROSECONDS[unit] == 0:
            return f"{microseconds // _MICROSECONDS[unit]} {unit}"
    return f"{microseconds / 1e6:g} s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """horizon: how long before a failure an alarm may start. leads: how long before it must; the first one is what plots and timelines show. cooldown: episodes nearer
    to each other are one. healthy_first: at the start of each device, known to be healthy and not judged.
    train_until: microseconds since the epoch; what is before is only learnt from. train_devices: positions of devices
    that are only learnt from. budgets: false alarms a device-month. flagged: budgets of another kind, shares of the
    devices that never fail which may have an alarm at all. life_cap: remaining lives beyond it count as it, ticks.
    """

    horizon: Length = field(default_factory=lambda: Length(time=48 * HOUR))
    leads: tuple[int, ...] = (12 * HOUR,)
    cooldown: int = 24 * HOUR
    healthy_first: Length | None = None
    train_until: int | None = None
    train_devices: tuple[int, ...] = ()
    budgets: tuple[float, ...] = BUDGETS
    flagged: tuple[float, ...] = ()
    life_cap: float | None = None
    nab: bool = False


def judged_from(first: Ints, last: Ints, rows: list[Ints] | None, healthy: Length | None) -> Ints:
    """[D] from when on each device is judged. first, last: [D] its first and last time. rows: the times of each device's
    rows, only needed where the length is in rows or a share.
    """
    if healthy is None:
        return first.copy()
    if healthy.time is not None:
        return first + healthy.time
    if rows is None:
        raise InvalidInput("--healthy-first by rows or share needs recorded files; give a duration")
    result = last + 1
    for device, times in enumerate(rows):
        skip = healthy.rows if healthy.rows is not None else int(np.ceil(len(times) * (healthy.share or 0.0)))
        if skip < len(times):
            result[device] = times[skip]
    return result
