"""The gateway as a process, between a real broker and a real database."""

import json

import psycopg
import pytest

from core.database import Database
from telemetry.store import DeviceStore
from tests.conftest import Mosquitto, wait_for
from tests.gateways import NOW_MS, GatewayProcess, Publisher, count


def reading(value: float, ts: int = NOW_MS) -> bytes:
    return json.dumps({"ts": ts, "values": {"cabinet_temp": value}}).encode()


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_a_published_reading_is_stored(
    database_url: str, database: Database, mosquitto: Mosquitto, version: str
) -> None:
    DeviceStore(database).register(name="f1", profile="fridge")
    with GatewayProcess(database_url, mosquitto.port, FOREWARN_MQTT_VERSION=version):
        with Publisher(mosquitto.port) as publisher:
            publisher.publish("forewarn/v1/f1/telemetry", reading(4.5))
        with psycopg.connect(database_url, autocommit=True) as c:
            wait_for(lambda: count(c, "reading"))
            row = c.execute("SELECT value, quality, time FROM reading").fetchone()
    assert row
    assert row[:2] == (4.5, 0)
    assert row[2].timestamp() * 1000 == NOW_MS
