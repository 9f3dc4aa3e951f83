"""Times as people read them: by the clock of who reads, or of the customer whom they are about."""

from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

ZONE_COOKIE = "forewarn_zone"
"""Holds the time zone of who reads, by its IANA name; `console.js` keeps it as the browser says."""


def zone(name: str | None) -> tzinfo:
    """A time zone by its IANA name; UTC where there is none of that name."""
    return ZoneInfo(name) if name in _zones() else UTC


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def clock_of(now: datetime) -> str:
    """Whose times those by this clock are: `UTC`, or `Europe/Berlin`."""
    return str(now.tzinfo).replace("_", " ")


def waiting(due_at: datetime, time_zone: str | None, now: datetime) -> str:
    """`leaves now`, or until when a notice waits, by the customer's own clock."""
    if due_at <= now:
        return "leaves now"
    local = due_at.astimezone(zone(time_zone))
    day = "" if due_at - now < timedelta(hours=20) else f"{local.day} {local:%b} "
    return f"waiting until {day}{local:%H:%M} {local.tzname()}"


def ago(then: datetime, now: datetime) -> str:
    """How long ago, in one unit: `3 h ago`."""
    seconds = (now - then).total_seconds()
    text = span(timedelta(seconds=abs(seconds)))
    if abs(seconds) < 60:
        return "just now"
    return f"{text} ago" if seconds > 0 else f"in {text}"


def span(length: timedelta) -> str:
    """A length of time in its largest sensible unit."""
    seconds = length.total_seconds()
    for unit, size, most in (("s", 1, 60), ("min", 60, 60), ("h", 3600, 48), ("days", 86_400, 60)):
        if seconds < size * most:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds // (86_400 * 30.44))} months"


def moment(time: datetime, now: datetime) -> str:
    """A time as people write it, by the clock of `now`; the year only where it is another one."""
    local = time.astimezone(now.tzinfo)
    year = "" if local.year == now.year else f" {local.year}"
    return f"{local.day} {local:%b}{year} {local:%H:%M}"


def exact(time: datetime, now: datetime) -> str:
    """The same with the zone it is in: `12 Jul 14:05 CEST`."""
    return f"{moment(time, now)} {time.astimezone(now.tzinfo):%Z}"


def iso(time: datetime) -> str:
    """A time for machines."""
    return time.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
