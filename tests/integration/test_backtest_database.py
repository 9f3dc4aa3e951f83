"""A backtest over what is stored gives what the same readings in a file give."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cli.main import forewarn
from core.database import Database
from core.errors import InvalidInput

PROFILE = """
profile: box
title: Box
tick: 1h
silence_after: 1d
signals:
  heat: {title: Heat, unit: Cel, range: [0, 100], interval: 1h, component: heater}
  hum: {title: Hum, unit: m/s2, range: [0, 100], interval: 1h, component: heater}
components: {heater: {title: Heater}}
detectors:
  baseline: {warm_up: 5d, memory: 10d, smooth: 12h, on_delay: 6h, off_delay: 12h}
"""
START = datetime(2026, 1, 1, tzinfo=UTC)
HOURS, DEVICES = 480, 3


def test_stored_and_recorded_history_are_judged_alike(
    tmp_path: Path, database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(5)
    values = random.normal([50, 5], [1, 0.2], (HOURS, DEVICES, 2)).round(4)
    values[380:428, 1, 0] = (values[380:428, 1, 0] + np.linspace(0, 14, 48)).round(4)
    times = [START + timedelta(hours=hour) for hour in range(HOURS)]
    failed = times[428]
    rows = [
        (2 * d + s + 1, t, t, values[h, d, s]) for h, t in enumerate(times) for d in range(DEVICES) for s in range(2)
    ]
    with database.transaction() as c:
        c.execute(
            "INSERT INTO device (name, profile) VALUES ('d0', 'box'), ('d1', 'box'), ('d2', 'box'), ('x', 'other')"
        )
        for device in range(DEVICES):
            c.execute(
                "INSERT INTO series (device_id, signal) VALUES (%s, 'heat'), (%s, 'hum')", [device + 1, device + 1]
            )
        c.cursor().executemany("INSERT INTO reading VALUES (%s, %s, %s, %s, 0)", rows)
        c.execute(
            "INSERT INTO ticket (device_id, component, failure_mode, state, resolution, severity, subject, opened_at,"
            " changed_at, solved_at) VALUES (2, 'heater', 'abnormal', 'solved', 'confirmed', 'major', 's', %s, %s, %s),"
            " (1, 'heater', 'abnormal', 'solved', 'no_fault_found', 'major', 's', %s, %s, %s)",
            [failed] * 6,
        )
    lines = [
        f"d{d},{t.isoformat()},{values[h, d, 0]},{values[h, d, 1]}" for h, t in enumerate(times) for d in range(DEVICES)
    ]
    (tmp_path / "box.yaml").write_text(PROFILE)
    (tmp_path / "t.csv").write_text("device,time,heat,hum\n" + "\n".join(lines))
    (tmp_path / "f.csv").write_text(f"device,time,component\nd1,{failed.isoformat()},heater\n")
    monkeypatch.setenv("FOREWARN_DATABASE_URL", database_url)
    monkeypatch.chdir(tmp_path)

    def run(name: str, *options: str) -> dict[str, object]:
        arguments = ["backtest", "--profile", "box.yaml", "--json", name, *options]
        CliRunner().invoke(forewarn, arguments, catch_exceptions=False)
        told: dict[str, object] = json.loads((tmp_path / name).read_text())
        return told

    from_file = run("file.json", "--telemetry", "t.csv", "--failures", "f.csv")
    assert from_file["configured"][0]["recall"] == 1.0  # type: ignore[index]
    # Confirmed tickets are the failures that the database knows.
    assert run("stored.json", "--from-database") == from_file
    assert run("given.json", "--from-database", "--failures", "f.csv") == from_file
    # It showed for longer than the horizon: what was told then was right too.
    with database.transaction() as c:
        c.execute(
            "INSERT INTO finding (device_id, kind, component, failure_mode, severity, detector, version, began_at, opened_at,"
            " extended_at, score, peak_score, because, evidence, stored_at, changed_at)"
            " VALUES (2, 'degradation', 'heater', 'abnormal', 'major', 'baseline', '1', %s, %s, %s, 1, 1, 'odd', '{}', %s, %s)",
            [failed - timedelta(days=4)] * 5,
        )
        c.execute(
            "INSERT INTO ticket_finding SELECT f.id, t.id, f.changed_at, 'opened a ticket' FROM finding f, ticket t"
            " WHERE t.resolution = 'confirmed'"
        )
    known = run("known.json", "--from-database", "--html", "known.html")
    said = "of the component it blames (of a fault that a visit confirmed, at most 2 d before its first finding began). Earlier"
    assert said in (tmp_path / "known.html").read_text()
    months = [told["healthy_reference_months"] for told in (from_file, known)]
    assert months[0] - months[1] == pytest.approx(4 / 30, rel=1e-3)  # type: ignore[operator]
    later = run("later.json", "--from-database", "--since", "2026-01-11")
    assert later["device_months"] == pytest.approx(DEVICES * (HOURS - 240) / 720)
    with pytest.raises(InvalidInput, match="nothing is stored of devices of the profile box"):
        CliRunner().invoke(
            forewarn,
            ["backtest", "--profile", "box.yaml", "--from-database", "--since", "2027-01-01"],
            catch_exceptions=False,
        )
