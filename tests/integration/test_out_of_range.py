"""Readings beyond what their sensor can give: set apart live, and seen alike by the live engine, stored and recorded history."""

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anomaly.finding import Change
from anomaly.judge import Judge
from core.database import Database
from core.profile import Profile, parse
from telemetry import recorded
from telemetry.stored import StoredHistory
from telemetry.window import Window
from tests.integration.test_detection import BOX, START, Platform

TEXT = BOX.split("detectors:", maxsplit=1)[0] + (
    "detectors:\n"
    "  sensors: {warm_up: 2d}\n"
    "  limits:\n"
    "    - {signal: heat, high: 80, on_delay: 3h, off_delay: 2h, failure_mode: burn}\n"
)
HOURS, EACH = 200, 6


def readings() -> Any:
    """[HOURS, EACH] heat: beyond the range for most of some hours, for all of others, and hot for a while."""
    random = np.random.default_rng(1)
    heat = random.normal(40, 3, (HOURS, EACH)).round(3)
    heat[80:84] = heat[80:84] + 45
    heat[100:110, :4] = 250.0
    heat[110:125] = -40.0
    # One wild reading a tick is no fault, and moves no mean.
    heat[160:190, 2] = 5000.0
    return heat


@pytest.fixture
def platform(database: Database, database_url: str) -> Platform:
    made = Platform(database, database_url)
    made.profiles = {"box": parse(TEXT, "box.yaml")}
    return made


def found(profile: Profile, windows: Iterable[Window]) -> list[Any]:
    judge = Judge(profile)
    state = judge.fresh(1)
    changes = [change for window in windows for change in judge.run(window, state)]
    return [
        (str(c.change), c.failure_mode, c.began_at, c.at, c.because) for c in changes if c.change is not Change.EXTENDED
    ]


def test_they_tell_of_the_sensor_alone_live_and_in_history(platform: Platform, tmp_path: Path) -> None:
    heat = readings()
    times = [START + timedelta(hours=h, minutes=10 * m) for h in range(HOURS) for m in range(EACH)]
    rows = list(zip(times, heat.ravel().tolist(), strict=True))
    engine = platform.engine()
    for first in range(0, len(rows), 40):
        part = rows[first : first + 40]
        with platform.database.transaction() as c:
            # As the gateway marks them.
            c.cursor().executemany(
                "INSERT INTO reading VALUES (1, %s, %s, %s, %s)",
                [(t, platform.now, v, 0 if 0 <= v <= 100 else 1) for t, v in part],
            )
            c.execute(
                "INSERT INTO batch (stored_at, readings, devices, first_times, last_times) VALUES (%s, %s, '{1}', %s, %s)",
                (platform.now, len(part), [part[0][0]], [part[-1][0]]),
            )
        (engine if first % 3 else platform.engine()).turn()

    profile = platform.profiles["box"]
    stored = found(profile, StoredHistory(platform.database, profile).windows())
    lines = [f"b1,{t.isoformat()},{v}" for t, v in rows]
    (tmp_path / "t.csv").write_text("\n".join(["device,time,heat", *lines]))
    assert found(profile, recorded.telemetry(tmp_path / "t.csv", profile).windows()) == stored
    assert [(change, mode) for change, mode, *_ in stored] == [
        ("opened", "burn"), ("closed", "burn"), ("opened", "heat_sensor"), ("closed", "heat_sensor")
    ]  # fmt: skip
    assert stored[2][4].startswith("Heat is beyond what its sensor can give, last at -40.0 °C")
    live = platform.run("SELECT failure_mode, began_at, opened_at, closed_at, because FROM finding ORDER BY opened_at")
    over = {mode: at for change, mode, _, at, _ in stored if change == "closed"}
    # The last tick is open live until something is measured beyond it.
    assert live == [(mode, began, at, over[mode], why) for change, mode, began, at, why in stored if change == "opened"]


def test_a_reading_that_was_stored_as_beyond_the_range_is_none_of_a_mean_though_the_range_is_wider_now(
    platform: Platform,
) -> None:
    platform.store(1, [0, 0.5, 1, 1.5], [50.0, 90.0, 50.0, 90.0])
    platform.run("UPDATE reading SET quality = 1 WHERE value = 90")
    (window,) = StoredHistory(platform.database, platform.profiles["box"]).windows()
    assert window.values[:, 0, 0].tolist() == [50.0, 50.0]
    assert window.beyond
    assert window.beyond.values[:, 0, 0].tolist() == [90.0, 90.0]
    assert window.beyond.share[:, 0, 0].tolist() == [0.5, 0.5]
    assert window.heard.all()
