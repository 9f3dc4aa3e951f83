"""The live detection engine on real databases: following, restarting, standing by, silence."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest

from anomaly.engine import DetectionEngine, Turn
from core.database import Database
from core.profile import Profile, parse
from telemetry import recorded
from telemetry.stored import StoredHistory

START = datetime(2026, 1, 1, tzinfo=UTC)
BOX = """
profile: box
title: Box
tick: 1h
silence_after: 1d
signals:
  heat: {title: Heat, unit: Cel, range: [0, 100], interval: 10min, component: heater}
components: {heater: {title: Heater}}
failure_modes:
  burn: {title: Burn, component: heater, symptoms: {heat: high}, severity: critical}
detectors:
  limits:
    - {signal: heat, high: 80, on_delay: 3h, off_delay: 2h, failure_mode: burn}
"""


class Platform:
    """A database with two devices, readings written as the gateway writes them."""

    def __init__(self, database: Database, url: str) -> None:
        self.database = database
        self.url = url
        self.now = START
        self.profiles: Mapping[str, Profile] = {"box": parse(BOX, "box.yaml")}
        self.run("INSERT INTO device (name, profile) VALUES ('b1', 'box'), ('b2', 'box'), ('x', 'gone')")
        self.run("INSERT INTO series (device_id, signal) VALUES (1, 'heat'), (2, 'heat'), (3, 'heat'), (1, 'extra')")

    def run(self, sql: str, *values: Any) -> list[Any]:
        with self.database.transaction() as connection:
            cursor = connection.execute(sql, values)  # type: ignore[arg-type,unused-ignore]
            return [tuple(row.values()) for row in cursor.fetchall()] if cursor.description else []

    def store(self, device: int, hours: list[float], values: list[float], *, connection: Any = None) -> None:
        times = [START + timedelta(hours=h) for h in hours]

        def write(c: Any) -> None:
            c.cursor().executemany(
                "INSERT INTO reading VALUES (%s, %s, %s, %s, 0)",
                [(device, t, self.now, v) for t, v in zip(times, values, strict=True)],
            )
            c.execute(
                "INSERT INTO batch (stored_at, readings, devices, first_times, last_times) VALUES (%s,%s,%s,%s,%s)",
                (self.now, len(times), [device], [min(times)], [max(times)]),
            )

        if connection is not None:
            write(connection)
        else:
            with self.database.transaction() as c:
                write(c)

    def engine(self, most_readings: int = 10**6) -> DetectionEngine:
        return DetectionEngine(self.database, self.profiles, lambda: self.now, most_readings=most_readings)

    def findings(self) -> list[Any]:
        return self.run(
            "SELECT device_id, failure_mode, opened_at, closed_at IS NULL FROM finding ORDER BY opened_at, device_id"
        )


@pytest.fixture
def platform(database: Database, database_url: str) -> Platform:
    return Platform(database, database_url)


def hot(hours: range) -> tuple[list[float], list[float]]:
    return [float(h) for h in hours], [90.0] * len(hours)


def test_a_finding_is_written_with_its_evidence(platform: Platform) -> None:
    platform.store(1, *hot(range(6)))
    turn = platform.engine().turn()
    assert turn == Turn(readings=6, findings=1, more=False)
    assert platform.findings() == [(1, "burn", START + timedelta(hours=3), True)]
    ((because, evidence, score),) = platform.run("SELECT because, evidence, score FROM finding")
    assert because == "Heat 90.0 °C (limit 80.0 °C); since 2026-01-01 00:00 UTC"
    assert evidence["signals"][0] | {"seen": 0} == {
        "signal": "heat",
        "unit": "Cel",
        "normal_low": None,
        "normal_high": 80.0,
        "seen": 0,
        "contribution": 1.0,
        "direction": "high",
        "hourly": False,
    }
    assert score == pytest.approx(3.0)


def test_a_sensor_fault_is_stored_as_one(platform: Platform) -> None:
    text = BOX.split("detectors:", maxsplit=1)[0] + "detectors:\n  sensors: {warm_up: 2d}\n"
    platform.profiles = {"box": parse(text, "box.yaml")}
    moving = [20.0 + hour % 7 for hour in range(60)]
    platform.store(1, [float(hour) for hour in range(100)], [*moving, *[21.5] * 40])
    platform.engine().turn()
    assert platform.run("SELECT kind, component, failure_mode, because FROM finding") == [
        ("sensor", "sensors", "heat_sensor", "Heat stands still at 21.5 °C; since 2026-01-04 12:00 UTC")
    ]


def test_the_open_tick_waits_for_the_next_reading(platform: Platform) -> None:
    platform.store(1, *hot(range(3)))
    engine = platform.engine()
    engine.turn()
    assert platform.findings() == []
    platform.store(1, [3.0], [90.0])
    engine.turn()
    assert len(platform.findings()) == 1


def test_it_opens_extends_and_closes_across_restarts(platform: Platform) -> None:
    hours = list(np.arange(0, 12, 0.5))
    for at, hour in enumerate(hours):
        platform.store(1, [hour], [90.0 if hour < 6 else 20.0])
        if at % 3 == 0:
            platform.engine().turn()
    platform.store(1, [12.0], [20.0])
    platform.engine().turn()
    assert platform.findings() == [(1, "burn", START + timedelta(hours=3), False)]
    ((extended, closed),) = platform.run("SELECT extended_at, closed_at FROM finding")
    assert closed == START + timedelta(hours=8)
    assert extended >= START + timedelta(hours=6)


def test_a_turn_that_is_cut_off_is_made_again(platform: Platform) -> None:
    platform.store(1, *hot(range(6)))
    engine = platform.engine()
    platform.run("ALTER TABLE finding ADD CONSTRAINT no_way CHECK (severity <> 'critical')")
    with pytest.raises(psycopg.errors.CheckViolation):
        engine.turn()
    platform.run("ALTER TABLE finding DROP CONSTRAINT no_way")
    engine.turn()
    engine.turn()
    assert len(platform.findings()) == 1


def test_batches_are_taken_in_the_order_of_commits_and_none_is_passed_over(platform: Platform) -> None:
    engine = platform.engine()
    # The chunk is there: a transaction that makes one lets others wait.
    platform.store(3, [1.0], [20.0])
    with psycopg.connect(platform.url) as slow:
        # This transaction is older, and commits last.
        platform.store(1, *hot(range(6)), connection=slow)
        platform.store(2, *hot(range(6)))
        engine.turn()
        slow.commit()
    engine.turn()
    engine.turn()
    assert sorted(device for device, *_ in platform.findings()) == [1, 2]


def test_a_long_backlog_is_taken_in_parts(platform: Platform) -> None:
    for hour in range(10):
        platform.store(1, [hour, hour + 0.5], [90.0, 90.0])
    engine = platform.engine(most_readings=6)
    turns = [engine.turn() for _ in range(4)]
    assert [t.more for t in turns] == [True, True, True, False]
    assert sum(t.readings for t in turns) == 20
    assert len(platform.findings()) == 1


def test_two_engines_share_the_work_without_doubling(platform: Platform) -> None:
    first, second = platform.engine(), platform.engine()
    for hour in range(12):
        platform.store(1, [hour], [90.0 if hour < 6 else 20.0])
        (first if hour % 2 else second).turn()
    assert platform.findings() == [(1, "burn", START + timedelta(hours=3), False)]


def test_while_one_has_its_turn_the_other_stands_by(platform: Platform) -> None:
    platform.store(1, *hot(range(6)))
    with psycopg.connect(platform.url) as other:
        other.execute("SELECT * FROM detection_cursor FOR UPDATE")
        assert platform.engine().turn().readings == 0
    assert platform.engine().turn().readings == 6


def test_a_device_of_an_unknown_profile_does_not_stop_the_others(platform: Platform) -> None:
    platform.store(3, *hot(range(6)))
    platform.store(1, *hot(range(6)))
    platform.engine().turn()
    assert [device for device, *_ in platform.findings()] == [1]


def test_silence_is_a_condition_of_its_own(platform: Platform) -> None:
    engine = platform.engine()
    platform.store(1, [0, 1, 2], [90.0, 90.0, 20.0])
    engine.turn()
    platform.now += timedelta(hours=24)
    engine.turn()
    assert platform.findings() == []
    platform.now += timedelta(hours=1)
    engine.turn()
    engine.turn()
    assert [(mode, is_open) for _, mode, _, is_open in platform.findings()] == [("silence", True)]
    platform.store(1, [30.0], [20.0])
    engine.turn()
    assert [(mode, is_open) for _, mode, _, is_open in platform.findings()] == [("silence", False)]


def test_the_health_of_components_is_told_each_turn(platform: Platform) -> None:
    engine = platform.engine()

    def health() -> list[Any]:
        return platform.run("SELECT round(health::numeric, 2)::float8, at, since FROM component_health")

    platform.store(1, [0, 1], [20.0, 20.0])
    engine.turn()
    assert health() == [(1.0, START + timedelta(hours=1), START + timedelta(hours=1))]
    platform.store(1, [2, 3], [80.0, 90.0])
    engine.turn()
    assert health() == [(0.5, START + timedelta(hours=3), START + timedelta(hours=1))]
    platform.store(1, [4, 5], [90.0, 20.0])
    engine.turn()
    assert health() == [(0.01, START + timedelta(hours=5), START + timedelta(hours=5))]


def test_health_that_is_not_known_is_stored_so(platform: Platform) -> None:
    text = BOX.split("detectors:", maxsplit=1)[0] + "detectors:\n  baseline: {warm_up: 24h}\n"
    platform.profiles = {"box": parse(text, "box.yaml")}
    platform.store(1, [0, 1], [20.0, 20.0])
    platform.engine().turn()
    assert platform.run("SELECT component, health FROM component_health") == [("heater", None)]


def test_an_open_finding_keeps_what_was_seen_while_its_signal_is_not_measured(platform: Platform) -> None:
    platform.profiles = {
        "box": parse(
            BOX.replace("components:", "  extra: {title: Extra, unit: W, range: [0, 9], interval: 1h}\ncomponents:"),
            "box.yaml",
        )
    }
    engine = platform.engine()
    platform.store(1, *hot(range(6)))
    engine.turn()
    for first in (6, 8):
        times = [START + timedelta(hours=first + at) for at in range(2)]
        with platform.database.transaction() as c:
            # Series 4 is the other signal of device 1.
            c.cursor().executemany("INSERT INTO reading VALUES (4, %s, %s, 5, 0)", [(t, platform.now) for t in times])
            c.execute(
                "INSERT INTO batch (stored_at, readings, devices, first_times, last_times) VALUES (%s, 2, '{1}', %s, %s)",
                (platform.now, times[:1], times[1:]),
            )
        engine.turn()
    ((seen, is_open),) = platform.run(
        "SELECT evidence -> 'signals' -> 0 -> 'seen' AS seen, closed_at IS NULL AS is_open FROM finding"
    )
    assert (seen, is_open) == (90.0, True)


def test_readings_of_bad_quality_are_not_judged(platform: Platform) -> None:
    platform.store(1, *hot(range(6)))
    platform.run("UPDATE reading SET quality = 1")
    platform.engine().turn()
    assert platform.findings() == []


def test_a_tick_has_the_mode_that_it_was_in_for_most_of_it_stored_and_recorded_alike(
    platform: Platform, tmp_path: Path
) -> None:
    mode = "  extra: {title: Mode, unit: /, range: [0, 9], interval: 10min, role: mode}\ncomponents:"
    profile = parse(BOX.replace("components:", mode), "box.yaml")
    times = [START + timedelta(minutes=10 * at) for at in range(12)]
    modes = [1, 1, 1, 1, 3, 3, 3, 2, 2, 2, 0, 0]
    platform.store(1, [at / 6 for at in range(12)], [20.0, 40.0] * 6)
    with platform.database.transaction() as c:
        c.cursor().executemany(
            "INSERT INTO reading VALUES (4, %s, %s, %s, 0)",
            [(t, platform.now, m) for t, m in zip(times, modes, strict=True)],
        )
    rows = [f"b1,{t.isoformat()},{heat},{m}" for t, heat, m in zip(times, [20.0, 40.0] * 6, modes, strict=True)]
    (tmp_path / "t.csv").write_text("\n".join(["device,time,heat,extra", *rows]))
    for windows in (
        StoredHistory(platform.database, profile).windows(),
        recorded.telemetry(tmp_path / "t.csv", profile).windows(),
    ):
        (window,) = windows
        assert window.values[:, 0].tolist() == [[30.0, 1.0], [30.0, 2.0]]
