"""`forewarn demo`: the whole platform with a simulated fleet, from wheels alone. Each part is a process as in a real
deployment; only the database, the broker and the mail server are the embedded ones.
"""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO

import click
import psycopg
from rich.console import Console
from rich.live import Live
from rich.table import Table

from cli.embedded import EmbeddedBroker, EmbeddedDatabase, MailSink
from core.database import Database
from core.errors import Conflict, ForewarnError
from core.profile import Profiles
from core.settings import Settings
from migrations.runner import migrate
from telemetry import device_list
from telemetry.store import DeviceStore

_PARTS = ("gateway", "detect", "engine", "api")
_STORY = "2026-03-01"
"""The day on which the fleet's history ends, before it is moved to today: so a seed tells one story, whenever it is told."""


class _Stop(BaseException):
    """Ctrl-C, or a polite request to end."""


@click.command()
@click.option("--devices", default=50, show_default=True, help="Refrigerators in the fleet.")
@click.option("--days", default=30, show_default=True, help="Days of history.")
@click.option("--failing", default=8, show_default=True, help="Refrigerators that will fail.")
@click.option("--seed", default=7, show_default=True, help="The same seed makes the same fleet.")
@click.pass_obj
def demo(settings: Settings, *, devices: int, days: int, failing: int, seed: int) -> None:
    """Run everything here, with a simulated fleet of refrigerators. Starts anew each time; Ctrl-C ends it."""
    fleet = ["--devices", str(devices), "--days", str(days), "--failing", str(failing), "--seed", str(seed)]
    fleet += ["--as-of", _STORY]
    console = Console()
    with _interruptible(), contextlib.suppress(_Stop), ExitStack() as stack:
        _run(settings, fleet, console, stack)
    console.print("stopped")


def _run(settings: Settings, fleet: list[str], console: Console, stack: ExitStack) -> None:
    began = time.monotonic()
    _port_is_free(settings.http_host, settings.http_port, "FOREWARN_HTTP_PORT")
    _port_is_free("127.0.0.1", settings.mqtt_port, "FOREWARN_MQTT_PORT")
    folder = settings.data_dir.resolve() / "demo"
    _one_at_a_time(folder, stack)
    for old in folder.iterdir():
        if old.name != "lock":
            shutil.rmtree(old) if old.is_dir() else old.unlink()

    console.print("starting database, broker and mail sink ...")
    database = stack.enter_context(EmbeddedDatabase(folder / "postgresql"))
    gateway_password, fleet_password = secrets.token_hex(16), secrets.token_hex(16)
    broker = EmbeddedBroker(
        folder / "broker",
        port=settings.mqtt_port,
        gateway_password=gateway_password,
        fleet_password=fleet_password,
    )
    stack.enter_context(broker)
    sink = stack.enter_context(MailSink(folder / "mail", port=0))
    with psycopg.connect(database.url_of("postgres"), autocommit=True) as admin:
        admin.execute("CREATE DATABASE forewarn")
    url = database.url_of("forewarn")
    migrate(url)

    token = settings.admin_token.get_secret_value() or secrets.token_urlsafe(12)
    environment = os.environ | {
        "FOREWARN_DATABASE_URL": url,
        "FOREWARN_MQTT_HOST": "127.0.0.1",
        "FOREWARN_MQTT_PORT": str(settings.mqtt_port),
        "FOREWARN_MQTT_VERSION": "3.1.1",
        "FOREWARN_SMTP_HOST": "127.0.0.1",
        "FOREWARN_SMTP_PORT": str(sink.port),
        "FOREWARN_SMTP_USERNAME": "",
        "FOREWARN_ADMIN_TOKEN": token,
        "FOREWARN_BRAND": settings.brand if "FOREWARN_BRAND" in os.environ else "Polar Home",
        # Somebody who tries it at night wants to see the mails too.
        "FOREWARN_QUIET_HOURS": os.environ.get("FOREWARN_QUIET_HOURS", ""),
    }
    platform = environment | {"FOREWARN_MQTT_USERNAME": "gateway", "FOREWARN_MQTT_PASSWORD": gateway_password}
    maker = environment | {"FOREWARN_MQTT_USERNAME": "fleet", "FOREWARN_MQTT_PASSWORD": fleet_password}

    simulate = [*_command("simulate"), *fleet, "--out", str(folder)]
    subprocess.run([*simulate, "--plan-only"], env=maker, check=True, stdout=subprocess.DEVNULL)
    board = Database(url, size=1, name="forewarn-demo")
    stack.callback(board.close)
    registered = folder / "devices.csv"
    DeviceStore(board).register_all(
        device_list.parse(registered.read_text(encoding="utf-8"), str(registered), Profiles(settings.profile_dir))
    )

    children = _Children(folder / "log")
    stack.callback(children.stop)
    for part in _PARTS:
        children.start(part, _command(part), platform)
    address = f"http://{settings.http_host}:{settings.http_port}"
    _wait_until(lambda: _api_listens(settings), children, "api")
    # What is published before the gateway's first subscription, nobody keeps.
    _wait_until(lambda: _gateway_is_connected(board), children, "gateway")
    console.print(f"open [bold]{address}[/bold] and sign in with the token [bold]{token}[/bold]", soft_wrap=True)
    where = f"ground truth: {folder / 'truth.csv'} · mails: {sink.folder} · logs: {children.folder}"
    console.print(f"[dim]{where}[/dim]", soft_wrap=True, highlight=False)
    children.start("simulate", [*simulate, "--live"], maker)

    _watch(board, children, console, began)


def _watch(board: Database, children: "_Children", console: Console, began: float) -> None:
    """Shows how far things are, until a signal ends it or a part dies."""
    told: Mapping[str, str] = {}
    with Live(console=console, auto_refresh=False) if console.is_terminal else contextlib.nullcontext() as live:
        while True:
            children.check()
            seen = _look(board)
            if live:
                live.update(_table(seen, time.monotonic() - began), refresh=True)
            elif seen != told:
                # Into a file or a pipe goes a line for each change.
                line = " · ".join(f"{name}: {value}" for name, value in seen.items())
                console.print(f"{time.monotonic() - began:4.0f} s · {line}", soft_wrap=True, highlight=False)
                told = seen
            time.sleep(1 if live else 5)


def _command(name: str) -> list[str]:
    return [sys.executable, "-m", "cli", name]


def _look(board: Database) -> Mapping[str, str]:
    """What has happened so far, as a person would count it."""
    with board.transaction() as connection:
        row = connection.execute("""
            SELECT coalesce((SELECT sum(readings) FROM batch), 0) AS readings,
                   (SELECT max(t) FROM (SELECT unnest(last_times) t FROM batch ORDER BY id DESC LIMIT 1) x) AS until,
                   (SELECT count(*) FROM finding WHERE closed_at IS NULL AND kind <> 'silence') AS findings,
                   (SELECT count(*) FROM ticket WHERE state NOT IN ('solved', 'closed')) AS tickets,
                   (SELECT count(*) FROM notice WHERE state = 'sent') AS sent
        """).fetchone()
    assert row is not None
    return {
        "readings stored": f"{row['readings']:,}",
        "history until": f"{row['until']:%d %b %H:%M} UTC" if row["until"] else "...",
        "open findings": str(row["findings"]),
        "open tickets": str(row["tickets"]),
        "mails sent": str(row["sent"]),
    }


def _table(seen: Mapping[str, str], seconds: float) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, value in seen.items():
        table.add_row(name, value)
    table.add_row("running for", f"{seconds:.0f} s · Ctrl-C ends it")
    return table


def _wait_until(condition: Callable[[], bool], children: "_Children", name: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        children.check()
        if time.monotonic() > deadline:
            raise ForewarnError(f"`{name}` is not ready after a minute; see {children.folder / name}.log")
        time.sleep(0.1)


def _api_listens(settings: Settings) -> bool:
    with socket.socket() as s:
        return s.connect_ex((settings.http_host, settings.http_port)) == 0


def _gateway_is_connected(board: Database) -> bool:
    with board.transaction() as connection:
        row = connection.execute(
            "SELECT 1 FROM heartbeat WHERE part = 'gateway' AND (detail ->> 'connected')::boolean"
        ).fetchone()
    return row is not None


def _port_is_free(host: str, port: int, variable: str) -> None:
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind((host, port))
        except OSError as error:
            raise Conflict(f"port {port} of {host} cannot be used ({error.strerror}); set {variable}") from None


def _one_at_a_time(folder: Path, stack: ExitStack) -> None:
    """Holds the folder for this run: a second demo beside it would delete its database."""
    import fcntl  # noqa: PLC0415 — there is none on Windows, and only this command needs it

    folder.mkdir(parents=True, exist_ok=True)
    lock: IO[str] = stack.enter_context((folder / "lock").open("w"))
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Conflict(f"a demo runs in {folder} already; end it or set FOREWARN_DATA_DIR") from None


@contextmanager
def _interruptible() -> Iterator[None]:
    """Signals that end a program raise `_Stop` once; what comes while it is ending is ignored."""
    names = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def stop(_number: int, _frame: FrameType | None) -> None:
        for name in names:
            signal.signal(name, signal.SIG_IGN)
        raise _Stop

    before = {name: signal.signal(name, stop) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


@dataclass(slots=True)
class _Child:
    name: str
    process: subprocess.Popen[bytes]


class _Children:
    """The processes of the demo, each with its log file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._all: list[_Child] = []

    def start(self, name: str, command: list[str], environment: Mapping[str, str]) -> None:
        """Starts one in a session of its own: Ctrl-C reaches the demo alone, which ends them in order."""
        self.folder.mkdir(exist_ok=True)
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._all.append(_Child(name, process))

    def check(self) -> None:
        """Raises ForewarnError with the end of its log when one has died."""
        for child in self._all:
            if child.process.poll() is not None:
                log = self.folder / f"{child.name}.log"
                tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
                raise ForewarnError(f"`{child.name}` ended with code {child.process.returncode}; {log} ends:\n{tail}")

    def stop(self) -> None:
        """Ends all, the last started first."""
        for child in reversed(self._all):
            child.process.terminate()
        for child in reversed(self._all):
            try:
                child.process.wait(15)
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()
