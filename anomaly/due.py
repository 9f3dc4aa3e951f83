"""From where to where each device is judged this turn: when a tick is over. Pure, times in microseconds since the epoch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Self

from anomaly.progress import Judged, Words
from core.profile import Profile
from telemetry.window import floor

_MOST_CELLS = 4_000_000
"""Ticks times devices times signals that are judged at the same time where devices only send events."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """A profile's tick, and how long it waits for what comes out of order."""

    tick: int
    lateness: int

    @classmethod
    def of(cls, profile: Profile) -> Self:
        """Those of a profile."""
        return cls(tick=profile.tick // _MICROSECOND, lateness=profile.lateness // _MICROSECOND)

    def over(self, time: int) -> int:
        """Before this, all ticks are over at a time."""
        return floor(time - self.lateness, self.tick)

    def shared(self, time: int, profile: Profile) -> int:
        """Before this, ticks are over for each device of a profile that measures as often as it says, when one has come to a time."""
        longest = max(signal.interval for signal in profile.signals.values())
        return self.over(time - longest // _MICROSECOND)


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A device that is judged from `start` to `end`; nothing where they are the same.

    seen: the transaction up to which its events are in its state, 0 before it is judged for the first time. late: the time
    of the earliest that came, where that lies in what is judged already. last: of the newest.
    """

    device: int
    start: int
    end: int
    seen: int
    late: int | None
    last: int


def by_readings(judged: Judged, first: int, last: int, rules: Rules) -> Due:
    """A device that measured from `first` to `last`."""
    begin = floor(first, rules.tick)
    until, seen = (judged.until, judged.seen) if not judged.eventful else (None, 0)
    # A device of which nothing was judged yet begins with what it measured first, however it came.
    start = until if until is not None and seen else min(until or begin, begin)
    # A tick is over once the device has measured beyond it; lateness leaves room for what comes out of order.
    end = max(start, rules.over(last))
    late = first if first < start else None
    return Due(device=judged.device, start=start, end=end, seen=seen, late=late, last=last)


def together(due: Sequence[Due], shared: int) -> list[Due]:
    """The same where none is judged beyond a time: up to it, all of them are."""
    return [replace(one, end=max(one.start, min(one.end, shared))) for one in due]


def by_events(judged: Judged, words: Words, now: int, rules: Rules) -> Due | None:
    """A device that only sends events; None for one that has not said a word of its own yet. now: the server's time.

    It is judged up to the tick of its newest event and no further: what comes then is silence. As nothing may follow for
    weeks, the server's clock says too when that tick is over.
    """
    begins = [judged.until] if judged.until is not None else []
    begins += [floor(words.own, rules.tick)] if words.own is not None else []
    if not begins:
        return None
    start = judged.until if judged.until is not None and judged.seen else min(begins)
    newest = floor(words.last, rules.tick) + rules.tick
    end = max(start, min(newest, rules.over(max(words.last, now))))
    late = words.first if judged.seen and words.first is not None and words.first < start else None
    return Due(device=judged.device, start=start, end=end, seen=judged.seen, late=late, last=words.last)


def parts(due: Sequence[Due], profile: Profile, *, back: timedelta) -> Iterator[list[Due]]:
    """The same in parts that are small enough to be judged at once; those that begin together are in one.

    back: so much of the time before may be looked at too.
    """
    tick = profile.tick // _MICROSECOND
    most = _MOST_CELLS // len(profile.signals)
    part: list[Due] = []
    high = 0
    for one in sorted(due, key=lambda d: (d.start, d.end)):
        grown = max(high, one.end)
        if part and ((grown - part[0].start) // tick + back // profile.tick) * (len(part) + 1) > most:
            yield part
            part, grown = [], one.end
        part.append(one)
        high = grown
    if part:
        yield part


_MICROSECOND = timedelta(microseconds=1)
