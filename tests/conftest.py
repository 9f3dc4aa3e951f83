"""The real services that tests run against, each started once a session on a free port."""

import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
import structlog

from cli.embedded import EmbeddedDatabase, MailSink, free_port
from core.database import Database
from migrations.runner import migrate

# Tests run two at a time: threads of one that wait for those of another would make both many times slower. Set before
# scikit-learn is imported, which reads it once; processes that tests start take it over.
os.environ.setdefault("OMP_NUM_THREADS", "1")

HERE = Path(__file__).parent
SERVICES = HERE / "services"
RAN_ON: dict[str, str] = {}


def wait_for(condition: Callable[[], Any], *, within: float = 20.0, what: str = "") -> Any:
    """What `condition` returns once it is true; fails when that takes longer than `within` seconds."""
    deadline = time.monotonic() + within
    while True:
        if value := condition():
            return value
        if time.monotonic() > deadline:
            pytest.fail(f"not within {within:g} s: {what or condition}")
        time.sleep(0.05)


def missing(service: str, why: str) -> None:
    """Skips the test for want of a service; in CI that is a failure."""
    if os.environ.get("CI"):
        pytest.fail(f"{service} is missing: {why}")
    pytest.skip(f"{service} is missing: {why}")


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """What a command sets up of the process's logging ends with its test, as does the stream it writes to."""
    root = logging.getLogger()
    before, level = structlog.get_config(), root.level
    yield
    structlog.configure(**before)
    root.setLevel(level)
    root.handlers[:] = [handler for handler in root.handlers if type(handler) is not logging.StreamHandler]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker process tells the one that started it what it ran on."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["ran_on"] = RAN_ON


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    RAN_ON.update(getattr(node, "workeroutput", {}).get("ran_on", {}))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    terminalreporter.section("ran on")
    RAN_ON.setdefault("Python", sys.version.split()[0])
    for name, version in RAN_ON.items():
        terminalreporter.write_line(f"{name}: {version}")


# --- databases -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A database server; `url_of` gives the URL of one of its databases."""

    kind: str
    url_of: Callable[[str], str]


@contextmanager
def _template(server: Server) -> Iterator[None]:
    """Makes the migrated database that each test's own is cloned from."""
    with psycopg.connect(server.url_of("postgres"), autocommit=True) as admin:
        admin.execute("DROP DATABASE IF EXISTS forewarn_template WITH (FORCE)")
        admin.execute("CREATE DATABASE forewarn_template")
        migrate(server.url_of("forewarn_template"), timescaledb=server.kind == "timescaledb")
        # TimescaleDB's scheduler connects to each database; a database in use cannot be cloned.
        admin.execute("ALTER DATABASE forewarn_template WITH ALLOW_CONNECTIONS false")
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'forewarn_template'")
        deadline = time.monotonic() + 10
        while admin.execute("SELECT 1 FROM pg_stat_activity WHERE datname = 'forewarn_template'").fetchone():
            assert time.monotonic() < deadline, "the template database stays in use"
            time.sleep(0.05)
    yield


@pytest.fixture(scope="session")
def timescaledb() -> Iterator[Server]:
    script = SERVICES / "timescaledb.sh"
    check = subprocess.run([script, "check"], capture_output=True, text=True, check=False)
    if check.returncode:
        missing("TimescaleDB", check.stdout.strip())
    port, folder = free_port(), f"test-{uuid.uuid4().hex[:8]}"
    subprocess.run([script, "start", folder, str(port)], check=True)
    server = Server(kind="timescaledb", url_of=lambda name: f"postgresql://postgres@127.0.0.1:{port}/{name}")
    try:
        with _template(server):
            with psycopg.connect(server.url_of("postgres")) as c:
                row = c.execute(
                    "SELECT current_setting('server_version'), default_version FROM pg_available_extensions"
                    " WHERE name = 'timescaledb'"
                ).fetchone()
            assert row
            RAN_ON["TimescaleDB"] = f"{row[1]} on PostgreSQL {row[0]}"
            yield server
    finally:
        subprocess.run([script, "remove", folder], check=True)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    folder = Path(tempfile.mkdtemp(prefix="forewarn-pg-"))
    with EmbeddedDatabase(folder) as embedded:
        server = Server(kind="postgresql", url_of=embedded.url_of)
        with _template(server):
            with psycopg.connect(server.url_of("postgres")) as c:
                row = c.execute("SHOW server_version").fetchone()
            assert row
            RAN_ON["embedded PostgreSQL"] = row[0]
            yield server
    shutil.rmtree(folder)


@pytest.fixture(params=["timescaledb", "postgresql"])
def server(request: pytest.FixtureRequest) -> Server:
    """Both database servers in turn."""
    value: Server = request.getfixturevalue(request.param)
    return value


@pytest.fixture
def database_url(server: Server) -> Iterator[str]:
    """An empty, migrated database of this test's own, on TimescaleDB and on embedded PostgreSQL in turn."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server.url_of("postgres"), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE forewarn_template")
        try:
            yield server.url_of(name)
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with Database(database_url) as database:
        yield database


# --- broker --------------------------------------------------------------------------------------------------------


class Mosquitto:
    """A Mosquitto of the test's own, with persistence; may be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "mosquitto.conf").write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence true\n"
            f"persistence_location {folder}/\nuser root\n"
            "max_queued_messages 1000000\nmax_inflight_messages 5000\nmax_packet_size 20000000\n"
        )

    def add(self, settings: str) -> int:
        """Adds a listener with `settings` when it is started next; returns its port."""
        port = free_port()
        with (self._folder / "mosquitto.conf").open("a") as file:
            file.write(f"listener {port} 127.0.0.1\n{settings}")
        return port

    def start(self) -> None:
        with (self._folder / "log").open("ab") as log:
            command = [_mosquitto(), "-c", str(self._folder / "mosquitto.conf")]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_for(self._answers, what="Mosquitto listens")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self._process:
            self._process.send_signal(how)
            self._process.wait(10)
            self._process = None

    def _answers(self) -> bool:
        assert self._process
        assert self._process.poll() is None, (self._folder / "log").read_text()
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0


def _mosquitto() -> str:
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin") or ""


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    if not _mosquitto():
        missing("Mosquitto", "no `mosquitto` on PATH: run tests/services/install.sh as root")
    if "Mosquitto" not in RAN_ON:
        shown = subprocess.run([_mosquitto(), "-h"], capture_output=True, text=True, check=False).stdout
        RAN_ON["Mosquitto"] = shown.split("\n")[0].removeprefix("mosquitto version ")
    folder = tmp_path / "mosquitto"
    folder.mkdir()
    broker = Mosquitto(folder)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()


# --- mail ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def mailbox(tmp_path: Path) -> Iterator[MailSink]:
    """A real SMTP server on a free port; `mailbox.messages()` are the mails it took, in order."""
    with MailSink(tmp_path / "mail", port=0) as sink:
        yield sink
