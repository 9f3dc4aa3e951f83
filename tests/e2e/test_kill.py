"""Nothing is lost and nothing doubled when the gateway, the database or the broker goes away in the middle."""

import json
import signal
import subprocess
import threading
import uuid
from collections.abc import Iterator
from functools import partial

import psycopg
import pytest

from cli.embedded import free_port
from core.database import Database
from migrations.runner import migrate
from telemetry.store import DeviceStore
from tests.conftest import SERVICES, Mosquitto, Server, missing, wait_for
from tests.gateways import NOW_MS, GatewayProcess, Publisher, count


class OwnTimescale:
    """A TimescaleDB of the test's own, which may be stopped and started."""

    def __init__(self) -> None:
        self._folder = f"test-{uuid.uuid4().hex[:8]}"
        self._port = free_port()
        self.url = f"postgresql://postgres@127.0.0.1:{self._port}/postgres"

    def start(self) -> None:
        subprocess.run([SERVICES / "timescaledb.sh", "start", self._folder, str(self._port)], check=True)

    def stop(self) -> None:
        subprocess.run([SERVICES / "timescaledb.sh", "stop", self._folder, "immediate"], check=True)

    def remove(self) -> None:
        subprocess.run([SERVICES / "timescaledb.sh", "remove", self._folder], check=True)


@pytest.fixture
def own_timescale() -> Iterator[OwnTimescale]:
    script = SERVICES / "timescaledb.sh"
    check = subprocess.run([script, "check"], capture_output=True, text=True, check=False)
    if check.returncode:
        missing("TimescaleDB", check.stdout.strip())
    server = OwnTimescale()
    server.start()
    try:
        migrate(server.url, timescaledb=True)
        yield server
    finally:
        server.remove()


SIGNALS = ("cabinet_temp", "freezer_temp", "evaporator_temp", "condenser_temp", "ambient_temp")
DEVICES = 50


def publish(publisher: Publisher, first: int, end: int) -> None:
    """Publishes messages `first` to `end`, 5 values each, no two with the same series and time."""
    last = None
    for n in range(first, end):
        values = {s: n + at / 10 for at, s in enumerate(SIGNALS)}
        payload = json.dumps({"ts": NOW_MS - 86_400_000 + n, "values": values}).encode()
        last = publisher.send(f"forewarn/v1/d{n % DEVICES}/telemetry", payload)
        if n % 2000 == 1999:
            last.wait_for_publish(30)
    assert last
    last.wait_for_publish(30)


def register(url: str) -> None:
    with Database(url) as database:
        for n in range(DEVICES):
            DeviceStore(database).register(name=f"d{n}", profile="fridge")


def stored(c: psycopg.Connection[tuple[object, ...]]) -> int:
    """How many readings are stored, as the batches tell it; counting them would slow the gateway down."""
    row = c.execute("SELECT coalesce(sum(readings), 0)::integer FROM batch").fetchone()
    assert row
    assert isinstance(row[0], int)
    return row[0]


def at_least(c: psycopg.Connection[tuple[object, ...]], readings: int) -> bool:
    return stored(c) >= readings


def assert_all_is_stored(c: psycopg.Connection[tuple[object, ...]], messages: int) -> None:
    wait_for(lambda: stored(c) >= 5 * messages, within=60, what="all readings are stored")
    row = c.execute("SELECT count(*), count(DISTINCT value) FROM reading").fetchone()
    assert row == (5 * messages, 5 * messages)
    assert stored(c) == 5 * messages, "detection is told of each reading once"
    assert count(c, "dead_letter") == 0


@pytest.mark.parametrize("server", ["timescaledb"], indirect=True)
def test_the_gateway_is_killed(server: Server, database_url: str, mosquitto: Mosquitto) -> None:
    messages = 50_000
    register(database_url)
    with GatewayProcess(database_url, mosquitto.port) as gateway, Publisher(mosquitto.port) as publisher:
        with psycopg.connect(database_url, autocommit=True) as c:
            stream = threading.Thread(target=publish, args=(publisher, 0, messages))
            stream.start()
            for part in range(1, 5):
                wait_for(partial(at_least, c, part * messages), within=60)
                assert gateway.stop(signal.SIGKILL) == -signal.SIGKILL
                assert stored(c) < 5 * messages, "it was killed in the middle"
                gateway.start()
            stream.join()
            assert_all_is_stored(c, messages)


def test_the_database_goes_away(own_timescale: OwnTimescale, mosquitto: Mosquitto) -> None:
    url, messages = own_timescale.url, 20_000
    register(url)
    with GatewayProcess(url, mosquitto.port) as gateway, Publisher(mosquitto.port) as publisher:
        publish(publisher, 0, messages // 2)
        own_timescale.stop()
        publish(publisher, messages // 2, messages)
        wait_for(lambda: gateway.said("the database is away"))
        own_timescale.start()
        with psycopg.connect(url, autocommit=True) as c:
            assert_all_is_stored(c, messages)
        assert gateway.said("the database is back")
        assert gateway.log().count("the database is away") == 1


@pytest.mark.parametrize("server", ["timescaledb"], indirect=True)
def test_the_broker_restarts(server: Server, database_url: str, mosquitto: Mosquitto) -> None:
    messages = 20_000
    register(database_url)
    with GatewayProcess(database_url, mosquitto.port) as gateway:
        with psycopg.connect(database_url, autocommit=True) as c:
            for part in range(2):
                with Publisher(mosquitto.port) as publisher:
                    publish(publisher, part * messages // 2, (part + 1) * messages // 2)
                mosquitto.stop()
                wait_for(lambda: gateway.said("the connection to the broker ended"))
                mosquitto.start()
            assert_all_is_stored(c, messages)
