"""Devices that only send events, on real databases: judged live as a backtest of the same events judges them."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anomaly import backtest, registry
from anomaly.detectors.failure_model import FailureModel
from anomaly.engine import DetectionEngine, Turn
from anomaly.finding import Change
from anomaly.judge import Judge
from anomaly.judgement.rules import Length, Rules
from anomaly.known import SHADOW
from anomaly.learning.model import Model
from cli.history import labels_of, recorded_of
from core.database import Database
from core.profile import Profile, parse
from telemetry.recorded import Recording
from telemetry.stored import StoredHistory
from telemetry.window import Window
from tests.failing import HOUR, PROFILE, START

HOURS, DEVICES = 720, 12
Event = tuple[int, float, str, str]
"""Device, hour, kind, code or component."""


def eventful(seed: int, devices: int = DEVICES) -> tuple[list[Event], list[tuple[int, float]]]:
    """Events, oldest first, and failures: E7 comes a day before each, E9 means nothing, and the heater is replaced then."""
    random = np.random.default_rng(seed)
    events: list[Event] = []
    failed: list[tuple[int, float]] = []
    for device in range(devices):
        events += [(device, float(hour), "error", "E9") for hour in random.uniform(0, HOURS, 12).round(2)]
        hour = random.uniform(40, 200)
        while hour < HOURS:
            failed.append((device, round(hour, 2)))
            events.append((device, round(hour - random.uniform(20, 26), 2), "error", "E7"))
            events.append((device, round(hour + 0.5, 2), "maintenance", "heater"))
            hour += random.uniform(150, 400)
    return sorted(events, key=lambda e: e[1]), failed


def at(hour: float) -> datetime:
    return START + timedelta(hours=hour)


def write(folder: Path, events: Iterable[Event], failed: Iterable[tuple[int, float]]) -> None:
    def rows(kind: str) -> list[str]:
        return [f"d{d:02d},{at(h).isoformat()},{what}" for d, h, k, what in events if k == kind]

    failures = [f"d{d:02d},{at(h).isoformat()},heater" for d, h in failed]
    for name, last, lines in (
        ("events", "code", rows("error")),
        ("maintenance", "component", rows("maintenance")),
        ("failures", "component", failures),
    ):
        (folder / f"{name}.csv").write_text("\n".join([f"device,time,{last}", *lines]) + "\n")


class Told:
    """A database to which devices tell events alone, and a model that was learnt from such events in files."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database, self.folder = database, folder
        self.profiles: dict[str, Profile] = {"box": parse(PROFILE, "box.yaml")}
        self.now = START
        self.run(
            "INSERT INTO device (name, profile) SELECT 'd' || lpad(d::text, 2, '0'), 'box' FROM generate_series(0, %s) d",
            DEVICES - 1,
        )
        # The gateway numbers all signals of a device that it meets.
        self.run("INSERT INTO series (device_id, signal) SELECT id, s FROM device, (VALUES ('heat'), ('hum')) v (s)")

    def run(self, sql: str, *values: Any) -> list[Any]:
        with self.database.transaction() as c:
            cursor = c.execute(sql, values)  # type: ignore[arg-type,unused-ignore]
            return [tuple(row.values()) for row in cursor.fetchall()] if cursor.description else []

    def take(self, model: Model, stage: registry.Stage = "live") -> None:
        """Stores a model, as a shadow or live."""
        with self.database.transaction() as c:
            entry = registry.add(c, model, actor="anna", reason="learnt", now=START)
            if stage == "live":
                registry.stage(c, "box", entry.version, "live", actor="anna", reason="foresees", now=START)

    def model(self) -> Model:
        with self.database.transaction() as c:
            (entry,) = registry.entries(c)
            return registry.load(c, entry.id)

    def happen(self, events: Iterable[Event]) -> None:
        rows = [
            (d + 1, at(h), k, "" if k == "maintenance" else what, self.now,
             json.dumps({"component": what} if k == "maintenance" else {}))
            for d, h, k, what in events
        ]  # fmt: skip
        with self.database.transaction() as c:
            c.cursor().executemany(
                "INSERT INTO device_event (device_id, time, kind, code, received_at, detail) VALUES (%s, %s, %s, %s, %s, %s)",
                rows,
            )

    def measure(self, devices: Sequence[int], hours: range) -> None:
        times = [at(h) for h in hours]
        with self.database.transaction() as c:
            for device in devices:
                rows = [(2 * device + 2 - s, t, self.now, float(v)) for t in times for s, v in enumerate((5.0, 50.0))]
                c.cursor().executemany("INSERT INTO reading VALUES (%s, %s, %s, %s, 0)", rows)
            ids, many = [device + 1 for device in devices], len(devices)
            c.execute(
                "INSERT INTO batch (stored_at, readings, devices, first_times, last_times) VALUES (%s, %s, %s, %s, %s)",
                (self.now, 2 * many * len(times), ids, [times[0]] * many, [times[-1]] * many),
            )

    def counted(self, model: Model, stage: registry.Stage) -> dict[int, list[float]]:
        """By device, how often a model remembers each error code; it forgets them slowly."""
        found = {}
        for device, version, packed in self.run(
            "SELECT device_id - 1, version, state FROM detector_state WHERE detector = %s ORDER BY 1",
            (SHADOW if stage == "shadow" else "") + FailureModel.name,
        ):
            judge = Judge(self.profiles["box"], replace(model, version=version))
            state = judge.fresh(1)
            assert judge.unpack(state, 0, FailureModel.name, version, bytes(packed))
            found[device] = state.parts[FailureModel.name]["code_n"][0, :, -1].tolist()
        return found

    def engine(self) -> DetectionEngine:
        return DetectionEngine(self.database, self.profiles, lambda: self.now)

    def turn(self, hour: float, engine: DetectionEngine | None = None) -> Turn:
        self.now = at(hour)
        return (engine or self.engine()).turn()

    def findings(self, table: str = "finding") -> list[Any]:
        """What was found, and stands."""
        holds = "WHERE withdrawn = ''" if table == "finding" else ""
        return self.run(
            f"SELECT device_id - 1, component, failure_mode, began_at, opened_at, closed_at, because FROM {table} {holds}"
            " ORDER BY 1, 5"
        )


@pytest.fixture
def told(database: Database, tmp_path: Path) -> Told:
    return Told(database, tmp_path)


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A model that was learnt from files of events alone."""
    folder = tmp_path_factory.mktemp("files")
    write(folder, *eventful(1, devices=48))
    profile = parse(PROFILE, "box.yaml")
    history = recording(folder, profile)
    rules = Rules(horizon=Length(time=2 * 24 * HOUR), leads=(20 * HOUR,))
    found = backtest.learn(profile, history, labels_of(profile, history, failures=folder / "failures.csv"), rules)
    assert found
    # As a budget would: by age alone, about every second device fails within the horizon at some time.
    return small(found.model.limited(1.5))


def small(model: Model) -> Model:
    """The same with few members: how many answer together is nothing to what is tested here, but takes most of the time."""
    return replace(
        model,
        components={
            name: replace(
                own,
                members=own.members[::5],
                remaining=own.remaining and replace(own.remaining, members=own.remaining.members[:1]),
            )
            for name, own in model.components.items()
        },
    )


def recording(folder: Path, profile: Profile) -> Recording:
    files = [folder / f"{name}.csv" for name in ("events", "maintenance", "failures")]
    return recorded_of(profile, [], [files[2]], events=files[0], maintenance=files[1])


def judged(model: Model, profile: Profile, windows: Iterable[Window], devices: Sequence[str]) -> list[Any]:
    """What the judge of a backtest finds in windows, as `Told.findings` gives it."""
    judge = Judge(profile, model)
    state = judge.fresh(len(devices))
    changes = [change for window in windows for change in judge.run(window, state)]
    found: list[list[Any]] = []
    for c in changes:
        key = [int(devices[c.device][1:]), c.component, c.failure_mode]
        if c.change is Change.OPENED:
            found.append([*key, c.began_at, c.at, None, c.because])
        elif c.change is Change.CLOSED:
            next(own for own in found if own[:3] == key and own[5] is None)[5] = c.at
    return sorted((tuple(own) for own in found), key=lambda own: (own[0], own[4]))


def recorded(told: Told, events: Iterable[Event], failed: Iterable[tuple[int, float]]) -> list[Any]:
    """What a backtest finds in files of the same events."""
    write(told.folder, events, failed)
    profile = told.profiles["box"]
    history = recording(told.folder, profile)
    return judged(told.model(), profile, history.windows(), history.devices)


def stored(told: Told) -> list[Any]:
    """What a backtest finds in what is stored."""
    profile = told.profiles["box"]
    history = StoredHistory(told.database, profile)
    return judged(told.model(), profile, history.windows(), history.devices)


@pytest.mark.parametrize("stage", ["live", "shadow"])
def test_they_are_judged_as_in_a_backtest_of_the_same_events(told: Told, learnt: Model, stage: registry.Stage) -> None:
    told.take(learnt, stage)
    events, failed = eventful(2)
    expected = recorded(told, events, failed)
    foreseen = sum(
        any(d == device and timedelta(0) < at(hour) - opened < timedelta(days=2) for d, _, _, _, opened, *_ in expected)
        for device, hour in failed
    )
    assert foreseen >= 0.8 * len(failed)

    random, engine, begin = np.random.default_rng(4), told.engine(), 0.0
    while begin < HOURS + 48:
        end = begin + float(random.uniform(0.3, 15))
        told.now = at(end)
        told.happen(e for e in events if begin <= e[1] < end)
        told.turn(end, engine := told.engine() if random.random() < 0.2 else engine)
        begin = end
    if stage == "live":
        assert told.findings() == expected
        assert stored(told) == expected
    else:
        assert told.run("SELECT count(*) FROM finding") == [(0,)]
        assert [own[:-1] for own in told.findings("shadow_finding")] == [own[:-1] for own in expected]


def test_events_that_come_late_are_judged_as_if_in_order(told: Told, learnt: Model) -> None:
    told.take(learnt)
    events, failed = eventful(3)
    random = np.random.default_rng(5)
    arrival = [(hour + float(random.uniform(0, 15)), (d, hour, k, what)) for d, hour, k, what in events]
    engine = told.engine()
    for begin in range(0, HOURS + 72, 8):
        told.now = at(begin + 8)
        told.happen(event for came, event in arrival if begin <= came < begin + 8)
        told.turn(begin + 8, engine := told.engine() if begin % 40 == 0 else engine)
    ((withdrawn,),) = told.run("SELECT count(*) FROM finding WHERE withdrawn <> ''")
    expected = recorded(told, events, failed)
    # A finding that stays keeps the words that it opened with.
    assert [own[:-1] for own in told.findings()] == [own[:-1] for own in expected]
    assert len(expected) > withdrawn


def test_a_tick_is_over_by_the_servers_clock_and_then_comes_silence(told: Told, learnt: Model) -> None:
    told.take(learnt)
    engine = told.engine()

    def until() -> list[Any]:
        return told.run("SELECT until FROM judged")

    told.now = at(100.4)
    told.happen([(0, -150.0, "connect", ""), (0, 100.3, "error", "E7")])
    told.turn(100.4, engine)
    assert until() == [(at(100),)]
    assert told.findings() == []
    told.turn(101.0, engine)
    assert until() == [(at(101),)]
    ((device, component, _, began, opened, closed, because),) = told.findings()
    assert (device, component, began, opened, closed) == (0, "heater", at(100), at(101), None)
    assert because.startswith("error code E7 ")
    # However long nothing comes, nothing matures: the finding stays as it is, and that is no fault of the connection.
    told.turn(900, engine)
    assert until() == [(at(101),)]
    assert [row[5] for row in told.findings()] == [None]
    # The next word tells that the device was there all the while.
    told.happen([(0, 150.5, "connect", "")])
    told.turn(901, engine)
    ((closed,),) = told.run("SELECT closed_at FROM finding")
    assert at(113) < closed < at(150)


def test_without_a_model_nothing_is_judged_and_a_model_is_shown_what_was(told: Told, learnt: Model) -> None:
    events, _ = eventful(2)
    told.happen(e for e in events if e[1] < 500)
    told.turn(500)
    assert told.run("SELECT count(*) FROM judged WHERE spoke_at IS NOT NULL AND heard_at IS NULL") == [(DEVICES,)]
    assert told.run("SELECT count(*) FROM detector_state") == [(0,)]
    told.take(learnt)
    told.happen(e for e in events if 500 <= e[1] < 600)
    told.turn(600)
    # What happened before it came is in its memory, not in findings.
    assert told.findings()
    assert min(row[4] for row in told.findings()) > at(420)
    told.happen(e for e in events if e[1] >= 600)
    told.turn(HOURS + 2)
    late = [row for row in stored(told) if row[4] > at(600)]
    assert late
    assert [row for row in told.findings() if row[4] > at(600)] == late


@pytest.mark.parametrize("stage", ["live", "shadow"])
def test_what_comes_late_as_a_model_comes_counts_once(told: Told, learnt: Model, stage: registry.Stage) -> None:
    """Device 0 tells events alone, device 1 measures too."""
    told.happen(
        [(0, -150.0, "connect", ""), (0, 20.5, "error", "E9"), (1, 20.5, "error", "E9"), (0, 47.5, "connect", "")]
    )
    told.now = at(48)
    told.measure([1], range(48))
    told.turn(48)
    assert [u for (u,) in told.run("SELECT until FROM judged ORDER BY device_id")] == [at(48), at(47)]
    told.take(learnt, stage)
    told.happen([(d, 40.5, "error", "E7") for d in (0, 1)])
    told.happen([(0, 60.5, "connect", "")])
    told.now = at(62)
    told.measure([1], range(48, 62))
    told.turn(62)
    assert learnt.vocabulary.codes == ("E7", "E9")
    counted = told.counted(learnt, stage)
    assert counted == {device: pytest.approx([0.9, 0.8], abs=0.1) for device in (0, 1)}
    # Nor is it counted again later.
    told.happen([(0, 70.5, "connect", "")])
    told.now = at(72)
    told.measure([1], range(62, 72))
    told.turn(72)
    assert all(0.7 < own[0] < counted[device][0] for device, own in told.counted(learnt, stage).items())


@pytest.mark.parametrize("turns", [0, 1])
def test_what_makes_a_model_go_back_counts_once_for_a_shadow_that_came_after(
    told: Told, learnt: Model, turns: int
) -> None:
    """The shadow has no checkpoint yet, whether it comes in the same turn or came in the turn before."""
    told.take(learnt)
    engine = told.engine()
    told.happen([(0, -150.0, "connect", ""), (0, 47.5, "connect", "")])
    told.turn(48, engine)
    told.happen([(0, 60.5, "connect", "")])
    told.turn(62, engine)
    told.take(learnt, "shadow")
    if turns:
        told.happen([(0, 62.5, "connect", "")])
        told.turn(64, engine)
    told.happen([(0, 50.5, "error", "E7"), (0, 64.5, "connect", "")])
    told.turn(66, engine)
    assert told.run("SELECT count(*) FROM detector_checkpoint WHERE device_id = 1") != [(0,)]
    assert told.counted(learnt, "live") == {0: pytest.approx([0.9, 0.0], abs=0.1)}
    assert told.counted(learnt, "shadow") == told.counted(learnt, "live")
    # However little there is to judge, it is kept.
    told.happen([(0, 51.5, "error", "E9")])
    told.turn(66, engine := told.engine())
    told.turn(66, engine)
    assert told.counted(learnt, "shadow") == told.counted(learnt, "live") == {0: pytest.approx([0.9, 0.9], abs=0.1)}


def test_only_maintenance_is_no_word_of_a_device(told: Told, learnt: Model) -> None:
    told.take(learnt)
    told.happen([(0, 10.0, "maintenance", "heater"), (1, 12.0, "maintenance", "heater"), (1, 20.0, "error", "E9")])
    told.turn(40)
    assert told.run("SELECT device_id - 1, until, spoke_at FROM judged") == [(1, at(21), at(20))]
    told.happen([(1, 30.0, "maintenance", "heater")])
    told.turn(41)
    assert told.run("SELECT until FROM judged") == [(at(31),)]


def test_a_device_that_begins_to_measure_is_judged_as_if_it_always_had(told: Told, learnt: Model) -> None:
    """Device 0 is connected and tells a code before its first readings come, device 1 tells the same all at once."""
    told.take(learnt)
    engine = told.engine()
    events = [(-150.0, "connect", ""), (30.5, "error", "E7"), (46.0, "error", "E9")]
    told.happen([(0, *event) for event in events])
    told.turn(48, engine)
    assert [row[:3] for row in told.findings()] == [(0, "heater", "failing")]
    assert told.run("SELECT count(*) FROM detector_checkpoint") != [(0,)]
    told.happen([(1, *event) for event in events])

    def states() -> list[Any]:
        return told.run(
            "SELECT detector, version, state FROM detector_state WHERE device_id = 1"
            " EXCEPT SELECT detector, version, state FROM detector_state WHERE device_id = 2"
        )

    told.now = at(60)
    told.measure([0, 1], range(60))
    told.turn(60, engine)
    assert states() == []
    assert told.run("SELECT heard_at, spoke_at FROM judged") == [(at(60), None)] * 2
    told.measure([0, 1], range(60, 100))
    told.turn(100, told.engine())
    assert states() == []
    own, others = ([row[1:] for row in told.findings() if row[0] == d and row[4] != at(31)] for d in (0, 1))
    assert own == [row for row in others if row[3] != at(31)]


def test_without_a_model_codes_of_a_failure_mode_are_told_when_they_come_more_often(told: Told) -> None:
    coded = (
        PROFILE.split("detectors:", maxsplit=1)[0]
        + "failure_modes: {burn: {title: Burn, component: heater, codes: [E7]}}\n"
    )
    told.profiles = {"box": parse(coded, "box.yaml")}
    random = np.random.default_rng(6)
    usual = [
        (d, float(h), "error", code)
        for d in range(DEVICES)
        for code in ("E7", "E9")
        for h in random.uniform(0, HOURS, 2)
    ]
    often = [(3, 500.0 + 4 * n, "error", "E7") for n in range(5)]
    often += [(4, 500.0 + 4 * n, "error", "E9") for n in range(9)]
    engine = told.engine()
    for begin in range(0, HOURS, 6):
        told.now = at(begin + 6)
        told.happen(sorted((e for e in usual + often if begin <= e[1] < begin + 6), key=lambda e: e[1]))
        told.turn(begin + 6, engine)
    found = [(device, mode, opened, because) for device, _, mode, _, opened, _, because in told.findings()]
    assert [(device, mode) for device, mode, *_ in found] == [(3, "burn")]
    assert at(500) < found[0][2] < at(524)
    assert found[0][3].startswith("error code E7 lately")
