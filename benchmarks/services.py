"""The real parts that are measured: TimescaleDB, Mosquitto and Forewarn's commands, each as processes of its own."""

import contextlib
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
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
import psycopg

from core.database import Database
from migrations.runner import migrate
from telemetry.device_list import Device
from telemetry.store import DeviceStore

ROOT = Path(__file__).parents[1]
TIMESCALEDB = ROOT / "tests" / "services" / "timescaledb.sh"
DEVICES = 100
SIGNALS = ("cabinet_temp", "freezer_temp", "evaporator_temp", "condenser_temp", "ambient_temp")


class NotInTime(Exception):
    """What was waited for did not happen within its deadline."""


def until(condition: Callable[[], Any], *, within: float, what: str, every: float = 0.05) -> Any:
    """What `condition` returns once it is true. Raises NotInTime."""
    deadline = time.monotonic() + within
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise NotInTime(f"not within {within:g} s: {what}")
        time.sleep(every)
    return value


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing listens on."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
        return port


def listens(port: int) -> bool:
    """Whether something accepts connections on a port of 127.0.0.1."""
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


class Timescale:
    """A TimescaleDB server of our own, fsync on, with one migrated database of registered devices."""

    def __init__(self, *, disk_mb: int = 0) -> None:
        """disk_mb: size of a file system of its own that the cluster lies on; without it, on the machine's."""
        self.folder = f"bench-{uuid.uuid4().hex[:8]}"
        self.port = free_port()
        self.url = self.url_of("postgres")
        self._disk_mb = disk_mb

    def url_of(self, name: str, *, port: int = 0) -> str:
        """The URL of one of its databases; through another port if there is a proxy."""
        return f"postgresql://postgres@127.0.0.1:{port or self.port}/{name}"

    @staticmethod
    def missing() -> str:
        """Why it cannot be run on this machine; empty when it can."""
        return subprocess.run([TIMESCALEDB, "check"], capture_output=True, text=True, check=False).stdout.strip()

    @property
    def data(self) -> Path:
        """The folder of the cluster, as this machine sees it."""
        tree = Path(os.environ.get("FOREWARN_TIMESCALEDB_TREE", "/opt/forewarn-timescaledb"))
        return tree / "var/lib/forewarn" / self.folder

    def _mount(self) -> None:
        image = self.data.with_suffix(".img")
        self.data.mkdir(parents=True)
        with image.open("wb") as file:
            file.truncate(self._disk_mb * 1_048_576)
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True)
        subprocess.run(["mount", "-o", "loop", image, self.data], check=True)
        # A cluster is made in an empty folder of its owner.
        (self.data / "lost+found").rmdir()
        tree = self.data.parents[3]
        owner = subprocess.run(["chroot", tree, "id", "-u", "postgres"], capture_output=True, text=True, check=True)
        os.chown(self.data, int(owner.stdout), -1)
        self.data.chmod(0o700)

    def fill_disk(self) -> None:
        """Leaves no room on the database's own file system."""
        ballast = self.data / "ballast"
        with ballast.open("ab") as file, contextlib.suppress(OSError):
            while True:
                os.posix_fallocate(file.fileno(), file.tell(), 1 << 20)
                file.seek(1 << 20, os.SEEK_CUR)
        with contextlib.suppress(OSError), ballast.with_name("ballast2").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))

    def free_disk(self) -> None:
        """Gives the room back, and starts the server if it has ended for want of it."""
        for name in ("ballast", "ballast2"):
            (self.data / name).unlink(missing_ok=True)
        if not listens(self.port):
            self.start()

    def start(self) -> None:
        """Starts it; the first time, makes the cluster."""
        if self._disk_mb and not self.data.exists():
            self._mount()
        subprocess.run([TIMESCALEDB, "start", self.folder, str(self.port)], check=True)

    def stop(self, how: str = "immediate") -> None:
        """Stops it: `immediate` is a crash, `fast` is not."""
        subprocess.run([TIMESCALEDB, "stop", self.folder, how], check=True)

    def prepare(self) -> None:
        """Makes the schema and registers the devices d0, d1, ... and `probe`."""
        migrate(self.url, timescaledb=True)
        with Database(self.url, size=1) as database:
            names = ["probe", *(f"d{n}" for n in range(DEVICES))]
            DeviceStore(database).register_all([Device(name=name, profile="fridge") for name in names])

    def processes(self) -> list[psutil.Process]:
        """The server and its backends."""
        try:
            server = psutil.Process(int((self.data / "postmaster.pid").read_text().split("\n")[0]))
            return [server, *server.children()]
        except (FileNotFoundError, psutil.NoSuchProcess):
            return []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._disk_mb:
            if listens(self.port):
                self.stop()
            subprocess.run(["umount", self.data], check=True)
            self.data.with_suffix(".img").unlink()
            self.data.rmdir()
        else:
            subprocess.run([TIMESCALEDB, "remove", self.folder], check=True)


class Mosquitto:
    """A Mosquitto with persistence and room for the backlog; may be stopped and started again."""

    def __init__(self) -> None:
        self.port = free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="forewarn-mosquitto-"))
        self._process: subprocess.Popen[bytes] | None = None
        (self._folder / "mosquitto.conf").write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\nuser root\n"
            f"persistence true\npersistence_location {self._folder}/\n"
            "max_queued_messages 10000000\nmax_inflight_messages 5000\nmax_packet_size 20000000\n"
        )

    def processes(self) -> list[psutil.Process]:
        """The broker's process; none while it is stopped."""
        return [psutil.Process(self._process.pid)] if self._process else []

    def start(self) -> None:
        """Starts it; returns when it listens."""
        program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
        if program is None:
            raise FileNotFoundError("no `mosquitto`: run tests/services/install.sh as root")
        with (self._folder / "log").open("ab") as log:
            command = [program, "-c", str(self._folder / "mosquitto.conf")]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        until(lambda: listens(self.port), within=30, what="Mosquitto listens")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Ends it. At SIGTERM it writes its sessions and their backlog to the disk."""
        if self._process:
            self._process.send_signal(how)
            self._process.wait(60)
            self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self._folder)


class Command:
    """A `forewarn` command as a process. Its log goes to a file that is shown when it fails."""

    def __init__(self, *arguments: str, **settings: str) -> None:
        self._command = [sys.executable, "-m", "cli", *arguments]
        self._environment = os.environ | {"FOREWARN_LOG_FORMAT": "text", "FOREWARN_LOG_LEVEL": "INFO", **settings}
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 — open as long as the process
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it, with a new log; does not wait."""
        self._log.seek(0)
        self._log.truncate()
        self._process = subprocess.Popen(self._command, cwd=ROOT, env=self._environment, stderr=self._log)

    @property
    def started(self) -> bool:
        """Whether it was ever started."""
        return self._process is not None

    def log(self) -> str:
        """All that it wrote since it was started."""
        return os.pread(self._log.fileno(), 1 << 26, 0).decode("utf-8", "replace")

    @property
    def pid(self) -> int:
        """The number of its process."""
        assert self._process
        return self._process.pid

    def said(self, words: str) -> bool:
        """Whether its log holds `words`. Raises RuntimeError when it has ended."""
        assert self._process
        if self._process.poll() is not None:
            raise RuntimeError(f"{self._command} ended with {self._process.returncode}:\n{self.log()[-4000:]}")
        return words in self.log()

    def processes(self) -> list[psutil.Process]:
        """It and its children; none when it does not run."""
        if self._process is None:
            return []
        try:
            parent = psutil.Process(self._process.pid)
            return [parent, *parent.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Sends a signal and waits for the end; returns the exit code."""
        assert self._process
        self._process.send_signal(how)
        return self.wait()

    def wait(self) -> int:
        """Waits until it ends by itself; returns the exit code."""
        assert self._process
        return self._process.wait(60)

    def end(self) -> None:
        """Ends it if it runs, and forgets its log."""
        if self._process and self._process.poll() is None:
            self.stop()
        self._log.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            print(self.log()[-4000:], file=sys.stderr)
        self.end()


def cpu_seconds(processes: list[psutil.Process]) -> float:
    """Processor time that processes have used so far."""
    used = 0.0
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            used += times.user + times.system
    return used


def peak_mb(process: psutil.Process) -> float:
    """The most memory that a process has had resident."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


@contextlib.contextmanager
def connected(url: str) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """A connection that commits by itself."""
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection
