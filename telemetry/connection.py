"""Follows whether devices are connected: which of their status messages is news. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from device_gateway.readings import Event, Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """What is known of a device's connection; `online` is None while it never said."""

    online: bool | None
    since: datetime | None


def follow(before: Mapping[int, Before], statuses: Iterable[Status]) -> tuple[dict[int, Before], list[Event]]:
    """What changes by `statuses`, taken in order, and the connects and disconnects in them.

    A status that is no change, or older than what is known, is no news: retained messages come again and again.
    """
    known = dict(before)
    changed: dict[int, Before] = {}
    events: list[Event] = []
    for status in statuses:
        old = known.get(status.device)
        if old is None or old.online == status.online or (old.since is not None and status.time < old.since):
            continue
        known[status.device] = changed[status.device] = Before(online=status.online, since=status.time)
        events.append(
            Event(
                device=status.device,
                time=status.time,
                received_at=status.received_at,
                kind="connect" if status.online else "disconnect",
                code="",
                detail="{}",
            )
        )
    return changed, events
