"""Models in the database: staging by people and by rule with real tickets, comparison, drift."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from anomaly import registry, watch
from anomaly.engine import DetectionEngine
from anomaly.registry import Entry
from cli.engine import engine as engine_command
from cli.model import model as model_command
from core.database import Database
from core.errors import Conflict, InvalidInput, NotFound
from core.profile import Profile, parse
from core.settings import Settings
from proactive.channels.email import Email
from proactive.engine import Engine
from proactive.letter import Sender
from proactive.models import ModelStore
from proactive.staging import Promotion, Rules, StepBack
from proactive.store import Outbox, TicketStore
from proactive.ticket import Resolution, TicketState
from tests.models import small_model

START = datetime(2026, 3, 2, 12, tzinfo=UTC)
DAY = timedelta(days=1)
BOX = """
profile: box
title: Box
tick: 1h
horizon: 2d
silence_after: 1d
signals:
  heat: {title: Heat, unit: Cel, range: [-50, 100], interval: 1h, component: heater}
  draught: {title: Draught, unit: m/s, range: [-50, 100], interval: 1h, component: fan}
components: {heater: {title: Heater}, fan: {title: Fan}}
"""
RULES = Rules(promote=True, watched=16 * DAY, verdicts=4, least_precision=0.3)


class Fleet:
    """A platform with ten boxes, its clock in hand; findings and visits are written as engine and people write them."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.now = START
        self.box: Profile = parse(BOX, "box.yaml")
        self.profiles = {"box": self.box}
        self.tickets = TicketStore(database, lambda: self.now)
        unused = Email(host="127.0.0.1", port=1, sender="a@example.com", clock=lambda: self.now)
        self.engine = Engine(
            tickets=self.tickets,
            outbox=Outbox(database, lambda: self.now),
            channels={"email": unused},
            profiles=self.profiles,
            sender=Sender(brand="Box", phone=""),
            quiet=None,
            clock=lambda: self.now,
        )
        for number in range(1, 11):
            self.run("INSERT INTO device (name, profile, created_at) VALUES (%s, 'box', %s)", f"b{number}", START)
            self.run(
                "INSERT INTO judged (device_id, until, heard_at) VALUES (%s, %s, %s)", number, START, START + 90 * DAY
            )

    def models(self, rules: Rules = RULES) -> ModelStore:
        return ModelStore(self.database, self.profiles, rules, lambda: self.now)

    def run(self, sql: Any, *values: Any) -> list[Any]:
        with self.database.transaction() as connection:
            cursor = connection.execute(sql, values)
            return [tuple(row.values()) for row in cursor.fetchall()] if cursor.description else []

    def add(self, *components: str, **more: Any) -> Entry:
        with self.database.transaction() as c:
            model = small_model(self.box, *components, **more)
            return registry.add(c, model, actor="forewarn train", reason="trained", now=self.now)

    def find(self, device: int, version: str = "", component: str = "heater", *, hours: int = 6) -> None:
        """A finding by what is live, over after some hours; by a model when a version is given."""
        at = (self.now, self.now, self.now, self.now, self.now)
        (row,) = self.run(
            "INSERT INTO finding (device_id, kind, component, failure_mode, severity, detector, version, began_at, opened_at,"
            " extended_at, score, peak_score, because, evidence, stored_at, changed_at)"
            " VALUES (%s, 'degradation', %s, 'failing', 'major', %s, %s, %s, %s, %s, 1, 1, 'odd', '{}', %s, %s) RETURNING id",
            device,
            component,
            "failure_model" if version else "baseline",
            version or "1",
            *at,
        )
        self.engine.triage()
        self.run("UPDATE finding SET closed_at = %s WHERE id = %s", self.now + timedelta(hours=hours), row[0])

    def suspect(
        self, model: Entry, device: int, component: str = "heater", *, earlier: timedelta = timedelta(0)
    ) -> None:
        """A finding of a shadow."""
        at = self.now - earlier
        self.run(
            "INSERT INTO shadow_finding (model_id, device_id, component, failure_mode, began_at, opened_at, closed_at, score,"
            " because, stored_at) VALUES (%s, %s, %s, 'failing', %s, %s, %s, 1, 'odd', %s)",
            model.id, device, component, at, at, at + timedelta(hours=6), at,
        )  # fmt: skip

    def solve(self, resolution: Resolution) -> None:
        """Ends all living tickets a day later, for good."""
        self.now += DAY
        for (number,) in self.run("SELECT id FROM ticket WHERE state NOT IN ('solved', 'closed')"):
            self.tickets.change(number, state=TicketState.SOLVED, resolution=resolution, actor="Dana")
            self.tickets.change(number, state=TicketState.CLOSED, resolution=None, actor="Dana")

    def stages(self) -> list[str]:
        return [e.stage for e in reversed(self.models().entries("box"))]


@pytest.fixture
def fleet(database: Database) -> Fleet:
    return Fleet(database)


def test_a_model_is_stored_as_it_was_learnt(fleet: Fleet) -> None:
    entry = fleet.add("heater")
    assert (entry.version, entry.stage, entry.components, entry.promised) == ("2026-03-02.1", "shadow", ["heater"], 0.9)
    with fleet.database.transaction() as c:
        model = registry.load(c, entry.id)
    assert model.vocabulary.codes == ("E23",)
    rows = np.zeros((3, model.usual.shape[1]), dtype=np.float32)
    assert model.components["heater"].chance(rows).shape == (3,)
    fleet.run("UPDATE model SET packed = packed || '\\x00'")
    with fleet.database.transaction() as c, pytest.raises(InvalidInput, match="hash differs"):
        registry.load(c, entry.id)


def test_people_promote_and_retire_and_the_history_tells(fleet: Fleet) -> None:
    first = fleet.add("heater")
    models = fleet.models()
    assert models.promote("box", first.version, actor="Dana", reason="looks good").stage == "live"
    with pytest.raises(Conflict, match="is live already"):
        models.promote("box", first.version, actor="Dana", reason="again")
    fleet.now += DAY
    second = fleet.add("heater")
    models.promote("box", second.version, actor="Eve", reason="better")
    assert fleet.stages() == ["retired", "live"]
    (went_live, stored) = models.standing("box", second.version).changes
    assert (went_live.actor, went_live.reason, went_live.instead_of) == ("Eve", "better", first.version)
    assert (stored.stage, stored.reason) == ("shadow", "trained")
    models.retire("box", second.version, actor="Eve", reason="a test")
    assert fleet.stages() == ["retired", "retired"]
    with pytest.raises(InvalidInput, match="say why"):
        models.promote("box", first.version, actor="Dana", reason="  ")
    with pytest.raises(NotFound, match="no model of box '7'"):
        models.promote("box", "7", actor="Dana", reason="there is none")


def test_faults_that_people_confirmed_are_learnt_from_for_as_long_as_they_showed(fleet: Fleet) -> None:
    fleet.find(1, hours=6)
    fleet.solve(Resolution.ALREADY_FIXED)
    fleet.find(2, hours=60)
    fleet.solve(Resolution.CONFIRMED)
    fleet.find(3)
    fleet.run("UPDATE finding SET closed_at = NULL WHERE device_id = 3")
    fleet.solve(Resolution.CONFIRMED)
    fleet.find(4)
    fleet.solve(Resolution.NO_FAULT_FOUND)
    # What late data took back did not show.
    fleet.find(5, hours=20)
    fleet.run("UPDATE finding SET withdrawn = 'late' WHERE device_id = 5")
    fleet.solve(Resolution.CONFIRMED)
    hours = [
        (device, component, (began - START) / timedelta(hours=1), (ended - START) / timedelta(hours=1))
        for device, component, began, ended in fleet.tickets.confirmed_faults("box")
    ]
    assert hours == [
        ("b1", "heater", 0, 6),
        ("b2", "heater", 24, 48),
        ("b3", "heater", 48, 72),
        ("b5", "heater", 96, 120),
    ]


def test_a_model_of_another_state_of_its_profile_is_not_promoted(fleet: Fleet) -> None:
    entry = fleet.add("heater")
    fleet.profiles["box"] = parse(BOX.replace("tick: 1h", "tick: 2h"), "box.yaml")
    with pytest.raises(Conflict, match="another state of its profile"):
        fleet.models().promote("box", entry.version, actor="Dana", reason="looks good")
    assert not fleet.models().standing("box", entry.version).fits


def test_a_shadow_is_compared_over_the_time_that_both_judged(fleet: Fleet) -> None:
    fleet.find(1)
    fleet.now += DAY
    shadow = fleet.add("heater")
    fleet.now += DAY
    fleet.suspect(shadow, 2, earlier=timedelta(hours=20))
    fleet.find(2)
    fleet.solve(Resolution.CONFIRMED)
    fleet.now += 10 * DAY
    fleet.find(3)
    fleet.find(4, component="fan")  # The shadow does not know fans.
    fleet.suspect(shadow, 5)
    fleet.solve(Resolution.NO_FAULT_FOUND)
    fleet.now = START + 31 * DAY
    entry, found = fleet.models().comparison("box")
    assert entry.id == shadow.id
    assert (found.both, found.only_live, found.only_shadow) == (1, 1, 1)
    assert (found.shadow_first, found.live_first, found.ahead) == (1, 0, timedelta(hours=20))
    assert (found.live.confirmed, found.live.no_fault_found, found.live.precision) == (1, 1, 0.5)
    assert (found.shadow.confirmed, found.shadow.no_fault_found) == (1, 0)
    assert found.live.months == pytest.approx(10, rel=1e-3)
    assert found.live.false_alarms == pytest.approx(0.1, rel=1e-3)
    assert found.shadow.unconfirmed == pytest.approx(0.1, rel=1e-3)


def test_a_shadow_that_proves_no_worse_goes_live_by_itself_where_that_is_on(fleet: Fleet) -> None:
    shadow = fleet.add("heater")
    for device in range(1, 6):
        fleet.now += 2 * DAY
        fleet.find(device)
        if device < 5:
            fleet.suspect(shadow, device)
        fleet.solve(Resolution.CONFIRMED if device < 5 else Resolution.NO_FAULT_FOUND)
    assert fleet.models().review() == 0
    decision = fleet.models().standing("box", shadow.version).decision
    assert decision
    assert decision.why is Promotion.TOO_SHORT
    fleet.now += 5 * DAY
    off = Rules(promote=False, watched=16 * DAY, verdicts=4, least_precision=0.3)
    assert fleet.models(off).review() == 0
    assert fleet.models().review() == 1
    assert fleet.models().review() == 0
    entry = fleet.models().standing("box", shadow.version).entry
    assert (entry.stage, entry.staged_by) == ("live", "Forewarn")
    assert entry.reason == (
        "confirmed as often as what is live, and no more findings that nobody confirmed: the shadow 4 of 4 confirmed,"
        " what is live 4 of 5 confirmed; not confirmed 0 and 1, in 20 days"
    )


def _worked(fleet: Fleet, version: str, first: int, resolution: Resolution) -> None:
    for device in range(first, first + 4):
        fleet.find(device, version)
    fleet.solve(resolution)


def test_a_live_model_that_is_seldom_right_is_taken_back_for_the_one_before(fleet: Fleet) -> None:
    first = fleet.add("heater")
    fleet.models().promote("box", first.version, actor="Dana", reason="looks good")
    fleet.now += DAY
    second = fleet.add("heater")
    fleet.models().promote("box", second.version, actor="Dana", reason="newer")
    fleet.now += DAY
    for device in range(1, 4):
        fleet.find(device, second.version)
    fleet.solve(Resolution.NO_FAULT_FOUND)
    assert fleet.models().review() == 0, "three answers are too few"
    fleet.find(4, second.version)
    fleet.solve(Resolution.NO_FAULT_FOUND)
    assert fleet.models().review() == 1
    assert fleet.stages() == ["live", "retired"]
    taken = fleet.models().standing("box", second.version)
    assert taken.entry.reason == "its findings are confirmed too seldom: 0 of 4 confirmed, the bound is 30%"
    back = fleet.models().standing("box", first.version)
    assert back.changes[0].reason == f"{second.version} was taken back: {taken.entry.reason}"
    assert back.decision
    assert back.decision.why is StepBack.FEW_VERDICTS, "what happened under the other one does not count"

    fleet.now += DAY
    _worked(fleet, first.version, 5, Resolution.NO_FAULT_FOUND)
    assert fleet.models().review() == 1
    assert fleet.stages() == ["retired", "retired"], "the one that failed does not come again"
    assert fleet.models().review() == 0


def test_of_several_engines_one_takes_a_model_back(fleet: Fleet) -> None:
    first = fleet.add("heater")
    fleet.models().promote("box", first.version, actor="Dana", reason="looks good")
    fleet.now += DAY
    second = fleet.add("heater")
    fleet.models().promote("box", second.version, actor="Dana", reason="newer")
    fleet.now += DAY
    _worked(fleet, second.version, 1, Resolution.NO_FAULT_FOUND)
    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(lambda _: fleet.models().review(), range(4))) == 1
    assert fleet.stages() == ["live", "retired"]
    assert fleet.run("SELECT count(*) FROM model_change WHERE actor = 'Forewarn'") == [(2,)]


def test_a_model_that_is_right_stays_and_others_findings_do_not_count(fleet: Fleet) -> None:
    entry = fleet.add("heater")
    fleet.models().promote("box", entry.version, actor="Dana", reason="looks good")
    fleet.now += DAY
    _worked(fleet, entry.version, 1, Resolution.CONFIRMED)
    for device in range(1, 9):
        fleet.find(device, component="fan")
    fleet.solve(Resolution.NO_FAULT_FOUND)
    assert fleet.models().review() == 0
    standing = fleet.models().standing("box", entry.version)
    assert standing.record
    assert (standing.record.findings, standing.record.confirmed) == (4, 4)
    of_model, of_baseline = sorted(fleet.models().performance("box"), key=lambda p: -p.confirmed)
    assert (of_model.detector, of_model.findings, of_model.precision, of_model.ahead) == ("failure_model", 4, 1.0, DAY)
    assert (of_baseline.findings, of_baseline.no_fault_found, of_baseline.ahead) == (8, 8, None)


def _send(fleet: Fleet, devices: int, heat: float) -> None:
    random = np.random.default_rng(3)
    rows = []
    for device in range(1, devices + 1):
        for signal, mean in (("heat", heat), ("draught", 0.0)):
            (row,) = fleet.run("INSERT INTO series (device_id, signal) VALUES (%s, %s) RETURNING id", device, signal)
            times = [fleet.now - timedelta(hours=h) for h in range(1, 150)]
            rows += [(row[0], t, t, float(random.normal(mean)), 0) for t in times]
    with fleet.database.transaction() as c:
        c.cursor().executemany("INSERT INTO reading VALUES (%s, %s, %s, %s, %s)", rows)
        c.execute(
            "INSERT INTO device_event (device_id, time, kind, code, received_at, detail) VALUES (1, %s, 'error', 'E99', %s, '{}')",
            (fleet.now - DAY, fleet.now),
        )


def test_what_no_longer_looks_as_it_did_is_told(fleet: Fleet) -> None:
    entry = fleet.add("heater")
    _send(fleet, devices=8, heat=3.0)
    assert watch.look(fleet.database, fleet.profiles, fleet.now) == 1
    assert watch.look(fleet.database, fleet.profiles, fleet.now + timedelta(hours=1)) == 0
    standing = fleet.models().standing("box", entry.version)
    assert standing.drift
    at, seen = standing.drift
    assert (at, seen.devices, seen.unknown_codes) == (fleet.now, 8, ("E99",))
    assert [s.signal for s in seen.shifted] == ["heat"]
    heat, draught = seen.signals
    assert (heat.outside, draught.outside) == (1.0, 0.0)
    assert draught.index < 0.1


def test_few_devices_say_nothing(fleet: Fleet) -> None:
    entry = fleet.add("heater")
    _send(fleet, devices=2, heat=3.0)
    watch.look(fleet.database, fleet.profiles, fleet.now)
    standing = fleet.models().standing("box", entry.version)
    assert standing.drift
    assert not standing.drift[1].enough
    assert standing.drift[1].shifted == []


def test_the_commands_tell_and_stage(fleet: Fleet, database_url: str, tmp_path: Any) -> None:
    (tmp_path / "box.yaml").write_text(BOX)
    settings = Settings(database_url=database_url, profile_dir=tmp_path)

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(model_command, arguments, obj=settings, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    assert "no model is stored" in run("list")
    entry = fleet.add("heater")
    fleet.suspect(entry, 1)
    assert all(text in run("list", "--profile", "box") for text in (entry.version, "shadow", "0.84", "96"))
    shown = run("show", "box", entry.version)
    assert all(
        text in shown for text in ("2026-01-01", "96 failures", "heat.now", "precision: 0.9", "not looked at yet")
    )
    assert "found by both: 0" in run("compare", "box")
    assert "looked for 1 model" in run("drift")
    assert "too few devices" in run("show", "box", entry.version)
    assert "is live" in run("promote", "box", entry.version, "--reason", "it is good", "--by", "Dana")
    assert "it is good" in run("show", "box", entry.version)
    with pytest.raises(NotFound, match="shadow model"):
        run("compare", "box")
    result = CliRunner().invoke(engine_command, ["--once"], obj=settings, catch_exceptions=False)
    assert result.exit_code == 0
    assert "is retired" in run("retire", "box", entry.version, "--reason", "a test")
    missing = CliRunner().invoke(model_command, ["retire", "box", entry.version], obj=settings)
    assert missing.exit_code == 2
    assert "--reason" in missing.output


def test_a_shadow_only_watches_until_it_is_promoted(fleet: Fleet) -> None:
    entry = fleet.add("heater", limit=1e-6)
    _send(fleet, devices=3, heat=3.0)
    detection = DetectionEngine(fleet.database, fleet.profiles, lambda: fleet.now)

    def stored(device: int, back: range) -> None:
        times = [fleet.now - timedelta(hours=h) for h in back]
        fleet.run(
            "INSERT INTO batch (stored_at, readings, devices, first_times, last_times) VALUES (%s, %s, %s, %s, %s)",
            fleet.now, len(times), [device], [min(times)], [max(times)],
        )  # fmt: skip

    fleet.run("DELETE FROM judged")
    for device in (1, 2, 3):
        stored(device, range(1, 150))
    detection.turn()
    assert fleet.run("SELECT device_id, component, stored_at FROM shadow_finding ORDER BY 1") == [
        (1, "heater", fleet.now), (2, "heater", fleet.now), (3, "heater", fleet.now)
    ]  # fmt: skip
    assert fleet.run("SELECT 1 FROM finding WHERE detector = 'failure_model'") == []
    fleet.engine.triage()
    assert fleet.run("SELECT count(*) FROM ticket WHERE component = 'heater'") == [(0,)]

    fleet.models().promote("box", entry.version, actor="Dana", reason="looks good")
    fleet.now += timedelta(hours=12)
    for (series,) in fleet.run("SELECT id FROM series WHERE device_id = 1"):
        for back in range(12):
            at = fleet.now - timedelta(hours=back)
            fleet.run("INSERT INTO reading VALUES (%s, %s, %s, 3, 0)", series, at, at)
    stored(1, range(12))
    detection.turn()
    found = fleet.run(
        "SELECT device_id, version, remaining_p10_d IS NOT NULL FROM finding WHERE detector = 'failure_model'"
    )
    assert [(device, version) for device, version, _ in found] == [(1, entry.version)]
    fleet.engine.triage()
    assert fleet.run("SELECT count(*) FROM ticket WHERE component = 'heater'") == [(1,)]
