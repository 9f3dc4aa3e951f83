"""Stores what the gateway accepted, each batch in one transaction, and finds devices for it."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg import errors

from core.clock import Clock
from core.database import Connection, Database
from core.errors import DatabaseAway, DatabaseRefused
from core.profile import Profile
from device_gateway.readings import Batch, DeadLetter, Event, Status
from device_gateway.registry import Found, Strangers
from telemetry.connection import Before, follow
from telemetry.store.attributes import store_attributes
from telemetry.store.copying import Rows, rows_of
from telemetry.store.sql import SQL


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What storing a batch did: readings that are new, and those that were stored before or stood twice in it."""

    readings: int
    duplicates: int


@contextmanager
def translated() -> Iterator[None]:
    """Turns psycopg's errors into ours: values that the database does not take, or a database that is not usable.
    A mistake of this code, like a value of a type that psycopg does not know, stays what it is.
    """
    try:
        yield
    except (psycopg.DataError, psycopg.IntegrityError) as error:
        raise DatabaseRefused(_first_line(error)) from error
    except psycopg.Error as error:
        if isinstance(error, psycopg.ProgrammingError) and error.sqlstate is None:
            raise  # The driver's own: the database was not asked, and is not away.
        # Whatever else it says (read-only, no such table, no right), nothing is wrong with the values: keep them.
        raise DatabaseAway(_first_line(error)) from error


def _first_line(error: psycopg.Error) -> str:
    return str(error).strip().split("\n")[0] or type(error).__name__


class TelemetryWriter:
    """Stores batches. Not for several threads at once, but for `prepare`."""

    def __init__(self, database: Database, now: Clock) -> None:
        self._database = database
        self._now = now
        self._merge_first = False

    def prepare(self, batch: Batch) -> Rows:
        """What `store` can be given, made without the database: worth doing while that is busy with another batch."""
        return rows_of(batch.readings)

    def store(self, batch: Batch, rows: Rows | None = None) -> Stored:
        """Stores all of `batch` or, by an exception, nothing of it. rows: what `prepare` made of it, if it was asked.

        Raises DatabaseRefused when the database does not take a value, DatabaseAway when it is not usable now.
        """
        rows = self.prepare(batch) if rows is None else rows
        # Duplicates come in rows, after an interruption: who met some tries the careful way first until none come.
        with translated():
            try:
                new = self._transaction(batch, rows, merge=self._merge_first)
            except errors.UniqueViolation:
                new = self._transaction(batch, rows, merge=True)
        duplicates = len(batch.readings) - new
        self._merge_first = duplicates > 0
        return Stored(readings=new, duplicates=duplicates)

    def _transaction(self, batch: Batch, rows: Rows, *, merge: bool) -> int:
        with self._database.transaction() as connection:
            return write_batch(connection, batch, rows, stored_at=self._now(), merge=merge)


def write_batch(connection: Connection, batch: Batch, rows: Rows, *, stored_at: datetime, merge: bool) -> int:
    """Writes a batch, whose readings are `rows`, within a transaction; returns how many readings are new.

    merge: whether readings may be there that are stored already. Without it, one such raises UniqueViolation.
    """
    new = 0
    if rows.count:
        touched = (_merge if merge else _copy)(connection, rows)
        new = touched.readings
        if new:
            connection.execute(
                SQL["add_batch"],
                {
                    "stored_at": stored_at,
                    "readings": new,
                    "devices": touched.devices,
                    "first_times": touched.first,
                    "last_times": touched.last,
                },
            )
    events = list(batch.events)
    if batch.statuses:
        events += _store_statuses(connection, batch.statuses)
    if batch.attributes:
        events += store_attributes(connection, batch.attributes)
    if events:
        _store_events(connection, events)
    if batch.clock_skews:
        devices, skews = zip(*batch.clock_skews, strict=True)
        connection.execute(SQL["set_clock_skews"], {"devices": list(devices), "skews": list(skews)})
    if batch.dead_letters:
        _store_dead_letters(connection, batch.dead_letters)
    return new


@dataclass(frozen=True, slots=True, kw_only=True)
class _Touched:
    """How many readings were stored, and by device the first and last time of them."""

    readings: int
    devices: list[int]
    first: list[datetime]
    last: list[datetime]


def _copy(connection: Connection, rows: Rows) -> _Touched:
    with connection.cursor() as cursor, cursor.copy(SQL["copy_readings"]) as copy:
        copy.write(rows.copied)
    return _Touched(readings=rows.count, devices=rows.devices, first=rows.first, last=rows.last)


def _merge(connection: Connection, rows: Rows) -> _Touched:
    connection.execute(SQL["make_incoming"])
    with connection.cursor() as cursor, cursor.copy(SQL["copy_incoming"]) as copy:
        copy.write(rows.copied)
    found = connection.execute(SQL["merge_incoming"]).fetchall()
    return _Touched(
        readings=sum(r["readings"] for r in found),
        devices=[r["device_id"] for r in found],
        first=[r["first"] for r in found],
        last=[r["last"] for r in found],
    )


def _store_statuses(connection: Connection, statuses: Sequence[Status]) -> list[Event]:
    """Brings the devices' status up to date; returns the connects and disconnects that this shows."""
    rows = connection.execute(SQL["lock_status"], {"devices": sorted({s.device for s in statuses})})
    before = {
        r["id"]: Before(online=None if r["status"] == "unknown" else r["status"] == "online", since=r["status_at"])
        for r in rows
    }
    after, events = follow(before, statuses)
    changed = sorted(after)
    if changed:
        connection.execute(
            SQL["set_status"],
            {
                "devices": changed,
                "statuses": ["online" if after[d].online else "offline" for d in changed],
                "times": [after[d].since for d in changed],
            },
        )
    return events


def _store_events(connection: Connection, events: Sequence[Event]) -> None:
    connection.execute(
        SQL["add_events"],
        {
            "devices": [e.device for e in events],
            "times": [e.time for e in events],
            "kinds": [e.kind for e in events],
            "codes": [e.code for e in events],
            "received": [e.received_at for e in events],
            "details": [e.detail for e in events],
        },
    )


def _store_dead_letters(connection: Connection, letters: Sequence[DeadLetter]) -> None:
    """Stores dead letters within a transaction. Any text is made storable: that of a stranger may be anything."""
    letters = _each_once(letters)
    connection.execute(
        SQL["add_dead_letters"],
        {
            "received": [d.received_at for d in letters],
            "topics": [_storable(d.topic) for d in letters],
            "payloads": [bytes(d.payload) for d in letters],
            "sizes": [d.size for d in letters],
            "reasons": [d.reason.value for d in letters],
            "details": [_storable(d.detail) for d in letters],
            "packets": [d.packet for d in letters],
            "again": [d.again for d in letters],
        },
    )


def _each_once(letters: Sequence[DeadLetter]) -> list[DeadLetter]:
    """The letters without those that came again while the first was not stored yet: a query does not see its own rows."""
    met, once = set(), []
    for letter in letters:
        key = (letter.topic, letter.payload, letter.reason, letter.packet)
        if not (letter.again and key in met):
            once.append(letter)
        met.add(key)
    return once


def _storable(text: str) -> str:
    """`text` without what PostgreSQL cannot store: U+0000 and halves of surrogate pairs."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


class DeviceLookUp:
    """Finds devices for the gateway, and numbers the signals of those that it finds."""

    def __init__(self, database: Database, profiles: Mapping[str, Profile]) -> None:
        self._database = database
        self._profiles = profiles

    def __call__(self, strangers: Strangers) -> list[Found]:
        """The devices of `strangers` that exist. Signals beyond a profile that keeps them are numbered too.

        Raises DatabaseAway.
        """
        names = [n for n in strangers if _storable(n) == n]
        with translated(), self._database.transaction() as connection:
            rows = connection.execute(SQL["find_devices"], {"names": names}).fetchall()
            wanted = [(r["id"], signal) for r in rows for signal in self._signals(r["profile"], strangers[r["name"]])]
            connection.execute(
                SQL["add_series"], {"devices": [d for d, _ in wanted], "signals": [s for _, s in wanted]}
            )
            series: dict[int, dict[str, int]] = {r["id"]: {} for r in rows}
            for r in connection.execute(SQL["find_series"], {"devices": list(series)}):
                series[r["device_id"]][r["signal"]] = r["id"]
        return [Found(name=r["name"], id=r["id"], profile=r["profile"], series=series[r["id"]]) for r in rows]

    def _signals(self, name: str, unknown: Collection[str]) -> list[str]:
        profile = self._profiles.get(name) if name in self._profiles else None
        if profile is None:
            return []
        kept = [s for s in unknown if _storable(s) == s] if profile.unknown_signals == "keep" else []
        return [*profile.signals, *kept]
