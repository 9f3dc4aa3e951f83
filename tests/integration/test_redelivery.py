"""What was stored and never acknowledged comes again from a real broker: what is stored once all the same, and what is not."""

import time
from collections.abc import Sequence

import pytest

from core.clock import utc_now
from core.database import Database
from core.profile import Profiles
from device_gateway.acceptance import Acceptance
from device_gateway.clock import Rules
from device_gateway.formats import choose
from device_gateway.inbox import Inbox
from device_gateway.metrics import Metrics
from device_gateway.mqtt import Subscriber
from device_gateway.readings import Message
from device_gateway.registry import Registry
from device_gateway.wire import Link
from telemetry.store import DeviceLookUp, DeviceStore, TelemetryWriter
from tests.conftest import Mosquitto, wait_for
from tests.gateways import NOW_MS, Publisher

PROFILES = dict(Profiles())


class Unacknowledging:
    """A gateway that stores and dies before its acknowledgements are written."""

    def __init__(self, database: Database, port: int, version: str) -> None:
        link = Link(
            host="127.0.0.1",
            port=port,
            username="",
            password="",
            version=version,
            tls=False,
            ca_file=None,
            client_id="g",
            receive_maximum=1000,
            share="",
            filters=choose("native").filters,
        )
        self._registry = Registry(PROFILES, DeviceLookUp(database, PROFILES), time.monotonic)
        rules = Rules(tolerance=300_000_000, earliest=0)
        self._acceptance = Acceptance(self._registry, choose("native"), rules, max_payload=1_048_576)
        self._writer = TelemetryWriter(database, utc_now)
        self._inbox = Inbox(most=1000)
        self._subscriber = Subscriber(link, self._inbox, Metrics(self._inbox), max_payload=1_048_576)

    def take(self, count: int, *, acknowledge: bool = False) -> list[Message]:
        """Takes so many messages and stores them, each in a batch of its own."""
        self._subscriber.start()
        taken: list[Message] = []

        def enough() -> bool:
            taken.extend(self._next())
            return len(taken) >= count

        wait_for(enough, what=f"{count} messages come")
        if acknowledge:
            self._subscriber.acknowledge(taken)
        self._subscriber.close()
        assert len(taken) == count
        return taken

    def _next(self) -> Sequence[Message]:
        found = self._inbox.take(most=1, most_bytes=1_000_000, linger=0, timeout=0.5)
        if found:
            batch = self._acceptance.accept(found)
            if batch.strangers and self._registry.refresh(batch.strangers):
                batch = self._acceptance.accept(found)
            self._writer.store(batch)
        return found


def subscribe(database: Database, port: int, version: str) -> None:
    """Leaves a session at the broker in which nothing waits."""
    with Publisher(port) as device:
        device.publish("forewarn/v1/f1/telemetry", b'{"power": 1}', retain=True)
        Unacknowledging(database, port, version).take(1, acknowledge=True)
        device.publish("forewarn/v1/f1/telemetry", b"", retain=True)
        # The end of the retained message is a message itself.
        Unacknowledging(database, port, version).take(1, acknowledge=True)
    with database.transaction() as connection:
        connection.execute("TRUNCATE dead_letter, reading")


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_what_comes_again_is_known_by_what_it_carries(database: Database, mosquitto: Mosquitto, version: str) -> None:
    DeviceStore(database).register(name="f1", profile="fridge")
    subscribe(database, mosquitto.port, version)
    topic = "forewarn/v1/f1"
    sent = [
        (f"{topic}/telemetry", b"no json"),
        (f"{topic}/telemetry", b"no json"),
        (f"{topic}/telemetry", b'{"ts": %d, "values": {"power": 80, "speed": 1}}' % NOW_MS),
        (f"{topic}/telemetry", b'{"fan_speed": 900}'),
        (f"{topic}/events", b'{"ts": %d, "kind": "error", "code": "E1"}' % NOW_MS),
        (f"{topic}/status", b"online"),
    ]
    with Publisher(mosquitto.port) as device:
        for one in sent:
            device.publish(*one)
    first = Unacknowledging(database, mosquitto.port, version).take(len(sent))
    second = Unacknowledging(database, mosquitto.port, version).take(len(sent))
    assert [m[:2] for m in first] == [m[:2] for m in second] == sent
    assert [m.mid for m in first] == [m.mid for m in second]
    assert [m.again for m in first] == [False] * len(sent)
    assert [m.again for m in second] == [True] * len(sent)
    with database.transaction() as connection:
        letters = connection.execute("SELECT reason FROM dead_letter ORDER BY packet, reason").fetchall()
        events = connection.execute("SELECT kind FROM device_event ORDER BY kind").fetchall()
        readings = connection.execute(
            "SELECT signal, count(*) FROM reading JOIN series ON series.id = series_id GROUP BY 1 ORDER BY 1"
        ).fetchall()
    # Both of two equal messages are kept, since each has a number of its own at the broker.
    assert [row["reason"] for row in letters] == ["not_json", "not_json", "unknown_signal"]
    assert [row["kind"] for row in events] == ["connect", "error"]
    # A value without a time of its own is as new each time it comes: see docs/gateway.md.
    assert {row["signal"]: row["count"] for row in readings} == {"power": 1, "fan_speed": 2}


def test_a_letter_that_comes_again_before_the_first_is_stored_is_kept_once(database: Database) -> None:
    registry = Registry(PROFILES, DeviceLookUp(database, PROFILES), time.monotonic)
    acceptance = Acceptance(registry, choose("native"), Rules(tolerance=1, earliest=0), max_payload=99)
    writer = TelemetryWriter(database, utc_now)
    first = Message("elsewhere", b"x", 1, 1_800_000_000_000_000, 1, 5)
    again = first._replace(received=first.received + 10, epoch=2, again=True)
    other = first._replace(received=first.received + 20, epoch=2, mid=6, again=True)
    for _ in range(2):  # As when the connection ends while the commit is under way: did it arrive?
        writer.store(acceptance.accept([first, again, other]))
    with database.transaction() as connection:
        rows = connection.execute("SELECT packet FROM dead_letter ORDER BY packet").fetchall()
    assert [row["packet"] for row in rows] == [5, 6]
