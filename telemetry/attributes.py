"""Follows what devices say of themselves, like their firmware: which value held from when on. Pure."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from device_gateway.readings import Attribute


class Key(NamedTuple):
    """One attribute of one device."""

    device: int
    name: str


History = list[tuple[datetime, str]]
"""Values and since when each was said, oldest first; neighbours differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """An attribute got another value; `before` is None where none was known."""

    said: Attribute
    before: str | None


def follow(known: Mapping[Key, History], said: Iterable[Attribute]) -> tuple[dict[Key, History], list[Change]]:
    """The histories that `said` changes, and which of it was a change. What was said late finds its place by its time.

    A value that is said again is no change and is not kept: what is said late between two equal ones holds until the next
    change that is known. A value that is said to hold earlier than was known begins earlier.
    """
    changed: dict[Key, History] = {}
    changes: list[Change] = []
    for one in sorted(said, key=lambda a: a.time):
        key = Key(one.device, one.name)
        history = changed.get(key) or list(known.get(key, ()))
        at = bisect_right([since for since, _ in history], one.time)
        before = history[at - 1][1] if at else None
        if before == one.value:
            continue
        if at and history[at - 1][0] == one.time:
            # Two values at one time: the one that came last stays.
            history.pop(at - 1)
            at -= 1
        if at < len(history) and history[at][1] == one.value:
            history.pop(at)
        if not at or history[at - 1][1] != one.value:
            history.insert(at, (one.time, one.value))
        changed[key] = history
        changes.append(Change(said=one, before=before))
    return changed, changes
