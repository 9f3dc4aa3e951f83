"""The shipped access rules of the broker: a device can only speak for itself."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from device_gateway.formats import choose
from tests.conftest import Mosquitto, missing, wait_for

DEPLOY = Path(__file__).parents[2] / "deploy" / "mosquitto"


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Mosquitto]:
    """Mosquitto with the shipped access list and some users."""
    if not shutil.which("mosquitto_passwd"):
        missing("Mosquitto", "no `mosquitto_passwd` on PATH: run tests/services/install.sh as root")
    passwords = tmp_path / "passwords"
    passwords.touch(mode=0o600)
    for user in ("gateway", "fridge-1", "fridge-2", "zigbee2mqtt"):
        subprocess.run(["mosquitto_passwd", "-b", passwords, user, f"{user}-password"], check=True)
    folder = tmp_path / "broker"
    folder.mkdir()
    broker = Mosquitto(folder)
    config = (folder / "mosquitto.conf").read_text().replace("allow_anonymous true", "allow_anonymous false")
    acl = tmp_path / "acl"
    acl.write_text((DEPLOY / "acl").read_text())
    (folder / "mosquitto.conf").write_text(f"{config}password_file {passwords}\nacl_file {acl}\n")
    broker.start()
    yield broker
    broker.stop()


class Peer:
    """A client that notes what it gets and how its publishing was answered."""

    def __init__(self, port: int, user: str, password: str) -> None:
        self.got: list[str] = []
        self.answers: dict[int, ReasonCode] = {}
        self.connected: ReasonCode | None = None
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=user, protocol=mqtt.MQTTv5)
        self.client.username_pw_set(user, password)
        self.client.on_connect = self._connected
        self.client.on_message = lambda _c, _u, message: self.got.append(message.topic)
        self.client.on_publish = self._answered
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        wait_for(lambda: self.connected is not None, what="an answer to CONNECT")

    def _connected(self, _c: mqtt.Client, _u: object, _f: object, code: ReasonCode, _p: Properties | None) -> None:
        self.connected = code

    def _answered(self, _c: mqtt.Client, _u: object, mid: int, code: ReasonCode, _p: Properties | None) -> None:
        self.answers[mid] = code

    def publish(self, topic: str) -> str:
        mid = self.client.publish(topic, b"{}", qos=1).mid
        wait_for(lambda: mid in self.answers, what="PUBACK")
        return str(self.answers[mid])

    def subscribe(self, *topics: str) -> None:
        """Subscribes and waits for the broker's answer."""
        answered: list[object] = []
        self.client.on_subscribe = lambda *answer: answered.append(answer)
        self.client.subscribe([(topic, 1) for topic in topics])
        wait_for(lambda: answered, what="SUBACK")

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def test_a_device_can_only_speak_for_itself(guarded: Mosquitto) -> None:
    gateway = Peer(guarded.port, "gateway", "gateway-password")
    gateway.subscribe("forewarn/v1/#")
    device = Peer(guarded.port, "fridge-1", "fridge-1-password")
    for kind in ("telemetry", "events", "status", "results"):
        assert device.publish(f"forewarn/v1/fridge-1/{kind}") == "Success"
        assert device.publish(f"forewarn/v1/fridge-2/{kind}") == "Not authorized"
    assert device.publish("forewarn/v1/fridge-1/commands") == "Not authorized"
    assert device.publish("elsewhere") == "Not authorized"
    wait_for(lambda: len(set(gateway.got)) == 4, what="the gateway gets what was allowed")
    assert {topic.split("/")[2] for topic in gateway.got} == {"fridge-1"}
    device.close()
    gateway.close()


OWN = {
    "senml": ["senml/{}/json", "senml/{}/cbor"],
    "tasmota": ["tele/{}/SENSOR", "tele/{}/LWT", "tele/{}/INFO1"],
    "sparkplug_b": [
        *(f"spBv1.0/plant/{kind}/{{}}" for kind in ("NBIRTH", "NDATA", "NDEATH")),
        *(f"spBv1.0/plant/{kind}/{{}}/pump" for kind in ("DBIRTH", "DDATA", "DDEATH")),
    ],
}


@pytest.mark.parametrize("name", list(OWN))
def test_a_device_of_another_format_can_only_speak_for_itself(guarded: Mosquitto, name: str) -> None:
    gateway = Peer(guarded.port, "gateway", "gateway-password")
    gateway.subscribe(*choose("senml_json, senml_cbor, tasmota, sparkplug_b").filters)
    device = Peer(guarded.port, "fridge-1", "fridge-1-password")
    for topic in OWN[name]:
        assert device.publish(topic.format("fridge-1")) == "Success"
        assert device.publish(topic.format("fridge-2")) == "Not authorized"
        assert device.publish(topic.format("fridge-1") + "/more") == "Not authorized"
    wait_for(lambda: len(gateway.got) == len(OWN[name]), what="the gateway gets what was allowed")
    assert gateway.got == [topic.format("fridge-1") for topic in OWN[name]]
    device.close()
    gateway.close()


def test_what_the_rules_name_is_what_the_formats_read() -> None:
    tested = {topic.format("f1") for topics in OWN.values() for topic in topics}
    formats = choose("senml_json, senml_cbor, tasmota, sparkplug_b")
    routes = {topic: formats.route(topic) for topic in tested}
    assert [topic for topic, route in routes.items() if route is None or not route.source.device] == []


def test_only_its_bridge_speaks_for_zigbee_devices(guarded: Mosquitto) -> None:
    gateway = Peer(guarded.port, "gateway", "gateway-password")
    gateway.subscribe(*choose("zigbee2mqtt").filters)
    device = Peer(guarded.port, "fridge-1", "fridge-1-password")
    assert device.publish("zigbee2mqtt/fridge-1") == "Not authorized"
    bridge = Peer(guarded.port, "zigbee2mqtt", "zigbee2mqtt-password")
    assert bridge.publish("zigbee2mqtt/fridge-1") == "Success"
    assert bridge.publish("forewarn/v1/fridge-1/telemetry") == "Not authorized"
    wait_for(lambda: gateway.got, what="the gateway gets what the bridge said")
    assert gateway.got == ["zigbee2mqtt/fridge-1"]
    for peer in (gateway, device, bridge):
        peer.close()


def test_a_sparkplug_node_is_asked_by_the_gateway_alone(guarded: Mosquitto) -> None:
    gateway = Peer(guarded.port, "gateway", "gateway-password")
    node = Peer(guarded.port, "fridge-1", "fridge-1-password")
    other = Peer(guarded.port, "fridge-2", "fridge-2-password")
    node.subscribe("spBv1.0/#", "spBv1.0/plant/NCMD/fridge-1")
    assert other.publish("spBv1.0/plant/NCMD/fridge-1") == "Not authorized"
    assert gateway.publish("spBv1.0/plant/NDATA/fridge-1") == "Not authorized"
    assert gateway.publish("spBv1.0/plant/NCMD/fridge-2") == "Success"
    assert gateway.publish("spBv1.0/plant/NCMD/fridge-1") == "Success"
    wait_for(lambda: node.got, what="the node gets the gateway's request")
    assert set(node.got) == {"spBv1.0/plant/NCMD/fridge-1"}
    for peer in (gateway, node, other):
        peer.close()


def test_a_device_cannot_listen_to_others(guarded: Mosquitto) -> None:
    gateway = Peer(guarded.port, "gateway", "gateway-password")
    device = Peer(guarded.port, "fridge-1", "fridge-1-password")
    device.subscribe("forewarn/v1/#", "forewarn/v1/fridge-1/commands")
    gateway.publish("forewarn/v1/fridge-2/telemetry")
    gateway.publish("forewarn/v1/fridge-2/commands")
    gateway.publish("forewarn/v1/fridge-1/commands")
    wait_for(lambda: device.got, what="the device gets its command")
    assert set(device.got) == {"forewarn/v1/fridge-1/commands"}
    device.close()
    gateway.close()


def test_without_credentials_nobody_gets_in(guarded: Mosquitto) -> None:
    peer = Peer(guarded.port, "fridge-1", "wrong")
    assert str(peer.connected) == "Not authorized"
    peer.close()
