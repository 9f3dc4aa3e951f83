"""What comes late: from when on a device is judged again, and what a second look changes in its findings. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from anomaly.detectors.spell import spell
from anomaly.finding import Change, FindingChange
from core.profile import Profile
from telemetry.window import floor

WITHIN = 24
"""How late readings may come to be judged, in ticks, where the profile says nothing."""
WITHDRAWN = "readings that came late show that nothing was abnormal"

Key = tuple[int, str, str]
"""Device, component, failure mode."""


def reach(profile: Profile) -> int:
    """How far back a device is judged again, in microseconds; 0 where it never is.

    A comparison with other devices would have to judge all of them again, so with `fleet` nothing is.
    """
    if profile.late_within == timedelta(0) or profile.detectors.fleet is not None:
        return 0
    return spell(profile.late_within, profile, WITHIN) * (profile.tick // timedelta(microseconds=1))


def checkpoints(start: int, end: int, far: int) -> list[int]:
    """When to keep the state of a device that is judged from `start` to `end`, so that one at least `far` old, and at most
    twice as old, is always there. Microseconds.
    """
    newest = floor(end, far)
    return [at for at in (newest - far, newest) if start < at <= end]


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A finding as it is stored."""

    id: int
    opened_at: datetime
    closed_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A finding as the second look tells it; `opened` is None when it opened before."""

    opened: FindingChange | None
    closed: FindingChange | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """A stored finding and what became of it: without `seen` it does not hold, without `told` it is new."""

    told: Told | None
    seen: Seen | None


def seen(changes: Iterable[FindingChange], still: Iterable[Key]) -> dict[Key, list[Seen]]:
    """The findings of a second look, oldest first, by what changed in it and what was open at its end."""
    found: dict[Key, list[Seen]] = defaultdict(list)
    opened: dict[Key, FindingChange | None] = {}
    for change in changes:
        key = (change.device, change.component, change.failure_mode)
        if change.change is Change.OPENED:
            opened[key] = change
        elif change.change is Change.CLOSED:
            found[key].append(Seen(opened=opened.pop(key, None), closed=change))
    for key in still:
        found[key].append(Seen(opened=opened.get(key), closed=None))
    return found


def revise(told: Sequence[Told], found: Sequence[Seen]) -> list[Revision]:
    """What a second look changes in the findings of one device, component and failure mode, both oldest first.

    What overlaps in time is one finding, so a ticket keeps the finding it was opened for.
    """
    left = list(told)
    revisions = []
    for one in found:
        same = next((old for old in left if _overlap(old, one)), None)
        if same is not None:
            left.remove(same)
        revisions.append(Revision(told=same, seen=one))
    return [Revision(told=old, seen=None) for old in left] + revisions


def _overlap(old: Told, new: Seen) -> bool:
    starts = new.closed is None or old.opened_at < new.closed.at
    return starts and (new.opened is None or old.closed_at is None or new.opened.at < old.closed_at)
