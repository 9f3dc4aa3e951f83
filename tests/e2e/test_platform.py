"""The way from a recorded file to a finding, and from a simulated fleet to a mail, with each part as a process."""

import csv
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import psycopg

from cli.embedded import MailSink
from tests.conftest import Mosquitto, wait_for
from tests.gateways import count

ROOT = Path(__file__).parents[2]
START = datetime(2026, 1, 5, 10, tzinfo=UTC)
FAULT = slice(600, 1000)
"""Seconds in which the recorded pump's valve is closed."""


class Platform:
    """Commands of Forewarn on one database and broker."""

    def __init__(self, url: str, broker: Mosquitto, mailbox: MailSink, folder: Path) -> None:
        self.url = url
        self._folder = folder
        self._environment = os.environ | {
            "FOREWARN_DATABASE_URL": url,
            "FOREWARN_MQTT_PORT": str(broker.port),
            "FOREWARN_SMTP_PORT": str(mailbox.port),
            "FOREWARN_QUIET_HOURS": "",
            "FOREWARN_DETECTION_INTERVAL": "0.2s",
            "FOREWARN_ENGINE_INTERVAL": "0.2s",
            "FOREWARN_LOG_FORMAT": "text",
        }

    def run(self, *arguments: str) -> str:
        """Runs a command to its end; returns what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "cli", *arguments],
            cwd=ROOT,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    @contextmanager
    def running(self, *commands: str) -> Iterator[None]:
        """Runs commands until the block ends; each must then end by itself with code 0."""
        with ExitStack() as stack:
            for command in commands:
                stack.enter_context(self._running(command))
            yield

    @contextmanager
    def _running(self, command: str) -> Iterator[None]:
        log = self._folder / f"{command}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "cli", command], cwd=ROOT, env=self._environment, stdout=file, stderr=file
            )
            try:
                if command == "gateway":
                    # What is published before the first subscription, nobody keeps.
                    wait_for(lambda: "subscribed" in log.read_text(), what="the gateway is subscribed")
                yield
            finally:
                process.send_signal(signal.SIGTERM)
                code = process.wait(30)
                print(log.read_text())
        assert code == 0, command


def pump(file: Path) -> None:
    """A recorded water pump, a reading a second, whose valve is closed for a while. Named as in the pump's profile."""
    random = np.random.default_rng(4)
    seconds = 1150
    flow = 32 + random.normal(0, 0.3, seconds)
    flow[FAULT] -= np.minimum(np.arange(FAULT.stop - FAULT.start) / 10, 6)
    columns = {
        "accelerometer1_rms": 0.2 + random.normal(0, 0.002, seconds),
        "current": 2.2 + random.normal(0, 0.1, seconds),
        "pressure": 0.4 + random.normal(0, 0.2, seconds),
        "temperature": 90 + random.normal(0, 0.1, seconds),
        "flow_rate_rms": flow,
    }
    with file.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["device", "time", *columns])
        for at in range(seconds):
            time = (START + timedelta(seconds=at)).isoformat().replace("+00:00", "Z")
            writer.writerow(["rig-1", time, *[f"{column[at]:.5f}" for column in columns.values()]])


def test_a_recorded_file_is_stored_to_the_row_and_its_fault_found(
    database_url: str, mosquitto: Mosquitto, mailbox: MailSink, tmp_path: Path
) -> None:
    platform = Platform(database_url, mosquitto, mailbox, tmp_path)
    recorded = tmp_path / "pump.csv"
    pump(recorded)
    with platform.running("gateway", "detect"), psycopg.connect(database_url, autocommit=True) as c:
        printed = platform.run("replay", str(recorded), "--profile", "water_pump")
        assert "device rig-1 is registered with profile water_pump" in printed
        assert "5750 readings of 1 devices" in printed
        wait_for(lambda: count(c, "reading") == 5750, what="all readings are stored")
        finding = wait_for(
            lambda: c.execute(
                "SELECT failure_mode, opened_at, closed_at FROM finding WHERE closed_at > opened_at"
            ).fetchone(),
            what="the finding is closed",
        )
        row = c.execute(
            "SELECT min(value), max(value) FROM reading JOIN series ON id = series_id WHERE signal = 'flow'"
        )
        least, most = row.fetchone() or (0, 0)
    mode, opened, closed = finding
    assert mode == "flow_restriction"
    begin, end = (START + timedelta(seconds=at) for at in (FAULT.start, FAULT.stop))
    assert begin < opened < end < closed < end + timedelta(minutes=2)
    # The profile's factor brings litres a minute to litres a second.
    assert 0.4 < least < most < 0.6


def test_a_failing_refrigerator_gets_a_ticket_and_its_customer_a_mail(
    database_url: str, mosquitto: Mosquitto, mailbox: MailSink, tmp_path: Path
) -> None:
    platform = Platform(database_url, mosquitto, mailbox, tmp_path)
    out = str(tmp_path / "fleet")
    fleet = ["simulate", "--devices", "8", "--days", "30", "--failing", "4", "--seed", "3"]
    # The weather is that of a fixed time, so each run judges the same readings.
    fleet += ["--end", "2026-03-07", "--out", out]
    platform.run(*fleet, "--plan-only")
    platform.run("device", "import", f"{out}/devices.csv")
    with (tmp_path / "fleet" / "truth.csv").open() as file:
        truth = {row["device"]: (row["component"], row["failure_mode"]) for row in csv.DictReader(file)}
    with (tmp_path / "fleet" / "devices.csv").open() as file:
        emails = {row["device"]: row["email"] for row in csv.DictReader(file)}
    with platform.running("gateway", "detect"), psycopg.connect(database_url, autocommit=True) as c:
        platform.run(*fleet)
        wait_for(
            lambda: (
                (c.execute("SELECT xact::text::bigint FROM detection_cursor").fetchone() or (0,))[0]
                >= (c.execute("SELECT max(xact)::text::bigint FROM batch").fetchone() or (0,))[0]
            ),
            within=60,
            what="all is judged",
        )
        # A false alarm that is over by now opens no ticket; how many are seen while open would depend on the machine.
        with platform.running("engine"):
            wait_for(mailbox.messages, within=60, what="a mail arrives")
            wait_for(
                lambda: (
                    not count(c, "finding", "id NOT IN (SELECT finding_id FROM ticket_finding)")
                    and not count(c, "notice", "state IN ('due', 'sending')")
                ),
                what="all is triaged and sent",
            )
        tickets = c.execute(
            "SELECT d.name, t.component, t.failure_mode FROM ticket t JOIN device d ON d.id = t.device_id"
        ).fetchall()
    assert tickets
    assert all(truth[name] == (component, mode) for name, component, mode in tickets)
    assert len(tickets) == len({name for name, *_ in tickets}), "one ticket for a fault"
    to = [str(mail["To"]) for mail in mailbox.messages()]
    assert len(to) == len(set(to))
    assert set(to) <= {emails[name] for name, *_ in tickets}


def test_what_air_compressors_say_is_stored_to_the_value(
    database_url: str, mosquitto: Mosquitto, mailbox: MailSink, tmp_path: Path
) -> None:
    platform = Platform(database_url, mosquitto, mailbox, tmp_path)
    folder = tmp_path / "fleet"
    fleet = [
        "simulate",
        "--product",
        "air_compressor",
        "--devices",
        "4",
        "--days",
        "6",
        "--failing",
        "2",
        "--seed",
        "3",
    ]
    fleet += ["--end", "2026-03-07", "--out", str(folder)]
    platform.run(*fleet, "--csv", str(tmp_path / "telemetry.csv"))
    platform.run("device", "import", f"{folder}/devices.csv")
    with (tmp_path / "telemetry.csv").open() as file:
        written = list(csv.DictReader(file))
    with (folder / "maintenance.csv").open() as file:
        services = [r for r in csv.DictReader(file) if "2026-03-01" <= r["time"] < "2026-03-07"]
    values = sum(1 for row in written for cell in list(row.values())[2:] if cell)
    with platform.running("gateway"), psycopg.connect(database_url, autocommit=True) as c:
        platform.run(*fleet)
        wait_for(lambda: count(c, "reading") == values, what="all readings are stored")
        row = c.execute(
            "SELECT sum(value) FROM reading JOIN series ON id = series_id WHERE signal = 'discharge_temp'"
        ).fetchone() or (0,)
        assert abs(row[0] - sum(float(r["discharge_temp"] or 0) for r in written)) < 0.01
        wait_for(
            lambda: count(c, "device_event", "kind = 'maintenance'") == len(services), what="all services are told"
        )
        assert not count(c, "dead_letter")
    assert services
