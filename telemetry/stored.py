"""The stored telemetry of all devices of a profile as Windows in the order of time: history as a recording would give it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np

from core.database import Database
from core.profile import Profile
from telemetry import history, window
from telemetry.history import There
from telemetry.window import Ints, Window

_MOST_CELLS = 1_000_000
_END = int(datetime(9000, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000


class StoredHistory:
    """What is stored of a profile's devices since a time; the readings themselves are read window by window."""

    def __init__(self, database: Database, profile: Profile, since: datetime | None = None) -> None:
        self._database = database
        self.tick = profile.tick // timedelta(microseconds=1)
        with database.transaction() as connection:
            found = history.spans_of_profile(connection, profile.name, since or datetime(1970, 1, 1, tzinfo=UTC))
            ids = [member.id for member in found]
            self._placed = history.place(connection, ids, profile.signals)
            # All that happened, also before the first reading.
            start, end = np.zeros(len(ids), dtype=np.int64), np.full(len(ids), _END, dtype=np.int64)
            upto = [history.seen_now(connection)] * len(ids)
            self._past = history.past(connection, ids, start, end, [0] * len(ids), upto)
        self.devices: tuple[str, ...] = tuple(member.name for member in found)
        self._first = np.array([member.first for member in found], dtype=np.int64)
        self._last = np.array([member.last for member in found], dtype=np.int64)
        eventful = np.array([member.eventful for member in found], dtype=bool)
        starts = self._first - self._first % self.tick
        ends = np.where(eventful, self._last - self._last % self.tick + self.tick, starts)
        self._there = There(starts=starts, ends=ends) if eventful.any() else None

    def spans(self) -> tuple[Ints, Ints]:
        """[D] the first and the last time of each device, microseconds since the epoch."""
        return self._first, self._last

    def rows(self) -> None:
        """Stored readings come by series, so there are no rows."""

    def vocabulary(self) -> tuple[Sequence[str], Mapping[str, Sequence[str]]]:
        """The error codes in it, and the texts of each attribute of its devices."""
        return self._past.events.what, self._past.attributes

    def windows(self) -> Iterator[Window]:
        """All windows in the order of time, each with all devices."""
        if not self.devices:
            return
        step = max(1, _MOST_CELLS // (len(self.devices) * len(self._placed.signals))) * self.tick
        names = np.arange(len(self.devices), dtype=np.int64)
        start = window.floor(int(self._first.min()), self.tick)
        # What happened before anything was measured comes with the first window.
        since = 0
        while start <= self._last.max():
            past = replace(
                self._past,
                events=self._past.events.between(since, start + step),
                replaced=self._past.replaced.between(since, start + step),
            )
            with self._database.transaction() as connection:
                starts = np.full(len(self.devices), start, dtype=np.int64)
                yield self._placed.window(
                    connection, starts, starts + step, tick=self.tick, names=names, past=past, there=self._there
                )
            start += step
            since = start
