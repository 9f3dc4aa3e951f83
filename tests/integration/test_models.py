"""Models in the live engine on real databases: learnt by the command, watching as a shadow, judging when promoted."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from anomaly import registry
from anomaly.engine import DetectionEngine
from cli.main import forewarn
from core.database import Database
from core.errors import Conflict, InvalidInput, NotFound
from tests.failing import PROFILE, START, Fleet, fleet

HOURS = 720


class Stored:
    """A fleet in the database, its readings and events written as the gateway writes them, up to an hour."""

    def __init__(self, database: Database, known: Fleet) -> None:
        self.database, self.known = database, known
        self.now = START + timedelta(hours=HOURS)
        self.devices = len(known.devices)
        with database.transaction() as c:
            c.cursor().executemany(
                "INSERT INTO device (name, profile) VALUES (%s, 'box')", [(name,) for name in known.devices]
            )
            c.execute(
                "INSERT INTO series (device_id, signal) SELECT id, s FROM device, (VALUES ('heat'), ('hum')) v (s) ORDER BY id, s"
            )
            self.series = {(r["device_id"], r["signal"]): r["id"] for r in c.execute("SELECT * FROM series")}

    def run(self, sql: str, *values: Any) -> list[Any]:
        with self.database.transaction() as c:
            cursor = c.execute(sql, values)  # type: ignore[arg-type,unused-ignore]
            return [tuple(row.values()) for row in cursor.fetchall()] if cursor.description else []

    def store(self, first: int, last: int, *, events: bool = True) -> None:
        """Readings of the hours [first, last), and what else happened in them."""
        times = [START + timedelta(hours=h) for h in range(first, last)]
        rows = [
            (self.series[d + 1, signal], t, self.now, self.known.values[first + at, d, s])
            for at, t in enumerate(times)
            for d in range(self.devices)
            for s, signal in enumerate(("heat", "hum"))
        ]
        ids = list(range(1, self.devices + 1))
        with self.database.transaction() as c:
            with c.cursor().copy("COPY reading (series_id, time, received_at, value, quality) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row((*row, 0))
            c.execute(
                "INSERT INTO batch (stored_at, readings, devices, first_times, last_times) VALUES (%s, %s, %s, %s, %s)",
                (self.now, len(rows), ids, [times[0]] * len(ids), [times[-1]] * len(ids)),
            )
        if events:
            self.happen(first, last)

    def happen(self, first: int, last: int) -> None:
        told = [(d, h, "error", code, "{}") for d, h, code in self.known.events if first <= h < last]
        told += [
            (d, h, "maintenance", "", '{"component": "heater"}') for d, h in self.known.failed if first <= h < last
        ]
        with self.database.transaction() as c:
            c.cursor().executemany(
                "INSERT INTO device_event (device_id, time, kind, code, received_at, detail) VALUES (%s, %s, %s, %s, %s, %s)",
                [
                    (d + 1, START + timedelta(hours=h), kind, code, self.now, detail)
                    for d, h, kind, code, detail in told
                ],
            )

    def confirm(self, last: int) -> None:
        """Tickets of all failures before an hour, solved as confirmed."""
        for d, h in self.known.failed:
            if h < last:
                at = START + timedelta(hours=h)
                self.run(
                    "INSERT INTO ticket (device_id, component, failure_mode, state, resolution, severity, subject, opened_at,"
                    " changed_at, solved_at) VALUES (%s, 'heater', 'failing', 'closed', 'confirmed', 'major', 's', %s, %s, %s)",
                    d + 1,
                    at,
                    at,
                    at,
                )

    def engine(self) -> DetectionEngine:
        return DetectionEngine(self.database, {"box": self.known.profile}, lambda: self.now)

    def findings(self, table: str = "finding") -> list[Any]:
        return self.run(f"SELECT device_id - 1, component, opened_at FROM {table} ORDER BY opened_at, device_id")

    def foreseen(self, findings: list[Any], since: int) -> int:
        """How many of the failures after an hour were told at most a horizon before."""
        return sum(
            any(
                d == device and timedelta(0) <= START + timedelta(hours=hour) - at <= timedelta(days=2)
                for device, component, at in findings
                if component == "heater"
            )
            for d, hour in self.known.failed
            if hour >= since
        )


@pytest.fixture
def stored(database: Database, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stored:
    (tmp_path / "box.yaml").write_text(PROFILE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FOREWARN_DATABASE_URL", database_url)
    return Stored(database, fleet())


def train(*options: str) -> str:
    arguments = ["train", "--profile", "box.yaml", "--jobs", "1", *options]
    return CliRunner().invoke(forewarn, arguments, catch_exceptions=False).output


def test_a_model_of_confirmed_tickets_watches_and_then_judges(stored: Stored) -> None:
    stored.store(0, 360)
    stored.confirm(360)
    engine = stored.engine()
    engine.turn()
    said = train("--from-database")
    assert "watches as a shadow" in said
    with stored.database.transaction() as c:
        (entry,) = registry.entries(c)
    assert (entry.profile, entry.stage, entry.card["failures"]) == ("box", "shadow", 12)
    assert entry.card["components"]["heater"]["failures"] == 12
    assert entry.card["figures"]["recall"] > 0.5

    # It is shown what is stored already, so it needs no time to warm up, and it opens nothing that a person would see.
    before = stored.findings()
    stored.store(360, 480)
    engine.turn()
    assert [f for f in stored.findings() if f not in before and f[2] < START + timedelta(hours=300)] == []
    assert stored.run("SELECT count(*) FROM finding WHERE detector = 'failure_model'") == [(0,)]

    with stored.database.transaction() as c:
        registry.stage(c, "box", entry.version, "live", actor="anna", reason="foresees more", now=stored.now)
    stored.store(480, HOURS)
    engine.turn()
    found = stored.run("SELECT device_id - 1, component, opened_at FROM finding WHERE detector = 'failure_model'")
    late = [h for _, h in stored.known.failed if h >= 510]
    assert stored.foreseen(found, 510) >= 0.8 * len(late)
    ((p10, p50, p90),) = stored.run(
        "SELECT remaining_p10_d, remaining_p50_d, remaining_p90_d FROM finding"
        " WHERE detector = 'failure_model' AND remaining_p50_d IS NOT NULL LIMIT 1"
    ) or [(0.0, 0.0, 0.0)]
    assert 0 <= p10 <= p50 <= p90 <= 2
    told = stored.run("SELECT stage, actor, reason FROM model_change ORDER BY id")
    assert told == [("shadow", "forewarn train", "trained"), ("live", "anna", "foresees more")]


def test_a_shadow_finds_without_a_finding(stored: Stored) -> None:
    stored.store(0, 360)
    stored.confirm(360)
    engine = stored.engine()
    engine.turn()
    train("--from-database")
    stored.store(360, HOURS)
    engine.turn()
    watched = stored.findings("shadow_finding")
    late = [h for _, h in stored.known.failed if h >= 390]
    assert stored.foreseen(watched, 390) >= 0.8 * len(late)
    assert stored.run("SELECT count(*) FROM finding WHERE detector = 'failure_model'") == [(0,)]


def test_events_that_come_after_their_tick_still_count(stored: Stored) -> None:
    stored.store(0, 360)
    stored.confirm(360)
    train("--from-database")
    with stored.database.transaction() as c:
        (entry,) = registry.entries(c)
        registry.stage(c, "box", entry.version, "live", actor="anna", reason="now", now=stored.now)
    engine = stored.engine()
    engine.turn()
    # The readings come hours before the codes that were said at the same time.
    device, hour = max(stored.known.failed, key=lambda row: row[1])
    stored.store(360, hour - 18, events=False)
    engine.turn()
    stored.happen(360, hour - 18)
    stored.store(hour - 18, hour - 2)
    engine.turn()
    found = stored.run(
        "SELECT count(*) FROM finding WHERE device_id = %s AND detector = 'failure_model' AND opened_at > %s",
        device + 1,
        START + timedelta(hours=hour - 48),
    )
    assert found == [(1,)]


def test_a_model_that_was_changed_or_of_another_profile_does_not_judge(stored: Stored) -> None:
    stored.store(0, 360)
    stored.confirm(360)
    train("--from-database")
    with stored.database.transaction() as c:
        (entry,) = registry.entries(c)
        registry.stage(c, "box", entry.version, "live", actor="anna", reason="now", now=stored.now)
        with pytest.raises(Conflict, match="is live already"):
            registry.stage(c, "box", entry.version, "live", actor="anna", reason="again", now=stored.now)
        with pytest.raises(NotFound, match="no model of box"):
            registry.find(c, "box", "1999-01-01.1")
    other = stored.known.profile.model_copy(update={"horizon": timedelta(days=3)})
    DetectionEngine(stored.database, {"box": other}, lambda: stored.now).turn()
    assert stored.run("SELECT count(*) FROM detector_state WHERE detector = 'failure_model'") == [(0,)]


def test_a_model_is_learnt_by_itself_when_enough_was_confirmed(
    stored: Stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOREWARN_PROFILE_DIR", str(tmp_path))

    def look() -> list[tuple[str, str]]:
        CliRunner().invoke(forewarn, ["train", "--when-due", "--jobs", "1"], catch_exceptions=False)
        return stored.run("SELECT stage, reason FROM model ORDER BY id")

    stored.store(0, 360)
    assert look() == []
    stored.confirm(360)
    first = ("shadow", "enough failures are confirmed for a first model")
    assert look() == [first]
    assert look() == [first]
    with pytest.raises(InvalidInput, match="give either --profile NAME or --when-due"):
        CliRunner().invoke(forewarn, ["train"], catch_exceptions=False)


def test_thresholds_are_set_by_themselves_when_the_history_is_long_enough(
    stored: Stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOREWARN_PROFILE_DIR", str(tmp_path))
    # Twelve devices for fifteen days are six device-months, in which three false alarms are allowed.
    (tmp_path / "box.yaml").write_text(PROFILE + "false_alarms: 0.51\n")
    stored.store(0, 360)
    for _ in range(2):
        CliRunner().invoke(forewarn, ["train", "--when-due", "--jobs", "1"], catch_exceptions=False)
    with stored.database.transaction() as c:
        (entry,) = registry.entries(c)
    assert (
        entry.reason
        == "no component has enough confirmed failures, but the history is long enough to set thresholds by"
    )
    assert (entry.stage, entry.components, entry.card["failures"]) == ("shadow", [], 0)
    assert entry.card["span_months"] == pytest.approx(12 * 359 / 720)
    assert entry.card["findings"]["by_thresholds"] <= 0.51
    said = CliRunner().invoke(forewarn, ["model", "show", "box", entry.version], catch_exceptions=False).output
    assert f"thresholds: {entry.card['threshold_factor']:.3g} times the profile's" in said


def test_too_little_history_sets_thresholds_alone(stored: Stored) -> None:
    stored.store(0, 360)
    said = train("--from-database", "--dry-run")
    assert "only the thresholds were learnt" in said
    assert re.search(
        r"They are [\d.]+ times those of the profile\. By them [\d.]+ would have been found a device-month", said
    )
    assert stored.run("SELECT count(*) FROM model") == [(0,)]
