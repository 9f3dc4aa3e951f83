"""Helpers of tests about the gateway: the gateway as a process, and a device that publishes."""

import os
import subprocess
import sys
import time
from types import TracebackType
from typing import Self

import psycopg
from paho.mqtt.client import Client, MQTTMessageInfo
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.services import ROOT, Command
from tests.conftest import wait_for

NOW_MS = time.time_ns() // 1_000_000 - 60_000


def count(connection: psycopg.Connection[tuple[object, ...]], table: str, where: str = "true") -> int:
    row = connection.execute(f"SELECT count(*) FROM {table} WHERE {where}".encode()).fetchone()
    assert row
    assert isinstance(row[0], int)
    return row[0]


def environment(database_url: str, **settings: str) -> dict[str, str]:
    """The environment of a command that runs on a database of a test."""
    return os.environ | {"FOREWARN_DATABASE_URL": database_url, "FOREWARN_LOG_FORMAT": "text", **settings}


def run(database_url: str, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Runs `forewarn` with `arguments` on a database of a test."""
    command = [sys.executable, "-c", "from cli.main import main; main()", *arguments]
    env = environment(database_url, **settings)
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)


class GatewayProcess(Command):
    """`forewarn gateway` on a database of a test; its log is shown when the test fails."""

    def __init__(self, database_url: str, port: int, *arguments: str, **settings: str) -> None:
        own = {"FOREWARN_DATABASE_URL": database_url, "FOREWARN_MQTT_PORT": str(port)}
        super().__init__("gateway", *arguments, **own | settings)

    def start(self, *, connected: bool = True) -> None:
        """Starts it; returns when it is subscribed."""
        super().start()
        if connected:
            wait_for(lambda: self.said("subscribed"), what="the gateway is subscribed")

    def __enter__(self) -> Self:
        if not self.started:
            self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        print(self.log())
        self.end()


class Publisher:
    """A device's MQTT client."""

    def __init__(self, port: int, username: str = "", password: str = "") -> None:
        self._port = port
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.max_inflight_messages_set(1000)
        if username:
            self._client.username_pw_set(username, password)

    def __enter__(self) -> Self:
        self._client.connect("127.0.0.1", self._port)
        self._client.loop_start()
        wait_for(self._client.is_connected, what="the publisher is connected")
        return self

    def send(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> MQTTMessageInfo:
        """Publishes; does not wait."""
        return self._client.publish(topic, payload, qos, retain)

    def publish(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> None:
        """Publishes; returns when the broker has it."""
        self.send(topic, payload, qos=qos, retain=retain).wait_for_publish(20)

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()
