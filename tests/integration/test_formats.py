"""Devices that speak other formats, by clients that other people wrote, through broker and gateway to the database."""

import json
import time
from pathlib import Path

import psycopg
import pytest
from kpn_senml import SenmlPack, SenmlRecord, SenmlUnits

from core.database import Database
from device_gateway.decoders.sparkplug_wire import PAYLOAD
from telemetry.store import DeviceStore
from tests.clients import SparkplugNode
from tests.conftest import Mosquitto, wait_for
from tests.gateways import GatewayProcess, Publisher, count, run

Reading = tuple[str, str, float]


@pytest.fixture
def server(request: pytest.FixtureRequest) -> object:
    """What comes off the wire is the same for both databases: one is enough here."""
    return request.getfixturevalue("timescaledb")


def readings(url: str) -> set[Reading]:
    """Device, signal and value of each reading."""
    query = """SELECT device.name, signal, round(value::numeric, 6)::float8 FROM reading
               JOIN series ON series.id = series_id JOIN device ON device.id = device_id"""
    with psycopg.connect(url) as connection:
        return {(str(d), str(s), float(v)) for d, s, v in connection.execute(query)}


def column(url: str, query: str) -> list[object]:
    with psycopg.connect(url) as connection:
        return [row[0] for row in connection.execute(query.encode())]


def reasons(url: str) -> list[object]:
    return column(url, "SELECT reason FROM dead_letter ORDER BY id")


def test_senml_of_a_client_is_stored_in_the_units_of_the_profile(
    database: Database, database_url: str, mosquitto: Mosquitto
) -> None:
    DeviceStore(database).register(name="f1", profile="fridge")
    now = int(time.time()) - 100
    pack = SenmlPack("f1:")
    pack.base_time = now
    pack.add(SenmlRecord("cabinet_temp", unit=SenmlUnits.SENML_UNIT_DEGREES_CELSIUS, value=4.5))
    pack.add(SenmlRecord("freezer_temp", unit=SenmlUnits.SENML_UNIT_KELVIN, value=255.15, time=now + 10))
    pack.add(SenmlRecord("power", unit=SenmlUnits.SENML_UNIT_WATT, value=80, time=now + 10))
    late = SenmlPack("urn:dev:ow:10e2073a01080063:")
    late.base_time = now
    late.add(SenmlRecord("fan_speed", unit="1/s", value=20.0))
    late.add(SenmlRecord("door_open", unit="K", value=1.0))
    with (
        GatewayProcess(database_url, mosquitto.port, FOREWARN_FORMATS="native,senml_json,senml_cbor"),
        Publisher(mosquitto.port) as device,
    ):
        device.publish("senml/f1/json", pack.to_json().encode())
        device.publish("senml/f1/json", pack.to_json().encode())
        device.publish("senml/f1/cbor", late.to_cbor())
        device.publish("forewarn/v1/f1/telemetry", b'{"defrost_power": 3}')
        expected = {
            ("f1", "cabinet_temp", 4.5),
            ("f1", "freezer_temp", -18.0),
            ("f1", "power", 80.0),
            ("f1", "fan_speed", 1200.0),
            ("f1", "defrost_power", 3.0),
        }
        wait_for(lambda: readings(database_url) == expected, what=f"{expected}")
        assert reasons(database_url) == ["bad_unit"]
        times = column(database_url, "SELECT extract(epoch FROM time)::int FROM reading ORDER BY time LIMIT 4")
        assert times == [now, now, now + 10, now + 10]


def test_a_sparkplug_node_of_a_client_is_asked_for_a_rebirth_and_its_aliases_are_read(
    database: Database, database_url: str, mosquitto: Mosquitto
) -> None:
    DeviceStore(database).register(name="plant:edge1:f1", profile="fridge")
    device = "plant:edge1:f1"

    def has(*expected: tuple[str, float]) -> None:
        wanted = {(device, signal, value) for signal, value in expected}
        wait_for(lambda: wanted <= readings(database_url), what=str(wanted))

    def status() -> object:
        return column(database_url, "SELECT status FROM device")[0]

    # Births give a value of now. Values said to be measured seconds apart never share their millisecond with one, as two
    # values of a signal at one time would be one reading.
    with SparkplugNode(mosquitto.port) as node:
        assert node.says() == "born"
        with GatewayProcess(database_url, mosquitto.port, FOREWARN_FORMATS="sparkplug_b"):
            # The gateway missed the births: it does not know the alias, and asks.
            node.tell("data 10 Float 5.5 0")
            assert node.says() == "reborn"
            has(("cabinet_temp", 4.5), ("freezer_temp", -18))
            node.tell("data 11 Int16 -19 0")
            node.tell("data 10 Float 6.5 60000")
            node.tell("data 10 Float 7.5 61000 DEFLATE")
            node.tell("data 10 Float 8.5 62000 GZIP")
            has(("freezer_temp", -19), ("cabinet_temp", 6.5), ("cabinet_temp", 7.5), ("cabinet_temp", 8.5))
            wait_for(lambda: status() == "online", what="online")
            assert reasons(database_url) == ["no_birth"]
            assert column(database_url, "SELECT firmware FROM device") == ["2.1.0"]
            node.tell("death")
            wait_for(lambda: status() == "offline", what="offline after its death")
        # A node whose birth was a long time ago lost a message.
        with GatewayProcess(database_url, mosquitto.port, FOREWARN_FORMATS="sparkplug_b"):
            node.tell("data 10 Float 9.5 0")
            assert node.says() == "reborn"
            node.tell("data 10 Float 10.5 63000")
            has(("cabinet_temp", 10.5))
            node.tell("lose")
            node.tell("data 10 Float 11.5 64000")
            assert node.says() == "reborn"
            node.tell("data 10 Float 12.5 65000")
            has(("cabinet_temp", 12.5))
            assert (device, "cabinet_temp", 11.5) not in readings(database_url)
            node.tell("stop")
            wait_for(lambda: status() == "offline", what="offline after the node's death")


def test_a_dead_letter_of_an_alias_can_be_replayed_without_its_birth(
    database: Database, database_url: str, mosquitto: Mosquitto
) -> None:
    with GatewayProcess(database_url, mosquitto.port, FOREWARN_FORMATS="sparkplug_b"):
        with SparkplugNode(mosquitto.port) as node:
            assert node.says() == "born"
            node.tell("data 11 Int16 -19 5")
            wait_for(lambda: reasons(database_url) == ["unknown_device"] * 2, what="two dead letters")
    DeviceStore(database).register(name="plant:edge1:f1", profile="fridge")
    column(database_url, "DELETE FROM dead_letter WHERE id = (SELECT min(id) FROM dead_letter) RETURNING id")
    # As one is kept at which the decoder failed, when nothing was known of it yet.
    bare = PAYLOAD(timestamp=1_780_000_000_000, seq=2)
    bare.metrics.add(alias=10, float_value=4.5)
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "INSERT INTO dead_letter (received_at, topic, payload, payload_bytes, reason, detail)"
            " VALUES (now(), 'spBv1.0/plant/DDATA/edge1/f1', %s, %s, 'decoder_failed', '')",
            (bare.SerializeToString(), bare.ByteSize()),
        )
    # The gateway's setting is the command's too.
    done = run(database_url, "dead-letters", "replay", "--all", FOREWARN_FORMATS="sparkplug_b")
    assert done.stdout == "1 stored, 1 are still dead letters\n"
    assert done.stderr == "1 no_birth: what alias 10 means, the birth before it would have told\n"
    assert reasons(database_url) == ["decoder_failed"]
    assert readings(database_url) == {("plant:edge1:f1", "freezer_temp", -19.0)}


def test_tasmota_and_zigbee2mqtt_devices_are_mapped_by_the_columns_of_a_profile(
    database: Database, database_url: str, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    folder = tmp_path / "profiles"
    folder.mkdir()
    (folder / "smart_fridge.yaml").write_text(
        """
profile: smart_fridge
title: Fridge with a bought sensor
tick: 30min
silence_after: 6h
unknown_signals: keep
signals:
  cabinet_temp: {title: Cabinet, unit: Cel, range: [-20, 60], interval: 10min}
  power: {title: Power, unit: W, range: [0, 1000], interval: 10min}
components:
  compressor: {title: Compressor}
columns:
  am2301_temperature: cabinet_temp
  temperature: {signal: cabinet_temp, factor: 0.1}
""",
        encoding="utf-8",
    )
    store = DeviceStore(database)
    for name in ("t1", "z1"):
        store.register(name=name, profile="smart_fridge")
    with (
        GatewayProcess(
            database_url,
            mosquitto.port,
            FOREWARN_FORMATS="tasmota, zigbee2mqtt",
            FOREWARN_PROFILE_DIR=str(folder),
        ),
        Publisher(mosquitto.port) as device,
    ):
        sensor = {"Time": "2026-05-01T12:00:00", "AM2301": {"Temperature": 4.1, "Humidity": 55}, "TempUnit": "C"}
        device.publish("tele/t1/LWT", b"Online", retain=True)
        device.publish("tele/t1/SENSOR", json.dumps(sensor).encode())
        device.publish("tele/t1/INFO1", b'{"Info1": {"Module": "Generic", "Version": "14.2.0(tasmota)"}}')
        device.publish("zigbee2mqtt/z1", b'{"temperature": 52, "power": 80, "linkquality": 120, "state": "ON"}')
        device.publish("zigbee2mqtt/z1/availability", b'{"state": "offline"}', retain=True)
        expected = {
            ("t1", "cabinet_temp", 4.1),
            ("t1", "am2301_humidity", 55.0),
            ("z1", "cabinet_temp", 5.2),
            ("z1", "power", 80.0),
            ("z1", "linkquality", 120.0),
            ("z1", "state", 1.0),
        }
        wait_for(lambda: readings(database_url) == expected, what=str(expected))
        states = "SELECT name || ' ' || status || ' ' || firmware FROM device ORDER BY name"
        wait_for(
            lambda: column(database_url, states) == ["t1 online 14.2.0(tasmota)", "z1 offline "],
            what="status, firmware",
        )
    with psycopg.connect(database_url) as connection:
        assert count(connection, "dead_letter") == 0


def test_sparkplug_is_not_shared_among_gateways(database_url: str, mosquitto: Mosquitto) -> None:
    settings = {"FOREWARN_FORMATS": "sparkplug_b", "FOREWARN_MQTT_SHARE": "g"}
    done = run(database_url, "gateway", **settings, FOREWARN_MQTT_PORT=str(mosquitto.port))
    assert done.returncode != 0
    assert "cannot be shared among processes" in done.stderr
