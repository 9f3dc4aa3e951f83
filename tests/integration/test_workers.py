"""`forewarn gateway --workers N`, `--retire`, and groups of gateways, against real brokers."""

import json
import signal
import urllib.request
from pathlib import Path

import psutil
import psycopg
import pytest

from benchmarks.services import ROOT
from cli.embedded import EmbeddedBroker, free_port
from core.database import Database
from telemetry.store import DeviceStore
from tests.conftest import Mosquitto, Server, wait_for
from tests.gateways import NOW_MS, GatewayProcess, Publisher, count, run

pytestmark = pytest.mark.parametrize("server", ["postgresql"], indirect=True)


def register(url: str) -> None:
    with Database(url) as database:
        for n in range(10):
            DeviceStore(database).register(name=f"d{n}", profile="fridge")


def publish(publisher: Publisher, first: int, end: int) -> None:
    last = None
    for n in range(first, end):
        payload = json.dumps({"ts": NOW_MS - 86_400_000 + n, "values": {"cabinet_temp": n / 1000}}).encode()
        last = publisher.send(f"forewarn/v1/d{n % 10}/telemetry", payload)
    assert last
    last.wait_for_publish(30)


def stored(url: str) -> int:
    with psycopg.connect(url) as c:
        return count(c, "reading")


def pid_of_a_worker(gateway: GatewayProcess) -> int:
    pids: list[int] = wait_for(lambda: [p.pid for p in psutil.Process(gateway.pid).children()], what="a worker runs")
    return pids[0]


def test_workers_store_and_a_dead_one_costs_nothing(database_url: str, mosquitto: Mosquitto, server: Server) -> None:
    register(database_url)
    port = free_port()
    with GatewayProcess(database_url, mosquitto.port, "--workers", "2", FOREWARN_METRICS_PORT=str(port)) as gateway:
        with Publisher(mosquitto.port) as publisher:
            publish(publisher, 0, 3000)
            psutil.Process(pid_of_a_worker(gateway)).kill()
            publish(publisher, 3000, 6000)
            publisher.publish("forewarn/v1/stranger/telemetry", b"{}")
        wait_for(lambda: stored(database_url) == 6000, what="all is stored")
        wait_for(lambda: gateway.said("a worker died; starting it again"))
        # The parent shows the metrics of all.
        wait_for(
            lambda: (
                'forewarn_dead_letters_total{reason="unknown_device"} 1.0'
                in urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
            ),
            what="the dead letter is counted",
        )
        assert gateway.stop() == 0
        assert not [p for p in psutil.Process().children(recursive=True) if "--worker" in p.cmdline()]


BUG = """
from telemetry.store import writer

rows_of = writer.rows_of

def broken(readings):
    if 13.0 in readings.value:
        raise OverflowError("13 is too much")
    return rows_of(readings)

writer.rows_of = broken
"""


def test_a_message_that_a_worker_fails_at_costs_neither_the_worker_nor_another_message(
    database_url: str, mosquitto: Mosquitto, server: Server, tmp_path: Path
) -> None:
    register(database_url)
    # Python runs this when it starts, so each worker has the bug.
    (tmp_path / "sitecustomize.py").write_text(BUG)
    with (
        GatewayProcess(database_url, mosquitto.port, "--workers", "2", PYTHONPATH=f"{tmp_path}:{ROOT}") as gateway,
        Publisher(mosquitto.port) as publisher,
    ):
        publish(publisher, 12_900, 13_100)
        with psycopg.connect(database_url, autocommit=True) as c:
            wait_for(lambda: stored(database_url) == 199 and count(c, "dead_letter"), what="all is stored")
            found = c.execute("SELECT topic, reason FROM dead_letter").fetchall()
        assert found == [("forewarn/v1/d0/telemetry", "gateway_failed")]
        assert not gateway.said("a worker died")
        assert gateway.stop() == 0
        # What is acknowledged does not come again.
        gateway.start()
        publish(publisher, 13_100, 13_101)
        wait_for(lambda: stored(database_url) == 200, what="what comes next is stored")
        with psycopg.connect(database_url) as c:
            assert count(c, "dead_letter") == 1


def test_workers_end_with_a_parent_that_is_killed(database_url: str, mosquitto: Mosquitto, server: Server) -> None:
    register(database_url)
    with GatewayProcess(database_url, mosquitto.port, "--workers", "2") as gateway:
        worker = psutil.Process(pid_of_a_worker(gateway))
        gateway.stop(signal.SIGKILL)
        wait_for(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE, what="the worker ends")
        with Publisher(mosquitto.port) as publisher:
            publish(publisher, 0, 100)
        gateway.start()
        wait_for(lambda: stored(database_url) == 100, what="what came meanwhile is stored")


def test_workers_need_no_shared_subscriptions(database_url: str, tmp_path: Path, server: Server) -> None:
    register(database_url)
    user = {"FOREWARN_MQTT_USERNAME": "gateway", "FOREWARN_MQTT_PASSWORD": "g", "FOREWARN_MQTT_VERSION": "3.1.1"}
    with EmbeddedBroker(tmp_path, port=0, gateway_password="g", fleet_password="f") as broker:
        with GatewayProcess(database_url, broker.port, "--workers", "2", **user):
            with Publisher(broker.port, "fleet", "f") as publisher:
                publish(publisher, 0, 500)
            wait_for(lambda: stored(database_url) == 500, what="all is stored")
        group = user | {"FOREWARN_MQTT_SHARE": "group", "FOREWARN_MQTT_PORT": str(broker.port)}
        refused = run(database_url, "gateway", **group)
        assert refused.returncode == 1
        assert "shared subscriptions came with MQTT 5" in refused.stderr
        refused = run(database_url, "gateway", **(group | {"FOREWARN_MQTT_VERSION": "5"}))
        assert refused.returncode == 1
        assert "no MQTT 5 and so no shared subscriptions" in refused.stderr


def test_a_retired_gateway_leaves_nothing_at_the_broker(
    database_url: str, mosquitto: Mosquitto, server: Server
) -> None:
    register(database_url)
    group = {"FOREWARN_MQTT_SHARE": "forewarn"}
    with (
        GatewayProcess(database_url, mosquitto.port, FOREWARN_MQTT_CLIENT_ID="a", **group) as stays,
        GatewayProcess(database_url, mosquitto.port, FOREWARN_MQTT_CLIENT_ID="b", **group) as goes,
        Publisher(mosquitto.port) as publisher,
    ):
        goes.stop()
        # The broker goes on dealing to the session of the one that is gone.
        publish(publisher, 0, 100)
        wait_for(lambda: stored(database_url) >= 50)
        assert stored(database_url) < 100
        settings = group | {"FOREWARN_MQTT_CLIENT_ID": "b", "FOREWARN_MQTT_PORT": str(mosquitto.port)}
        assert run(database_url, "gateway", "--retire", **settings).returncode == 0
        assert stored(database_url) == 100
        publish(publisher, 100, 200)
        wait_for(lambda: stored(database_url) == 200, what="the other one gets everything now")
        assert stays.said("subscribed")


def test_a_session_that_changes_groups_gets_no_message_twice(
    database_url: str, mosquitto: Mosquitto, server: Server
) -> None:
    register(database_url)
    port = free_port()
    with Publisher(mosquitto.port) as publisher:
        for at, share in enumerate(("forewarn", "", "forewarn")):
            settings = {"FOREWARN_MQTT_SHARE": share, "FOREWARN_METRICS_PORT": str(port)}
            with GatewayProcess(database_url, mosquitto.port, **settings):
                # Answered after the former subscription is gone, so that nothing comes by both.
                publish(publisher, 100 * at, 100 * at + 50)
                wait_for(lambda n=at: stored(database_url) >= 100 * n // 2 + 50)  # type: ignore[misc]
                shown = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
                assert "forewarn_duplicates_total 0.0" in shown
