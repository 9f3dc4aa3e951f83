"""Publishes over MQTT at QoS 1 and keeps what is under way bounded, however far away the broker is.

One connection may speak for a whole fleet. MQTT has one last will for each connection, so a last will for each device
is not possible then: the feed publishes the retained `status` of a device itself when the device falls silent, and a
simulator that is killed leaves its devices `online`. Real devices have a connection each.
"""

import ssl
import threading
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode


class PublishFailed(Exception):
    """The broker did not take a message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """Where the broker is and how one signs in. `version` is 5 or 3.1.1; an empty `username` connects without one."""

    host: str = "127.0.0.1"
    port: int = 1883
    username: str = ""
    password: str = field(default="", repr=False)
    version: str = "5"
    tls: bool = False
    ca_file: Path | None = None


class Publisher:
    """Sends messages over `connections` connections; a device's messages stay in order on one of them.

    At the most `window` messages a connection wait for their acknowledgement, fewer if the broker says so; `send`
    blocks then. When the broker goes away paho connects again and sends what was not acknowledged once more. Without
    a sign of the broker for `patience` seconds, `send` and `flush` raise PublishFailed.
    """

    def __init__(self, broker: Broker, *, connections: int = 1, window: int = 200, patience: float = 300) -> None:
        self._links = [_Link(broker, window=window, patience=patience) for _ in range(connections)]

    def __enter__(self) -> Self:
        for at, link in enumerate(self._links):
            try:
                link.open()
            except PublishFailed:
                for opened in self._links[: at + 1]:
                    opened.close()
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.flush()
        finally:
            for link in self._links:
                link.close()

    @property
    def acknowledged(self) -> int:
        """Messages that the broker has acknowledged."""
        return sum(link.acknowledged for link in self._links)

    def send(self, topic: str, payload: bytes, *, lane: int = 0, retain: bool = False) -> None:
        """Hands one message over. Messages of the same `lane` arrive in order. Blocks while the window is full."""
        self._links[lane % len(self._links)].send(topic, payload, retain=retain)

    def flush(self) -> None:
        """Waits until everything sent is acknowledged."""
        for link in self._links:
            link.flush()


class _Link:
    """One connection."""

    def __init__(self, broker: Broker, *, window: int, patience: float) -> None:
        self._broker = broker
        self._window = window
        self._patience = patience
        self._changed = threading.Condition()
        self._connected = False
        self._refused = ""
        self._waiting = 0
        self.acknowledged = 0
        five = broker.version == "5"
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"forewarn-fleet-{uuid.uuid4().hex[:12]}",
            protocol=mqtt.MQTTv5 if five else mqtt.MQTTv311,
        )
        if broker.username:
            client.username_pw_set(broker.username, broker.password)
        if broker.tls:
            client.tls_set_context(ssl.create_default_context(cafile=broker.ca_file))
        client.max_inflight_messages_set(window)
        client.reconnect_delay_set(min_delay=1, max_delay=10)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        self._client = client

    def open(self) -> None:
        place = f"{self._broker.host}:{self._broker.port}"
        try:
            self._client.connect(self._broker.host, self._broker.port, keepalive=30)
        except OSError as error:
            raise PublishFailed(f"no broker at {place}: {error}") from error
        self._client.loop_start()
        with self._changed:
            if not self._changed.wait_for(lambda: self._connected or self._refused, timeout=15):
                raise PublishFailed(f"the broker at {place} does not answer as MQTT {self._broker.version}")
            self._raise_refused()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def send(self, topic: str, payload: bytes, *, retain: bool) -> None:
        with self._changed:
            self._wait(lambda: self._waiting < self._window)
            self._waiting += 1
        # Not under the lock: paho may call `_on_publish` of an earlier message while it takes this one.
        info = self._client.publish(topic, payload, qos=1, retain=retain)
        # Without a connection paho keeps the message and sends it after connecting again.
        if info.rc not in (MQTTErrorCode.MQTT_ERR_SUCCESS, MQTTErrorCode.MQTT_ERR_NO_CONN):
            raise PublishFailed(f"message to {topic} was not taken: {mqtt.error_string(info.rc)}")

    def flush(self) -> None:
        with self._changed:
            self._wait(lambda: self._waiting == 0)

    def _wait(self, ready: Any) -> None:
        """Waits, with the lock held, until `ready`; progress and connecting again each start the patience anew."""
        deadline, seen = time.monotonic() + self._patience, (self.acknowledged, self._connected)
        while not ready():
            self._raise_refused()
            if not self._changed.wait(timeout=max(0.0, deadline - time.monotonic())):
                state = "does not acknowledge" if self._connected else "is away"
                raise PublishFailed(f"the broker {state}: {self._waiting} messages wait since {self._patience:g} s")
            if seen != (self.acknowledged, self._connected):
                deadline, seen = time.monotonic() + self._patience, (self.acknowledged, self._connected)
        self._raise_refused()

    def _raise_refused(self) -> None:
        if self._refused:
            raise PublishFailed(self._refused)

    def _on_connect(self, _client: Any, _userdata: Any, _flags: Any, reason: Any, properties: Any) -> None:
        with self._changed:
            if reason.is_failure:
                self._refused = f"the broker refuses the connection: {reason}"
            else:
                self._connected = True
                # More than the broker's Receive Maximum under way would make it cut the connection.
                self._window = min(self._window, getattr(properties, "ReceiveMaximum", self._window))
            self._changed.notify_all()

    def _on_disconnect(self, *_: Any) -> None:
        with self._changed:
            self._connected = False
            self._changed.notify_all()

    def _on_publish(self, _client: Any, _userdata: Any, _mid: int, reason: Any, _properties: Any) -> None:
        with self._changed:
            self._waiting -= 1
            if reason.is_failure:
                self._refused = f"the broker refuses a message: {reason}"
            else:
                self.acknowledged += 1
            self._changed.notify_all()
