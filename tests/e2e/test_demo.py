"""`forewarn demo` as a new user runs it: tickets and mails for failing devices only, a clean end, a second run."""

import csv
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import psutil

from cli.embedded import free_port
from tests.conftest import wait_for

ROOT = Path(__file__).parents[2]
TOKEN = "demo-token"


class Demo:
    """One run of the demo with a small fleet."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self._output = (folder / "output").open("wb")
        environment = os.environ | {
            "FOREWARN_DATA_DIR": str(folder),
            "FOREWARN_HTTP_PORT": str(self._port),
            "FOREWARN_MQTT_PORT": str(free_port()),
            "FOREWARN_ADMIN_TOKEN": TOKEN,
        }
        command = [sys.executable, "-m", "cli", "demo", "--devices", "16", "--failing", "5", "--seed", "3"]
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=self._output, stderr=subprocess.STDOUT, start_new_session=True
        )
        self.family: set[psutil.Process] = set()

    def get(self, path: str) -> Any:
        """The JSON behind a path, or None while nothing listens."""
        assert self._process.poll() is None, self.output()
        me = psutil.Process(self._process.pid)
        self.family |= {me, *me.children(recursive=True)}
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._port}{path}", headers={"Authorization": f"Bearer {TOKEN}"}
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 — an address of our own
                return json.load(answer)
        except urllib.error.URLError:
            return None

    def items(self, path: str) -> list[dict[str, Any]]:
        found = self.get(path)
        items: list[dict[str, Any]] = found["items"] if found else []
        return items

    def failing(self) -> dict[str, str]:
        """Failure mode by device, from the simulator's ground truth."""
        with (self._folder / "demo" / "truth.csv").open() as file:
            return {row["device"]: row["failure_mode"] for row in csv.DictReader(file)}

    def output(self) -> str:
        return (self._folder / "output").read_text()

    def stop(self) -> int:
        self._process.send_signal(signal.SIGINT)
        code = self._process.wait(40)
        self._output.close()
        return code


def test_the_demo_warns_of_failing_devices_alone_ends_cleanly_and_runs_again(tmp_path: Path) -> None:
    for _ in range(2):
        demo = Demo(tmp_path)
        wait_for(
            lambda d=demo: [n for n in d.items("/api/v1/notices") if n["state"] == "sent"],  # type: ignore[misc]
            within=120,
            what="a mail is sent",
        )
        failing = demo.failing()
        tickets = demo.items("/api/v1/tickets")
        assert tickets
        for ticket in tickets:
            assert failing[ticket["device"]] == ticket["failure_mode"]
        assert {n["device"] for n in demo.items("/api/v1/notices")} <= set(failing)
        assert demo.stop() == 0, demo.output()
        assert demo.output().rstrip().endswith("stopped")
        assert f"sign in with the token {TOKEN}" in demo.output()
        assert not psutil.wait_procs(demo.family, timeout=5)[1]


def test_a_taken_port_is_named_with_its_setting(tmp_path: Path) -> None:

    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        environment = os.environ | {
            "FOREWARN_DATA_DIR": str(tmp_path),
            "FOREWARN_HTTP_PORT": str(s.getsockname()[1]),
        }
        done = subprocess.run(
            [sys.executable, "-m", "cli", "demo"],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert "cannot be used (Address already in use); set FOREWARN_HTTP_PORT" in done.stderr
    assert "Traceback" not in done.stderr
