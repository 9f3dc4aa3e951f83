"""How long after a reading was stored its finding stands in the database, with `forewarn detect` as a process."""

import random
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

from benchmarks import pumps
from benchmarks.services import Command, Timescale, connected, until

SAMPLES = 150
_READING = "INSERT INTO reading (series_id, time, received_at, value, quality) VALUES (%s, %s, %s, %s, 0)"
_BATCH = "INSERT INTO batch (stored_at, readings, devices, first_times, last_times) VALUES (%s, %s, %s, %s, %s)"


def measure(database: Timescale, *, seconds: float, interval: str) -> list[float]:
    """Milliseconds from the commit of a reading that closes an abnormal tick to its finding, for `SAMPLES` devices.

    seconds: over which they are spread. interval: the pause of `forewarn detect` between two looks.
    """
    with tempfile.TemporaryDirectory() as folder, connected(database.url) as c:
        (Path(folder) / "pump.yaml").write_text(pumps.TEXT, encoding="utf-8")
        series = _register(c)
        settings = {
            "FOREWARN_DATABASE_URL": database.url,
            "FOREWARN_PROFILE_DIR": folder,
            "FOREWARN_DETECTION_INTERVAL": interval,
        }
        with Command("detect", **settings) as detect:
            # The first device only shows that detection runs.
            _break(c, *series[0])
            until(lambda: detect.said("") and _found(c), within=60, what="the first finding")
            return _delays(c, series[1:], seconds)


def _register(c: psycopg.Connection[tuple[Any, ...]]) -> list[tuple[int, int]]:
    """Device and series of as many pumps as are needed, without readings."""
    # The database is the benchmark's own: with its devices goes all that refers to them.
    c.execute("TRUNCATE device, reading, batch CASCADE")
    c.execute(
        "INSERT INTO device (name, profile) SELECT 'pump' || n, 'bench_pump' FROM generate_series(0, %s) n", (SAMPLES,)
    )
    c.execute("INSERT INTO series (device_id, signal) SELECT id, 'pressure' FROM device WHERE profile = 'bench_pump'")
    rows = c.execute(
        "SELECT d.id, s.id FROM device d JOIN series s ON s.device_id = d.id WHERE d.profile = 'bench_pump' ORDER BY d.id"
    )
    return [(int(device), int(one)) for device, one in rows]


def _break(c: psycopg.Connection[tuple[Any, ...]], device: int, series: int) -> float:
    """Stores an abnormal tick and the reading that closes it; returns when they were committed (monotonic)."""
    now = datetime.now(UTC)
    times = [now - timedelta(minutes=2), now]
    with c.transaction():
        for at in times:
            c.execute(_READING, (series, at, now, 9500.0))
        c.execute(_BATCH, (now, 2, [device], [times[0]], [times[1]]))
    return time.perf_counter()


def _found(c: psycopg.Connection[tuple[Any, ...]]) -> set[int]:
    return {int(row[0]) for row in c.execute("SELECT device_id FROM finding WHERE kind = 'limit'")}


def _delays(c: psycopg.Connection[tuple[Any, ...]], series: list[tuple[int, int]], seconds: float) -> list[float]:
    # Times of their own, so that they fall into no step with the pause between two looks.
    clock = random.Random(1)
    due = sorted(clock.uniform(0.0, seconds) for _ in series)
    began = time.perf_counter()
    stored: dict[int, float] = {}
    delays: dict[int, float] = {}
    while len(delays) < len(series):
        if len(stored) < len(series) and time.perf_counter() - began >= due[len(stored)]:
            device, one = series[len(stored)]
            stored[device] = _break(c, device, one)
        found, now = _found(c), time.perf_counter()
        for device in found - delays.keys():
            if device in stored:
                delays[device] = (now - stored[device]) * 1000.0
        if now - began > seconds + 60.0:
            raise RuntimeError(f"only {len(delays)} of {len(series)} findings came")
        time.sleep(0.002)
    return list(delays.values())
