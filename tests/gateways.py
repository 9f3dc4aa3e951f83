"""Helpers of tests about the gateway: the gateway as a process, and a device that publishes."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import psycopg
from paho.mqtt.client import Client, MQTTMessageInfo
from paho.mqtt.enums import CallbackAPIVersion

from tests.conftest import wait_for

ROOT = Path(__file__).parent.parent
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


class GatewayProcess:
    """`forewarn gateway` as a process of its own; its log is shown when the test fails."""

    def __init__(self, database_url: str, port: int, *arguments: str, **settings: str) -> None:
        self._arguments = arguments
        self._environment = environment(database_url, FOREWARN_MQTT_PORT=str(port), **settings)
        self._process: subprocess.Popen[bytes] | None = None
        self._log_file: IO[bytes] | None = None

    def start(self, *, connected: bool = True) -> None:
        """Starts it; returns when it is subscribed."""
        if self._log_file:
            self._log_file.close()
        self._log_file = tempfile.TemporaryFile()  # noqa: SIM115 — open as long as the process
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from cli.main import main; main()", "gateway", *self._arguments],
            cwd=ROOT,
            env=self._environment,
            stderr=self._log_file,
        )
        if connected:
            wait_for(lambda: self.said("subscribed"), what="the gateway is subscribed")

    @property
    def pid(self) -> int:
        """The number of its process."""
        assert self._process
        return self._process.pid

    def log(self) -> str:
        """What it wrote since it was started."""
        assert self._log_file
        return os.pread(self._log_file.fileno(), 1 << 24, 0).decode()

    def said(self, words: str) -> bool:
        """Whether its log holds `words`; fails when it is not running."""
        assert self._process
        assert self._process.poll() is None, self.log()
        return words in self.log()

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Sends a signal and waits for the end; returns the exit code."""
        assert self._process
        self._process.send_signal(how)
        return self.wait()

    def wait(self) -> int:
        """Waits until it ends by itself; returns the exit code."""
        assert self._process
        return self._process.wait(30)

    def __enter__(self) -> Self:
        if self._process is None:
            self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process and self._process.poll() is None:
            self.stop()
        if self._log_file:
            print(self.log())
            self._log_file.close()


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
