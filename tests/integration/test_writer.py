"""Storing batches, on both databases, and the gateway's loop around it."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import NoReturn

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from core.clock import utc_now
from core.database import Database
from core.errors import DatabaseAway, DatabaseRefused
from core.profile import Profiles
from core.settings import Settings
from device_gateway.acceptance import Acceptance
from device_gateway.clock import Rules
from device_gateway.decoders.sparkplug_wire import PAYLOAD
from device_gateway.formats import choose
from device_gateway.gateway import Gateway
from device_gateway.inbox import Inbox
from device_gateway.intake import Pace
from device_gateway.metrics import Metrics
from device_gateway.readings import Batch, Event, Message, Readings, Status, microseconds
from device_gateway.registry import Registry
from device_gateway.skew import Skews
from telemetry.accepting import Replayed, replay
from telemetry.connection import Before, follow
from telemetry.store import DeadLetterStore, DeviceLookUp, DeviceStore, Rows, TelemetryWriter, Which
from telemetry.store.copying import rows_of

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
NOW_MS = microseconds(NOW) // 1000
PROFILES = dict(Profiles())
RULES = Rules(tolerance=300_000_000, earliest=0)


class Rig:
    """The gateway without a broker: what it is given, it stores."""

    def __init__(self, database: Database, formats: str = "native") -> None:
        self.registry = Registry(PROFILES, DeviceLookUp(database, PROFILES), time.monotonic)
        self.acceptance = Acceptance(self.registry, choose(formats), RULES, max_payload=1_048_576)
        self.writer = TelemetryWriter(database, utc_now)
        self.acknowledged: list[Message] = []

    def accept(self, *messages: Message) -> Batch:
        batch = self.acceptance.accept(messages)
        if batch.strangers and self.registry.refresh(batch.strangers):
            batch = self.acceptance.accept(messages)
        return batch

    def run(self, *messages: Message, skews: Skews | None = None, most: int = 1000) -> None:
        inbox = Inbox(most=1000)
        inbox.put(messages)
        inbox.close()
        Gateway(
            inbox=inbox,
            acceptance=self.acceptance,
            registry=self.registry,
            store=self.writer,
            acknowledge=self.acknowledged.extend,
            metrics=Metrics(inbox),
            pace=Pace(most=most),
            skews=skews,
        ).run()


def message(device: str, payload: str, kind: str = "telemetry", at: int = 0) -> Message:
    data = payload.encode()
    return Message(f"forewarn/v1/{device}/{kind}", data, len(data), microseconds(NOW) + at, 1, at + 1)


def sample(device: str, second: int, value: float) -> Message:
    return message(device, f'{{"ts": {NOW_MS + second * 1000}, "values": {{"power": {value}}}}}', at=abs(second))


def rows(url: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url) as c:
        return c.execute("SELECT series_id, time, value, quality FROM reading ORDER BY 1, 2").fetchall()


def batches(url: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url) as c:
        return c.execute("SELECT readings, devices, first_times, last_times FROM batch ORDER BY id").fetchall()


@pytest.fixture
def devices(database: Database) -> dict[str, int]:
    store = DeviceStore(database)
    return {name: store.register(name=name, profile="fridge") for name in ("f1", "f2", "f3")}


def test_a_batch_tells_detection_what_it_touched(
    database: Database, database_url: str, devices: dict[str, int]
) -> None:
    rig = Rig(database)
    stored = rig.writer.store(rig.accept(sample("f2", -5, 1), sample("f1", -9, 2), sample("f2", -7, 3)))
    assert (stored.readings, stored.duplicates) == (3, 0)
    at = {s: NOW - timedelta(seconds=s) for s in (5, 7, 9)}
    assert batches(database_url) == [(3, [devices["f1"], devices["f2"]], [at[9], at[7]], [at[9], at[5]])]


def test_a_batch_that_meets_duplicates_stores_and_tells_only_what_is_new(
    database: Database, database_url: str, devices: dict[str, int]
) -> None:
    rig = Rig(database)
    rig.writer.store(rig.accept(sample("f1", -5, 1), sample("f2", -5, 1)))
    again = rig.writer.store(rig.accept(sample("f1", -5, 99), sample("f1", -4, 2), sample("f2", -5, 99)))
    assert (again.readings, again.duplicates) == (1, 2)
    only = rig.writer.store(rig.accept(sample("f1", -4, 99)))
    assert (only.readings, only.duplicates) == (0, 1)
    assert [r[2] for r in rows(database_url)] == [1, 2, 1]
    time_4 = NOW - timedelta(seconds=4)
    assert batches(database_url)[1:] == [(1, [devices["f1"]], [time_4], [time_4])]


def test_of_duplicates_within_a_batch_the_first_is_stored(
    database: Database, database_url: str, devices: dict[str, int]
) -> None:
    rig = Rig(database)
    stored = rig.writer.store(rig.accept(sample("f1", -5, 1), sample("f1", -5, 2), sample("f1", -5, 3)))
    assert (stored.readings, stored.duplicates) == (1, 2)
    assert [r[2] for r in rows(database_url)] == [1]


def test_an_error_stores_nothing_of_a_batch(database: Database, database_url: str, devices: dict[str, int]) -> None:
    rig = Rig(database)
    batch = rig.accept(
        sample("f1", -5, 1), message("f2", '{"kind": "error", "ts": 1}', "events"), message("nobody", "1")
    )
    with psycopg.connect(database_url) as c:
        c.execute("DELETE FROM series WHERE device_id = %s", [devices["f2"]])
        c.execute("DELETE FROM device WHERE id = %s", [devices["f2"]])
    with pytest.raises(DatabaseRefused, match="foreign key"):
        rig.writer.store(batch)
    with psycopg.connect(database_url) as c:
        for table in ("reading", "batch", "device_event", "dead_letter"):
            assert c.execute(f"SELECT count(*) FROM {table}".encode()).fetchone() == (0,)


def test_only_the_message_that_the_database_refuses_is_a_dead_letter(
    database: Database, database_url: str, devices: dict[str, int]
) -> None:
    rig = Rig(database)
    rig.accept(message("f2", '{"power": 1}'))
    with psycopg.connect(database_url) as c:
        c.execute("DELETE FROM series WHERE device_id = %s", [devices["f2"]])
        c.execute("DELETE FROM device WHERE id = %s", [devices["f2"]])
    messages = [sample("f1", -n, n) for n in range(1, 20)]
    messages.insert(7, message("f2", '{"kind": "error", "ts": 1}', "events", at=100))
    rig.run(*messages)
    assert rig.acknowledged == messages
    assert len(rows(database_url)) == 19
    with psycopg.connect(database_url) as c:
        found = c.execute("SELECT topic, reason, detail FROM dead_letter").fetchall()
    assert [(f[0], f[1]) for f in found] == [("forewarn/v1/f2/events", "refused_by_database")]
    assert "foreign key" in found[0][2]


def broken_rows(readings: Readings) -> Rows:
    """As `rows_of`, with a bug at one value."""
    if 13.0 in readings.value:
        raise OverflowError("13 is too much")
    return rows_of(readings)


def always(*_: object) -> NoReturn:
    raise OverflowError("always")


@pytest.mark.parametrize("most", [1000, 1, 3])
def test_a_message_that_cannot_be_prepared_costs_no_other(
    database: Database, database_url: str, devices: dict[str, int], monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr("telemetry.store.writer.rows_of", broken_rows)
    rig = Rig(database)
    messages = [sample("f1", -n, n) for n in range(1, 20)]
    with capture_logs() as said:
        rig.run(*messages, most=most)
    assert rig.acknowledged == messages
    assert {row[2] for row in rows(database_url)} == {n for n in range(1, 20) if n != 13}
    with psycopg.connect(database_url) as c:
        found = c.execute("SELECT topic, payload, reason, detail FROM dead_letter").fetchall()
    why = "the gateway failed at it: OverflowError('13 is too much')"
    assert found == [(messages[12].topic, messages[12].payload, "gateway_failed", why)]
    assert [one["topic"] for one in said if one["log_level"] == "error"] == [messages[12].topic]


def sparkplug(kind: str, seq: int, *metrics: dict[str, object]) -> Message:
    payload = PAYLOAD(timestamp=NOW_MS + seq, seq=seq)
    for metric in metrics:
        payload.metrics.add(**metric)
    data = payload.SerializeToString()
    device = "/f1" if kind.startswith("D") else ""
    return Message(f"spBv1.0/plant/{kind}/edge{device}", data, len(data), microseconds(NOW) + seq, 1, seq + 1)


BIRTHS = (
    sparkplug("NBIRTH", 0),
    sparkplug(
        "DBIRTH",
        1,
        {"name": b"cabinet_temp", "alias": 4, "datatype": 10, "float_value": 4.5},
        {"name": b"freezer_temp", "alias": 5, "datatype": 2, "int_value": 65_518},
    ),
)
DATA = {
    "by aliases": ({"alias": 4, "float_value": 13}, {"alias": 5, "int_value": 65_517}),
    "by names without types": (
        {"name": b"cabinet_temp", "float_value": 13},
        {"name": b"freezer_temp", "int_value": 2**32 - 19},
    ),
}
REPLAY = Settings.model_validate({"formats": "sparkplug_b", "earliest_time": NOW - timedelta(days=1)})


def replayed(database: Database) -> Replayed:
    return replay(REPLAY, database, PROFILES, DeadLetterStore(database).each(Which()), clock=utc_now)


@pytest.mark.parametrize("metrics", DATA.values(), ids=list(DATA))
@pytest.mark.parametrize("where", ["accepting", "preparing", "database"])
def test_what_failed_here_can_be_replayed_without_the_birth_before_it(
    database: Database,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
    metrics: tuple[dict[str, object], ...],
) -> None:
    DeviceStore(database).register(name="plant:edge:f1", profile="fridge")
    rig = Rig(database, "sparkplug_b")
    rig.run(*BIRTHS)
    born = rows(database_url)
    with psycopg.connect(database_url, autocommit=True) as c, monkeypatch.context() as planted:
        if where == "accepting":
            planted.setattr("device_gateway.batching.judge", always)
        elif where == "preparing":
            planted.setattr("telemetry.store.writer.rows_of", broken_rows)
            planted.setattr("telemetry.store.dead_letters.rows_of", broken_rows)
        else:
            c.execute("ALTER TABLE reading ADD CONSTRAINT few CHECK (value <> 13)")
        rig.run(sparkplug("DDATA", 2, *metrics))
        rig.run(message("f1", "nonsense"))
        # A version that has the bug still leaves the letter, says why, and goes on to the next.
        done = replayed(database)
        assert (done.stored, done.kept) == (0, 2)
        reason = "refused_by_database" if where == "database" else "gateway_failed"
        assert [why.reason for why in done.why] == [reason, "unknown_topic"]
        assert c.execute("SELECT reason FROM dead_letter ORDER BY id LIMIT 1").fetchone() == (reason,)
        assert rows(database_url) == born
        c.execute("ALTER TABLE reading DROP CONSTRAINT IF EXISTS few")
    done = replayed(database)
    assert (done.stored, done.kept) == (1, 1)
    assert {row[2] for row in rows(database_url)} - {row[2] for row in born} == {13, -19}


@pytest.mark.parametrize("code", [object(), "\ud800"], ids=["of a type that no column has", "that is no text"])
def test_a_message_that_the_writer_fails_at_costs_no_other_and_is_no_database_that_is_away(
    database: Database, database_url: str, devices: dict[str, int], monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    def broken_follow(
        before: Mapping[int, Before], statuses: Sequence[Status]
    ) -> tuple[dict[int, Before], list[Event]]:
        after, events = follow(before, statuses)
        return after, [replace(e, code=code) if e.device == devices["f2"] else e for e in events]

    monkeypatch.setattr("telemetry.store.writer.follow", broken_follow)
    with database.transaction() as connection:
        connection.execute("UPDATE device SET status = 'offline'")
    rig = Rig(database)
    messages = [message(name, "online", "status", at=at) for at, name in enumerate(("f1", "f2", "f3"))]
    rig.run(*messages, sample("f1", -1, 1))
    assert rig.acknowledged[:3] == messages
    with psycopg.connect(database_url) as c:
        found = c.execute("SELECT topic, reason FROM dead_letter").fetchall()
        states = c.execute("SELECT name, status FROM device ORDER BY name").fetchall()
    assert found == [("forewarn/v1/f2/status", "gateway_failed")]
    assert states == [("f1", "online"), ("f2", "offline"), ("f3", "online")]
    assert [row[2] for row in rows(database_url)] == [1]


def test_texts_of_strangers_are_stored_as_texts(database: Database, database_url: str, devices: dict[str, int]) -> None:
    rig = Rig(database)
    sql = "'); DROP TABLE reading; --"
    rig.writer.store(
        rig.accept(
            message("a\0b", "x"),
            message(sql, sql),
            message("f1", '{"kind": "' + sql + '", "code": "' + sql + '", "x": "' + sql + '"}', "events"),
        )
    )
    with psycopg.connect(database_url) as c:
        topics = c.execute("SELECT topic FROM dead_letter ORDER BY id").fetchall()
        event = c.execute("SELECT kind, code, detail FROM device_event").fetchone()
    assert topics == [("forewarn/v1/a\ufffdb/telemetry",), (f"forewarn/v1/{sql}/telemetry",)]
    assert event == (sql, sql, {"x": sql})


def test_a_database_without_tables_is_away_and_not_a_reason_to_drop_messages(
    database: Database, database_url: str, devices: dict[str, int]
) -> None:
    rig = Rig(database)
    batch = rig.accept(sample("f1", -1, 1))
    with psycopg.connect(database_url) as c:
        c.execute("ALTER TABLE batch RENAME TO elsewhere")
    with pytest.raises(DatabaseAway, match=r"relation .*batch.* does not exist"):
        rig.writer.store(batch)
    with psycopg.connect(database_url) as c:
        c.execute("ALTER TABLE elsewhere RENAME TO batch")
    assert rig.writer.store(batch).readings == 1


SAID = {
    "reading": ("telemetry", '{{"ts": {ts}, "values": {{"power": {second}, "fan_speed": 900}}}}'),
    "history": (
        "telemetry",
        '[{{"ts": {ts}, "values": {{"power": {second}}}}}, {{"ts": {before}, "values": {{"fan_speed": 900}}}}]',
    ),
    "event": ("events", '{{"ts": {ts}, "kind": "error", "code": "E1"}}'),
    # Each time another value: what is said again is not kept, and could not be told to hold again after a late change.
    "attribute": ("events", '{{"ts": {ts}, "kind": "attributes", "firmware": "1.{second}"}}'),
    "bad": ("telemetry", "{second}"),
    "half bad": ("telemetry", '{{"ts": {ts}, "values": {{"power": {second}, "wings": 1}}}}'),
}
KEPT = {
    "reading": "SELECT series_id, time, value, quality FROM reading",
    "event": "SELECT device_id, time, kind, code, detail::text FROM device_event WHERE kind <> 'attribute'",
    "attribute": "SELECT device_id, name, since, value FROM device_attribute",
    "bad": "SELECT received_at, topic, payload, reason, detail FROM dead_letter",
}
keys = st.lists(
    st.tuples(st.sampled_from(list(SAID)), st.sampled_from(["f1", "f2"]), st.integers(-9, -1)), min_size=1, max_size=12
)


def said(what: str, device: str, second: int) -> Message:
    """What a device says at some second: always the same."""
    kind, payload = SAID[what]
    ts = NOW_MS + second * 1000
    at = 100 * list(SAID).index(what) + 10 * (device == "f2") - second
    return message(device, payload.format(ts=ts, before=ts - 500, second=second), kind, at=at)


def kept(url: str) -> dict[str, list[tuple[object, ...]]]:
    with psycopg.connect(url) as c:
        return {name: sorted(c.execute(query.encode()).fetchall()) for name, query in KEPT.items()}


def emptied(url: str) -> None:
    with psycopg.connect(url) as c:
        c.execute("TRUNCATE reading, device_event, device_attribute, dead_letter")


@given(sent=keys, data=st.data())
@example(sent=[(what, device, s) for what in SAID for device in ("f1", "f2") for s in (-9, -2, -1)], data=None)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_batch_twice_shuffled_or_split_stores_the_same_rows(
    database: Database,
    database_url: str,
    devices: dict[str, int],
    sent: list[tuple[str, str, int]],
    data: st.DataObject | None,
) -> None:
    messages = [said(*one) for one in sent]
    emptied(database_url)
    rig = Rig(database)
    rig.run(*messages)
    wanted = kept(database_url)
    # One that stores nothing would store the same of anything.
    assert len(wanted["event"]) == len({one for one in sent if one[0] == "event"})
    assert len(wanted["bad"]) == len({one for one in sent if "bad" in one[0]})
    assert bool(wanted["reading"]) == any(what in ("reading", "history", "half bad") for what, _, _ in sent)
    assert bool(wanted["attribute"]) == any(what == "attribute" for what, _, _ in sent)
    rig.run(*messages)
    assert kept(database_url) == wanted
    emptied(database_url)
    shuffled = data.draw(st.permutations(messages + messages)) if data else [*messages[::-1], *messages]
    cut = data.draw(st.integers(0, len(shuffled))) if data else len(messages) // 2
    rig.run(*shuffled[:cut])
    rig.run(*shuffled[cut:])
    assert kept(database_url) == wanted


def test_what_a_device_says_of_itself_is_kept_with_its_history(
    database: Database, database_url: str, devices: dict[str, int]
) -> None:
    rig = Rig(database)

    def says(second: int, **attributes: str) -> Message:
        payload = {"ts": NOW_MS + second * 1000, "kind": "attributes", **attributes}
        return message("f1", json.dumps(payload), "events", at=second)

    rig.run(says(10, firmware="1.1", hardware="B"), says(20, firmware="1.1"))
    rig.run(says(5, firmware="1.0"))
    rig.run(says(5, firmware="1.0"), says(30, firmware="1.1"))
    with psycopg.connect(database_url) as connection:
        history = connection.execute(
            "SELECT name, value, extract(epoch FROM since - %s)::int FROM device_attribute ORDER BY name, since", (NOW,)
        ).fetchall()
        events = connection.execute(
            "SELECT code, detail->>'value', xact IS NOT NULL FROM device_event WHERE kind = 'attribute' ORDER BY time, code"
        ).fetchall()
        firmware = connection.execute("SELECT firmware FROM device WHERE name = 'f1'").fetchone()
    assert history == [("firmware", "1.0", 5), ("firmware", "1.1", 10), ("hardware", "B", 10)]
    assert events == [("firmware", "1.0", True), ("firmware", "1.1", True), ("hardware", "B", True)]
    assert firmware == ("1.1",)
    # A list of devices that does not know the firmware leaves it as it is.
    DeviceStore(database).register(name="f1", profile="fridge")
    assert DeviceStore(database).by_name("f1")["firmware"] == "1.1"


def test_maintenance_names_a_component_of_the_profile(database: Database, devices: dict[str, int]) -> None:
    rig = Rig(database)
    good, bad = '{"kind": "maintenance", "component": "compressor"}', '{"kind": "maintenance", "component": "wings"}'
    batch = rig.accept(message("f1", good, "events"), message("f1", bad, "events"))
    assert [e.kind for e in batch.events] == ["maintenance"]
    assert [d.reason.value for d in batch.dead_letters] == ["bad_event"]
    assert "compressor" in batch.dead_letters[0].detail


def test_a_clock_that_is_wrong_is_stored_with_its_device(database: Database, devices: dict[str, int]) -> None:
    rig = Rig(database)
    skews = Skews()
    for n in range(4):
        payload = f'{{"ts": {NOW_MS + n * 600_000 - 900_000}, "values": {{"power": {n}}}}}'
        rig.run(message("f1", payload, at=n * 600_000_000), skews=skews)
    with database.transaction() as connection:
        row = connection.execute("SELECT clock_skew_s FROM device WHERE name = 'f1'").fetchone()
    assert row
    assert abs(row["clock_skew_s"] - 900) < 1
