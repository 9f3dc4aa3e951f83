"""Detectors that compare devices, live on real databases: each device's readings are stored at another time, and all of them are
compared all the same, as in a backtest.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from anomaly.engine import DetectionEngine
from anomaly.finding import Change
from anomaly.judge import Judge
from core.database import Database
from core.profile import Profile, parse
from telemetry.stored import StoredHistory
from telemetry.window import Floats

START = datetime(2026, 1, 1, tzinfo=UTC)
TEXT = """
profile: box
title: Box
tick: 1h
silence_after: 1d
signals:
  heat: {title: Heat, unit: Cel, range: [0, 100], interval: 1h, component: heater}
  trips: {title: Trips, unit: count, range: [0, 1000], interval: 1h, component: fan}
components: {heater: {title: Heater}, fan: {title: Fan}}
"""
DEVICES, HOURS, BROKEN = 12, 130, 90
TURNS = 4
"""In an hour, each with other devices: fewer at once than a fleet has to have."""


def fleet() -> Floats:
    """[T, D, 2] heat that goes up and down for all, but one device that leaves them, and a counter that only its neighbour's counts."""
    random = np.random.default_rng(1)
    weather = np.cumsum(random.normal(0, 1.5, HOURS))[:, None]
    heat = 50 + weather + random.normal(0, 0.3, (HOURS, DEVICES))
    heat[BROKEN:, 0] += 6
    trips = np.zeros((HOURS, DEVICES))
    trips[BROKEN:, 1] = np.arange(HOURS - BROKEN) // 3
    return np.stack([heat.round(3), trips], axis=2)


class Live:
    """A database in which devices store what they measured one after the other, and an engine that looks after each of them."""

    def __init__(self, database: Database, detectors: str) -> None:
        self.database = database
        self.profile: Profile = parse(TEXT + f"detectors: {detectors}\n", "box.yaml")
        self.now = START
        with database.transaction() as c:
            c.execute(
                "INSERT INTO device (name, profile) SELECT 'd' || lpad(d::text, 2, '0'), 'box' FROM generate_series(0, %s) d",
                (DEVICES - 1,),
            )
            c.execute(
                "INSERT INTO series (device_id, signal) SELECT id, s FROM device, (VALUES ('heat'), ('trips')) v (s)"
            )
            rows = c.execute("SELECT device_id - 1 AS device, signal, id FROM series").fetchall()
        self.series = {(row["device"], row["signal"]): row["id"] for row in rows}

    def engine(self) -> DetectionEngine:
        return DetectionEngine(self.database, {"box": self.profile}, lambda: self.now)

    def store(self, devices: range, hour: int, values: Floats) -> None:
        """Their readings of an hour, at other minutes for each of them."""
        rows, times = [], []
        for device in devices:
            times.append(START + timedelta(hours=hour, minutes=5 + 4 * device))
            for at, signal in enumerate(("heat", "trips")):
                rows.append((self.series[device, signal], times[-1], self.now, float(values[hour, device, at])))
        with self.database.transaction() as c:
            c.cursor().executemany("INSERT INTO reading VALUES (%s, %s, %s, %s, 0)", rows)
            c.execute(
                "INSERT INTO batch (stored_at, readings, devices, first_times, last_times) VALUES (%s, %s, %s, %s, %s)",
                (self.now, len(rows), [d + 1 for d in devices], times, times),
            )

    def run(self, values: Floats, again: Callable[[int], bool] = lambda _: False) -> None:
        """Stores and judges all; a new engine takes over where `again` says so."""
        engine, each = self.engine(), DEVICES // TURNS
        for hour in range(HOURS):
            for turn in range(TURNS):
                self.now = START + timedelta(hours=hour, minutes=59)
                self.store(range(turn * each, (turn + 1) * each), hour, values)
                engine.turn()
            if again(hour):
                engine = self.engine()

    def findings(self) -> list[Any]:
        with self.database.transaction() as c:
            rows = c.execute(
                "SELECT device_id - 1 AS d, component, opened_at, detector FROM finding ORDER BY 3, 1"
            ).fetchall()
        return [(row["d"], row["component"], row["opened_at"], row["detector"]) for row in rows]

    def in_a_backtest(self) -> list[Any]:
        """What a backtest of the stored readings opens, as far as they were judged live."""
        history = StoredHistory(self.database, self.profile)
        judge = Judge(self.profile)
        state = judge.fresh(DEVICES)
        changes = [c for window in history.windows() for c in judge.run(window, state) if c.change is Change.OPENED]
        return sorted(((c.device, c.component, c.at, c.detector) for c in changes), key=lambda own: (own[2], own[0]))


@pytest.mark.parametrize("detectors", ["{fleet: {warm_up: 40h}}", "{counters: {}}"])
def test_devices_that_are_heard_at_other_times_are_compared_as_in_a_backtest(
    database: Database, detectors: str
) -> None:
    live = Live(database, detectors)
    live.run(fleet())
    found = live.findings()
    assert {device for device, *_ in found} == ({0, 1} if "fleet" in detectors else {1})
    assert found == live.in_a_backtest()[: len(found)]
    assert found[0][2] < START + timedelta(hours=BROKEN + 24)


def test_another_engine_goes_on_with_those_that_waited(database: Database) -> None:
    live = Live(database, "{fleet: {warm_up: 40h}}")
    live.run(fleet(), again=lambda hour: hour % 20 == 0)
    assert {device for device, *_ in live.findings()} == {0, 1}
