"""The stored telemetry of all devices of a profile as Windows in the order of time: history as a recording would give it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np

from core.database import Database
from core.profile import Profile
from telemetry import history, window
from telemetry.window import Ints, Window

_MOST_CELLS = 1_000_000


class StoredHistory:
    """What is stored of a profile's devices since a time; the readings themselves are read window by window."""

    def __init__(self, database: Database, profile: Profile, since: datetime | None = None) -> None:
        self._database = database
        self.tick = profile.tick // timedelta(microseconds=1)
        with database.transaction() as connection:
            found = history.spans_of_profile(connection, profile.name, since or datetime(1970, 1, 1, tzinfo=UTC))
            self._placed = history.place(connection, [row[0] for row in found], tuple(profile.signals))
        self.devices: tuple[str, ...] = tuple(row[1] for row in found)
        self._first = np.array([row[2] for row in found], dtype=np.int64)
        self._last = np.array([row[3] for row in found], dtype=np.int64)

    def spans(self) -> tuple[Ints, Ints]:
        """[D] the first and the last time of each device, microseconds since the epoch."""
        return self._first, self._last

    def rows(self) -> None:
        """Stored readings come by series, so there are no rows."""

    def windows(self) -> Iterator[Window]:
        """All windows in the order of time, each with all devices."""
        if not self.devices:
            return
        step = max(1, _MOST_CELLS // (len(self.devices) * len(self._placed.signals))) * self.tick
        names = np.arange(len(self.devices), dtype=np.int64)
        start = window.floor(int(self._first.min()), self.tick)
        while start <= self._last.max():
            with self._database.transaction() as connection:
                starts = np.full(len(self.devices), start, dtype=np.int64)
                found = self._placed.window(connection, starts, starts + step, tick=self.tick, names=names)
            yield found
            start += step
