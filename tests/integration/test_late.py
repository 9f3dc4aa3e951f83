"""Readings that come late, on real databases: within the limit it is as if they had come in order."""

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest

from anomaly import registry
from core.database import Database
from core.profile import parse
from proactive.contact import Held
from proactive.store import TicketStore
from proactive.triage import Decision
from tests.integration.test_detection import BOX, START, Platform
from tests.integration.test_models import Stored, stored, train

__all__ = ["stored"]

LIMITS = BOX.replace("tick: 1h", "tick: 1h\nlate_within: 8h").replace("on_delay: 3h", "on_delay: 2h")
BASELINE = (
    LIMITS.split("detectors:", maxsplit=1)[0]
    + "detectors:\n  sensors: {warm_up: 30h}\n  baseline: {warm_up: 24h, memory: 60h, smooth: 3h}\n"
)
COUNTERS = (
    LIMITS.split("failure_modes:", maxsplit=1)[0].replace("unit: Cel", "unit: count") + "detectors: {counters: {}}\n"
)
HOURS, LATE = 160, 8


def weather(seed: int) -> Any:
    """[HOURS] heat with hot spells, a stuck sensor, and hours in which nothing is sent."""
    random = np.random.default_rng(seed)
    heat = random.normal(40, 3, HOURS)
    for at in random.integers(30, HOURS - 10, 6):
        heat[at : at + int(random.integers(2, 9))] += 45
    heat[110:135] = heat[110]
    heat[random.random(HOURS) < 0.1] = np.nan
    return heat


@pytest.fixture
def platform(database: Database, database_url: str) -> Platform:
    made = Platform(database, database_url)
    made.profiles = {"box": parse(LIMITS, "box.yaml")}
    return made


def told(platform: Platform, device: int) -> list[Any]:
    return platform.run(
        "SELECT component, failure_mode, detector, began_at, opened_at, closed_at FROM finding"
        " WHERE device_id = %s AND withdrawn = '' ORDER BY opened_at, failure_mode",
        device,
    )


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("text", "fewest"), [(LIMITS, 2), (BASELINE, 1)], ids=["limits", "baseline"])
def test_readings_shuffled_within_the_limit_give_the_same_findings(
    platform: Platform, text: str, fewest: int, seed: int
) -> None:
    """Device 1 sends in order, device 2 the same late; engines start anew, and take turns, in between."""
    platform.profiles = {"box": parse(text, "box.yaml")}
    heat, random = weather(seed), np.random.default_rng(seed + 100)
    hours = np.nonzero(np.isfinite(heat))[0]
    platform.store(1, [float(hour) for hour in hours], heat[hours].tolist())
    engines = [platform.engine(), platform.engine()]
    engines[0].turn()
    shuffled = hours[np.argsort(hours + random.uniform(0, LATE - 1, len(hours)), kind="stable")]
    open_at_once = 0
    while len(shuffled):
        now, shuffled = np.split(shuffled, [int(random.integers(1, 12))])
        platform.store(2, now.tolist(), heat[now].tolist())
        if random.random() < 0.2:
            engines[int(random.integers(2))] = platform.engine()
        engines[int(random.integers(2))].turn()
        ((most,),) = platform.run(
            "SELECT coalesce(max(n), 0) FROM (SELECT count(*) AS n FROM finding WHERE closed_at IS NULL"
            " GROUP BY device_id, component, failure_mode) f"
        )
        open_at_once = max(open_at_once, most)
    assert len(told(platform, 1)) >= fewest
    assert told(platform, 2) == told(platform, 1)
    assert open_at_once == 1
    # What is kept to go back to does not grow.
    ((kept,),) = platform.run("SELECT count(DISTINCT until) FROM detector_checkpoint WHERE device_id = 2")
    assert kept <= 3


def at(hours: float) -> datetime:
    return START + timedelta(hours=hours)


def test_a_finding_that_late_readings_make_opens_at_its_time(platform: Platform) -> None:
    hours = [float(h) for h in range(20) if h not in (10, 11)]
    platform.store(1, hours, [90.0 if h == 9 else 40.0 for h in hours])
    engine = platform.engine()
    engine.turn()
    assert platform.findings() == []
    platform.store(1, [10, 11], [90.0, 90.0])
    engine.turn()
    assert platform.findings() == [(1, "burn", at(11), False)]
    assert platform.run("SELECT closed_at, withdrawn FROM finding") == [(at(14), "")]


def test_counts_that_come_late_are_told_at_their_time(platform: Platform) -> None:
    platform.profiles = {"box": parse(COUNTERS, "box.yaml")}
    quiet = [float(hour) for hour in range(400)]
    # All that is heard of six counts in twelve hours is how many they were.
    platform.store(1, [*quiet, 412.0, 413.0], [0.0] * 400 + [6.0, 6.0])
    engine = platform.engine()
    engine.turn()
    assert platform.findings() == []
    late = [float(hour) for hour in range(405, 412)]
    platform.store(1, late, [float((hour - 400) // 2) for hour in late])
    engine.turn()
    ((device, mode, opened_at, still),) = platform.findings()
    assert (device, mode, still) == (1, "abnormal", True)
    assert at(405) < opened_at <= at(413)


def test_a_finding_that_late_readings_unmake_is_closed_with_the_reason(platform: Platform) -> None:
    hot, cold = [10.0, 12.0], [float(h) for h in (*range(10), 13, 14)]
    platform.store(1, hot + cold, [90.0] * 2 + [40.0] * len(cold))
    engine = platform.engine()
    engine.turn()
    assert platform.findings() == [(1, "burn", at(13), True)]
    platform.store(1, [11.0], [40.0])
    engine.turn()
    assert platform.findings() == [(1, "burn", at(13), False)]
    ((why,),) = platform.run("SELECT withdrawn FROM finding")
    assert why == "readings that came late show that nothing was abnormal"


def test_a_ticket_is_told_and_none_is_opened_twice(platform: Platform) -> None:
    def triage() -> list[Decision]:
        store = TicketStore(platform.database, lambda: platform.now)
        return [decision for _, decision in store.triage_findings(lambda _: "Burn", lambda _: Held.NO_CUSTOMER)]

    platform.store(1, [float(h) for h in range(16) if h not in (3, 11)], [90.0 if h > 9 else 40.0 for h in range(14)])
    engine = platform.engine()
    engine.turn()
    assert triage() == [Decision.OPENED]
    ((opened,),) = platform.run("SELECT opened_at FROM finding")
    # It opened earlier than was known: the same finding, the same ticket.
    platform.now += timedelta(minutes=1)
    platform.store(1, [11.0], [90.0])
    engine.turn()
    ((earlier,),) = platform.run("SELECT opened_at FROM finding")
    assert earlier < opened
    assert triage() == [Decision.ADDED]
    # It never was: the ticket says so, and stays for a person.
    platform.now += timedelta(minutes=1)
    platform.run("UPDATE reading SET value = 40 WHERE series_id = 1")
    platform.store(1, [11.5], [40.0])
    engine.turn()
    assert triage() == [Decision.ADDED]
    assert platform.run("SELECT state FROM ticket") == [("new",)]
    ((said,),) = platform.run("SELECT summary FROM timeline_entry ORDER BY id DESC LIMIT 1")
    assert said == "readings that came late show that nothing was abnormal"


def test_what_comes_too_late_is_stored_and_not_judged(platform: Platform) -> None:
    hours = [float(h) for h in range(40) if h not in (3, 4, 5, 6)]
    platform.store(1, hours, [40.0] * len(hours))
    engine = platform.engine()
    engine.turn()
    platform.store(1, [3.0, 4.0, 5.0, 6.0], [90.0] * 4)
    engine.turn()
    assert platform.findings() == []
    assert platform.run("SELECT count(*) FROM reading") == [(40,)]


def test_nothing_is_judged_again_where_the_profile_says_so(platform: Platform) -> None:
    platform.profiles = {"box": parse(LIMITS.replace("late_within: 8h", "late_within: 0h"), "box.yaml")}
    hours = [float(h) for h in range(20) if h not in (10, 11)]
    platform.store(1, hours, [90.0 if h == 9 else 40.0 for h in hours])
    platform.engine().turn()
    platform.store(1, [10, 11], [90.0, 90.0])
    platform.engine().turn()
    assert platform.findings() == []
    assert platform.run("SELECT count(*) FROM detector_checkpoint") == [(0,)]


@pytest.mark.parametrize("stage", ["live", "shadow"])
def test_a_model_judges_late_readings_as_if_in_order(stored: Stored, stage: Any) -> None:
    """Of each pair of devices the second says the same as the first, late."""
    values, events, failed = stored.known.values, stored.known.events, stored.known.failed
    for device in range(0, stored.devices, 2):
        values[:, device + 1] = values[:, device]
    events[:] = [(d + late, h, code) for d, h, code in events if d % 2 == 0 for late in (0, 1)]
    failed[:] = [(d + late, h) for d, h in failed if d % 2 == 0 for late in (0, 1)]
    stored.store(0, 360)
    stored.confirm(360)
    engine = stored.engine()
    engine.turn()
    train("--from-database")
    with stored.database.transaction() as c:
        (entry,) = registry.entries(c)
        if stage == "live":
            registry.stage(c, "box", entry.version, "live", actor="anna", reason="now", now=stored.now)
    engine.turn()
    stored.store(360, 400)
    engine.turn()
    stored.happen(400, 720)
    random = np.random.default_rng(5)
    hours = np.arange(400, 720)
    arrival = hours + random.uniform(0, 20, len(hours))
    for begin in range(400, 742, 7):
        end = begin + 7
        came = hours[(arrival >= begin) & (arrival < end)]
        # Those that are in order send as far as the late ones have come at the most.
        ordered = hours[(hours >= begin) & (hours < end)]
        _store_some(stored, ordered.tolist(), 0)
        _store_some(stored, came.tolist(), 1)
        if begin % 5 == 0:
            engine = stored.engine()
        engine.turn()
    table = "finding" if stage == "live" else "shadow_finding"
    where = "AND withdrawn = ''" if stage == "live" else ""

    def own(parity: int) -> list[Any]:
        return stored.run(
            f"SELECT (device_id - 1) / 2, component, failure_mode, began_at, opened_at, closed_at FROM {table}"
            f" WHERE (device_id - 1) %% 2 = %s {where} ORDER BY 1, 2, 3, 5",
            parity,
        )

    assert len(own(0)) >= 4
    assert own(1) == own(0)


def _store_some(stored: Stored, hours: list[int], parity: int) -> None:
    """Readings of every other device."""
    if not hours:
        return
    ids = [d + 1 for d in range(parity, stored.devices, 2)]
    times = [START + timedelta(hours=h) for h in hours]
    with stored.database.transaction() as c:
        c.cursor().executemany(
            "INSERT INTO reading VALUES (%s, %s, %s, %s, 0)",
            [
                (stored.series[d, signal], t, stored.now, float(stored.known.values[h, d - 1, s]))
                for d in ids
                for h, t in zip(hours, times, strict=True)
                for s, signal in enumerate(("heat", "hum"))
            ],
        )
        c.execute(
            "INSERT INTO batch (stored_at, readings, devices, first_times, last_times) VALUES (%s, %s, %s, %s, %s)",
            (stored.now, len(ids) * len(hours) * 2, ids, [min(times)] * len(ids), [max(times)] * len(ids)),
        )
