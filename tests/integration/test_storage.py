"""Hours, retention and pruning on both database servers."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import psycopg
import pytest

from api.store import ConsoleStore
from api.store import Readings as ChartReadings
from core.database import Database
from core.profile import Profiles, Role, parse
from device_gateway.readings import Batch, Readings, microseconds, moment
from telemetry import storage, window
from telemetry.store import DeviceLookUp, DeviceStore, TelemetryWriter
from tests.conftest import Server
from tests.gateways import run
from tests.modes import PROFILE

NOW = datetime(2026, 11, 20, 12, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
HEAT_PUMP = parse(PROFILE, "heat_pump.yaml")
PROFILES = {**Profiles(None), "heat_pump": HEAT_PUMP}


class Store:
    """Stores values of one signal of one device."""

    def __init__(self, database: Database, profile: str, signal: str) -> None:
        name = f"{profile}-1"
        DeviceStore(database).register(name=name, profile=profile)
        found = next(iter(DeviceLookUp(database, PROFILES)({name: ()})))
        self.device, self.series = found.id, found.series[signal]
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
    return Store(database, "fridge", "cabinet_temp")


@pytest.fixture
def modes(database: Database) -> Store:
    return Store(database, "heat_pump", "mode")


def hours(database: Database) -> list[tuple[object, ...]]:
    with database.transaction() as c:
        rows = c.execute("SELECT hour, readings, mean, least, greatest FROM reading_hour ORDER BY hour")
        return [tuple(row.values()) for row in rows]


def hourly_modes(database: Database) -> list[tuple[object, ...]]:
    with database.transaction() as c:
        rows = c.execute("SELECT hour, mode, mode_readings FROM reading_hour ORDER BY hour")
        return [tuple(row.values()) for row in rows]


def as_detected(times: Sequence[datetime], values: Sequence[float], tick: timedelta) -> dict[datetime, float]:
    """The mode of each tick as detection takes it, by the tick's start."""
    n = len(times)
    found = window.build(
        devices=np.array([1]),
        signals=("mode",),
        tick=tick // timedelta(microseconds=1),
        device_at=np.zeros(n, dtype=np.int64),
        signal_at=np.zeros(n, dtype=np.int64),
        times=np.array([microseconds(t) for t in times]),
        values=np.array(values, dtype=np.float64),
        modes=np.array([True]),
    )
    starts = (moment(t) for t in found.times.tolist())
    return dict(zip(starts, found.values[:, 0, 0].tolist(), strict=True))


def charted(found: ChartReadings | None) -> dict[datetime, float]:
    assert found
    assert (found.least, found.greatest, found.mean) == ([], [], [])
    return {moment(t * 1000): value for t, value in zip(found.time, found.value, strict=True)}


def readings(database: Database) -> int:
    with database.transaction() as c:
        row = c.execute("SELECT count(*) AS n FROM reading").fetchone()
    assert row
    return int(row["n"])


def test_an_hour_is_one_row_and_late_readings_are_in_it(database: Database, store: Store) -> None:
    ten = datetime(2026, 11, 20, 10, tzinfo=UTC)
    store.put([ten, ten + HOUR / 2, ten + HOUR], [1, 3, 7])
    assert storage.roll_up(database, PROFILES) == 2
    assert storage.roll_up(database, PROFILES) == 0
    store.put([ten + HOUR / 4], [8])
    storage.roll_up(database, PROFILES)
    assert hours(database) == [(ten, 3, 4.0, 1.0, 8.0), (ten + HOUR, 1, 7.0, 7.0, 7.0)]


def test_what_is_still_being_stored_is_not_passed_over(database: Database, database_url: str, store: Store) -> None:
    ten = datetime(2026, 11, 20, 10, tzinfo=UTC)
    with psycopg.connect(database_url) as slow:
        # An older transaction that is still open may yet commit a batch.
        slow.execute("SELECT pg_current_xact_id()")
        store.put([ten], [1])
        assert storage.roll_up(database, PROFILES) == 0
    assert storage.roll_up(database, PROFILES) == 1


def test_old_readings_go_and_their_hours_stay(database: Database, store: Store) -> None:
    # A chunk is dropped once nothing in it is newer: a hundred days are more than one.
    old, new = NOW - timedelta(days=100), NOW - timedelta(days=1)
    store.put([old, old + timedelta(minutes=1), new], [1, 3, 5])
    done = storage.tidy(database, PROFILES, now=NOW, retention=timedelta(days=30))
    assert done.hours == 2
    assert done.dropped == (1 if done.of == "chunks" else 2)
    assert readings(database) == 1
    kept = hours(database)
    assert [row[1:] for row in kept] == [(2, 2.0, 1.0, 3.0), (1, 5.0, 5.0, 5.0)]
    # What comes for it later still is a small part of the hour, and must not take its place.
    store.put([old + timedelta(minutes=2)], [50])
    storage.tidy(database, PROFILES, now=NOW, retention=timedelta(days=30))
    assert hours(database) == kept


def test_without_retention_nothing_is_dropped(database: Database, store: Store) -> None:
    store.put([NOW - timedelta(days=9000)], [1])
    assert storage.tidy(database, PROFILES, now=NOW, retention=None).dropped == 0
    assert readings(database) == 1


def test_notes_of_batches_are_pruned_once_all_have_read_them(database: Database, store: Store) -> None:
    store.put([NOW], [1])
    later = NOW + timedelta(days=3)
    # Detection has not seen it.
    assert storage.tidy(database, PROFILES, now=later, retention=None).batches == 0
    with database.transaction() as c:
        c.execute("UPDATE detection_cursor SET xact = (SELECT max(xact) FROM batch)")
    store.put([NOW + HOUR], [2])
    assert storage.tidy(database, PROFILES, now=NOW, retention=None).batches == 0
    with database.transaction() as c:
        c.execute("UPDATE detection_cursor SET xact = (SELECT max(xact) FROM batch)")
    assert storage.tidy(database, PROFILES, now=later, retention=None).batches == 1


def test_a_chart_over_months_is_the_same_from_hours_as_from_readings(database: Database, store: Store) -> None:
    start = datetime(2026, 8, 1, tzinfo=UTC)
    times = [start + n * timedelta(minutes=20) for n in range(3 * 24 * 90)]
    values = [float(n * 7919 % 1000) for n in range(len(times))]
    store.put(times, values)
    console = ConsoleStore(database, PROFILES)
    stop = start + timedelta(days=90)
    raw = console.readings("fridge-1", "cabinet_temp", start, stop, 200)
    storage.roll_up(database, PROFILES)
    store.put([stop - timedelta(minutes=10)], [5000.0])  # Not in an hour yet.
    rolled = console.readings("fridge-1", "cabinet_temp", start, stop, 200)
    assert raw
    assert rolled
    assert rolled.bucket == raw.bucket == 11 * HOUR
    assert rolled.time == raw.time
    assert rolled.least == raw.least
    assert rolled.greatest[:-1] == raw.greatest[:-1]
    assert rolled.greatest[-1] == 5000.0
    assert rolled.mean[:-1] == pytest.approx(raw.mean[:-1])
    # And from hours alone, when the readings are gone.
    storage.tidy(database, PROFILES, now=stop, retention=timedelta(days=30))
    assert readings(database) < len(times)
    after = console.readings("fridge-1", "cabinet_temp", start, stop, 200)
    assert after
    assert (after.least, after.greatest) == (rolled.least, rolled.greatest)
    assert console.readings("fridge-1", "cabinet_temp", start, start + HOUR, 200) is not None


def test_an_hour_of_a_mode_keeps_the_one_that_most_readings_have(
    database: Database, store: Store, modes: Store
) -> None:
    ten = datetime(2026, 11, 20, 10, tzinfo=UTC)
    minutes = [ten + n * timedelta(minutes=1) for n in range(60)]
    store.put([ten - HOUR], [4.0])
    modes.put([*minutes[:5], minutes[59]], [1, 1, 2, 4, 4, 0])
    modes.put([ten + HOUR], [2])
    storage.roll_up(database, PROFILES)
    # Two readings have 1 and two have 4: it was in 4 last. What is no mode has none.
    assert hourly_modes(database) == [(ten - HOUR, None, None), (ten, 4.0, 2), (ten + HOUR, 2.0, 1)]
    modes.put([minutes[5]], [1])
    storage.roll_up(database, PROFILES)
    assert hourly_modes(database)[1] == (ten, 1.0, 3)


def test_a_mode_in_a_chart_is_the_one_that_detection_takes(database: Database, modes: Store) -> None:
    random = np.random.default_rng(1)
    start = datetime(2026, 11, 10, tzinfo=UTC)
    # Not one an even number of times: every kind of draw is in it.
    times = sorted(start + timedelta(minutes=int(n)) for n in random.choice(7 * 1440, 3000, replace=False))
    values = random.choice([0.0, 1.0, 2.0, 4.0], len(times)).tolist()
    modes.put(times, values)
    console, days = ConsoleStore(database, PROFILES), 7 * timedelta(days=1)
    half = console.readings("heat_pump-1", "mode", start, start + days, 7 * 48)
    assert charted(half) == as_detected(times, values, HOUR / 2)
    by_hour = as_detected(times, values, HOUR)
    assert charted(console.readings("heat_pump-1", "mode", start, start + days, 7 * 24)) == by_hour
    storage.roll_up(database, PROFILES)
    assert {hour: mode for hour, mode, _ in hourly_modes(database)} == by_hour
    assert charted(console.readings("heat_pump-1", "mode", start, start + days, 7 * 24)) == by_hour


def test_a_chart_of_a_mode_over_months_outlives_its_readings(database: Database, modes: Store) -> None:
    start = datetime(2026, 8, 1, tzinfo=UTC)
    times = [start + n * timedelta(minutes=10) for n in range(6 * 24 * 90)]
    # Off for two thirds of each hour by night, defrosting for as much by day.
    values = [(0.0 if t.hour < 12 else 4.0) if t.minute < 40 else 1.0 for t in times]
    modes.put(times, values)
    console, stop = ConsoleStore(database, PROFILES), start + timedelta(days=90)
    from_readings = charted(console.readings("heat_pump-1", "mode", start, stop, 180))
    assert list(from_readings.values()) == [0.0, 4.0] * 90
    storage.tidy(database, PROFILES, now=stop, retention=timedelta(days=30))
    assert readings(database) < len(times)
    assert charted(console.readings("heat_pump-1", "mode", start, stop, 180)) == from_readings
    # A bucket of several hours has what most of their readings have, as far as the hours know it.
    modes.put([stop, stop + HOUR], [2.0, 2.0])
    longer = charted(console.readings("heat_pump-1", "mode", stop - timedelta(hours=2), stop + 2 * HOUR, 1))
    assert longer == {stop - timedelta(hours=2): 4.0}


def test_hours_made_before_a_signal_was_a_mode_are_read_from_readings(database: Database, modes: Store) -> None:
    ten = datetime(2026, 11, 20, 10, tzinfo=UTC)
    times = [ten + n * timedelta(minutes=10) for n in range(18)]
    modes.put(times, [1.0, 1.0, 1.0, 1.0, 4.0, 4.0] * 3)
    mode = HEAT_PUMP.signals["mode"].model_copy(update={"role": Role.CONTEXT})
    before = HEAT_PUMP.model_copy(update={"signals": {**HEAT_PUMP.signals, "mode": mode}})
    storage.roll_up(database, {"heat_pump": before})
    assert hourly_modes(database)[0] == (ten, None, None)
    console, stop = ConsoleStore(database, PROFILES), ten + 3 * HOUR
    expected = {ten + n * HOUR: 1.0 for n in range(3)}
    assert charted(console.readings("heat_pump-1", "mode", ten, stop, 3)) == expected
    # What comes for one of them later makes it anew.
    modes.put([ten + timedelta(minutes=1)], [1.0])
    storage.roll_up(database, PROFILES)
    assert hourly_modes(database)[:2] == [(ten, 1.0, 5), (ten + HOUR, None, None)]


def test_the_command_says_what_it_did(database_url: str, database: Database, server: Server, store: Store) -> None:
    store.put([NOW - timedelta(days=100), NOW], [1, 2])
    done = run(database_url, "storage", "tidy", FOREWARN_RETENTION="30d")
    assert done.returncode == 0, done.stderr
    assert "1 chunks dropped" in done.stdout or "1 readings dropped" in done.stdout
    refused = run(database_url, "storage", "tidy", FOREWARN_RETENTION="365s")
    assert refused.returncode == 1
    assert "FOREWARN_RETENTION" in refused.stderr
