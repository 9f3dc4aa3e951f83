"""Hours, retention and pruning on both database servers."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import psycopg
import pytest

from api.store import ConsoleStore
from core.database import Database
from core.profile import Profiles
from device_gateway.readings import Batch, Readings, microseconds
from telemetry import storage
from telemetry.store import DeviceLookUp, DeviceStore, TelemetryWriter
from tests.conftest import Server
from tests.gateways import run

NOW = datetime(2026, 11, 20, 12, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Store:
    """Stores values of one signal of one device."""

    def __init__(self, database: Database) -> None:
        DeviceStore(database).register(name="f1", profile="fridge")
        found = next(iter(DeviceLookUp(database, dict(Profiles(None)))({"f1": ()})))
        self.device, self.series = found.id, found.series["cabinet_temp"]
        self._writer = TelemetryWriter(database, lambda: NOW)

    def put(self, times: Sequence[datetime], values: Sequence[float]) -> None:
        n = len(times)
        self._writer.store(
            Batch(
                readings=Readings(
                    device=np.full(n, self.device, dtype=np.int32),
                    series=np.full(n, self.series, dtype=np.int32),
                    time=np.array([microseconds(t) for t in times]),
                    received=np.full(n, microseconds(NOW)),
                    value=np.array(values, dtype=np.float64),
                    quality=np.zeros(n, dtype=np.int16),
                )
            )
        )


@pytest.fixture
def store(database: Database) -> Store:
    return Store(database)


def hours(database: Database) -> list[tuple[object, ...]]:
    with database.transaction() as c:
        rows = c.execute("SELECT hour, readings, mean, least, greatest FROM reading_hour ORDER BY hour")
        return [tuple(row.values()) for row in rows]


def readings(database: Database) -> int:
    with database.transaction() as c:
        row = c.execute("SELECT count(*) AS n FROM reading").fetchone()
    assert row
    return int(row["n"])


def test_an_hour_is_one_row_and_late_readings_are_in_it(database: Database, store: Store) -> None:
    ten = datetime(2026, 11, 20, 10, tzinfo=UTC)
    store.put([ten, ten + HOUR / 2, ten + HOUR], [1, 3, 7])
    assert storage.roll_up(database) == 2
    assert storage.roll_up(database) == 0
    store.put([ten + HOUR / 4], [8])
    storage.roll_up(database)
    assert hours(database) == [(ten, 3, 4.0, 1.0, 8.0), (ten + HOUR, 1, 7.0, 7.0, 7.0)]


def test_what_is_still_being_stored_is_not_passed_over(database: Database, database_url: str, store: Store) -> None:
    ten = datetime(2026, 11, 20, 10, tzinfo=UTC)
    with psycopg.connect(database_url) as slow:
        # An older transaction that is still open may yet commit a batch.
        slow.execute("SELECT pg_current_xact_id()")
        store.put([ten], [1])
        assert storage.roll_up(database) == 0
    assert storage.roll_up(database) == 1


def test_old_readings_go_and_their_hours_stay(database: Database, store: Store) -> None:
    # A chunk is dropped once nothing in it is newer: a hundred days are more than one.
    old, new = NOW - timedelta(days=100), NOW - timedelta(days=1)
    store.put([old, old + timedelta(minutes=1), new], [1, 3, 5])
    done = storage.tidy(database, now=NOW, retention=timedelta(days=30))
    assert done.hours == 2
    assert done.dropped == (1 if done.of == "chunks" else 2)
    assert readings(database) == 1
    kept = hours(database)
    assert [row[1:] for row in kept] == [(2, 2.0, 1.0, 3.0), (1, 5.0, 5.0, 5.0)]
    # What comes for it later still is a small part of the hour, and must not take its place.
    store.put([old + timedelta(minutes=2)], [50])
    storage.tidy(database, now=NOW, retention=timedelta(days=30))
    assert hours(database) == kept


def test_without_retention_nothing_is_dropped(database: Database, store: Store) -> None:
    store.put([NOW - timedelta(days=9000)], [1])
    assert storage.tidy(database, now=NOW, retention=None).dropped == 0
    assert readings(database) == 1


def test_notes_of_batches_are_pruned_once_all_have_read_them(database: Database, store: Store) -> None:
    store.put([NOW], [1])
    later = NOW + timedelta(days=3)
    # Detection has not seen it.
    assert storage.tidy(database, now=later, retention=None).batches == 0
    with database.transaction() as c:
        c.execute("UPDATE detection_cursor SET xact = (SELECT max(xact) FROM batch)")
    store.put([NOW + HOUR], [2])
    assert storage.tidy(database, now=NOW, retention=None).batches == 0
    with database.transaction() as c:
        c.execute("UPDATE detection_cursor SET xact = (SELECT max(xact) FROM batch)")
    assert storage.tidy(database, now=later, retention=None).batches == 1


def test_a_chart_over_months_is_the_same_from_hours_as_from_readings(database: Database, store: Store) -> None:
    start = datetime(2026, 8, 1, tzinfo=UTC)
    times = [start + n * timedelta(minutes=20) for n in range(3 * 24 * 90)]
    values = [float(n * 7919 % 1000) for n in range(len(times))]
    store.put(times, values)
    console = ConsoleStore(database)
    stop = start + timedelta(days=90)
    raw = console.readings("f1", "cabinet_temp", start, stop, 200)
    storage.roll_up(database)
    store.put([stop - timedelta(minutes=10)], [5000.0])  # Not in an hour yet.
    rolled = console.readings("f1", "cabinet_temp", start, stop, 200)
    assert raw
    assert rolled
    assert rolled.bucket == raw.bucket == 11 * HOUR
    assert rolled.time == raw.time
    assert rolled.least == raw.least
    assert rolled.greatest[:-1] == raw.greatest[:-1]
    assert rolled.greatest[-1] == 5000.0
    assert rolled.mean[:-1] == pytest.approx(raw.mean[:-1])
    # And from hours alone, when the readings are gone.
    storage.tidy(database, now=stop, retention=timedelta(days=30))
    assert readings(database) < len(times)
    after = console.readings("f1", "cabinet_temp", start, stop, 200)
    assert after
    assert (after.least, after.greatest) == (rolled.least, rolled.greatest)
    assert console.readings("f1", "cabinet_temp", start, start + HOUR, 200) is not None


def test_the_command_says_what_it_did(database_url: str, database: Database, server: Server, store: Store) -> None:
    store.put([NOW - timedelta(days=100), NOW], [1, 2])
    done = run(database_url, "storage", "tidy", FOREWARN_RETENTION="30d")
    assert done.returncode == 0, done.stderr
    assert "1 chunks dropped" in done.stdout or "1 readings dropped" in done.stdout
    refused = run(database_url, "storage", "tidy", FOREWARN_RETENTION="365s")
    assert refused.returncode == 1
    assert "FOREWARN_RETENTION" in refused.stderr
