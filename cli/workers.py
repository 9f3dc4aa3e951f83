"""`forewarn gateway --workers N`: N gateways as processes, one started again when it dies, all ended together.

The broker deals the messages out among them, and keeps for each what it has not acknowledged. A broker goes on dealing
to a worker that is gone for good, so when there are fewer than before, the sessions of the others are emptied and ended.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import FrameType

from core import log
from core.database import Database
from core.errors import BrokerRefused, DatabaseAway, Permanent
from core.heartbeat import beats, forget
from core.settings import Settings
from device_gateway.wire import SHARE

_log = log.get(__name__)

REFUSED = 78
"""Exit code of a worker that would fail again in the same way: EX_CONFIG of sysexits.h."""
_FIRST_PAUSE, _LONGEST_PAUSE, _STEADY = 0.5, 30.0, 60.0
_PATIENCE = 30.0
_SUFFIX = "-worker"


@dataclass(slots=True, kw_only=True)
class Worker:
    """One process and when it may start again. `pause` grows with each death that follows soon on a start."""

    client_id: str
    arguments: Sequence[str]
    environment: dict[str, str]
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    due: float = 0.0
    pause: float = _FIRST_PAUSE
    starts: int = 0

    def start(self, now: float) -> None:
        """Starts the process."""
        # Its input is a pipe from us: when we are killed it ends, and the worker with it.
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cli", "gateway", "--supervised", *self.arguments],
            env=os.environ | self.environment,
            stdin=subprocess.PIPE,
        )
        self.started = now
        self.starts += 1

    def died(self, now: float) -> None:
        """Sets when it is started again."""
        if now - self.started > _STEADY:
            self.pause = _FIRST_PAUSE
        self.process = None
        self.due = now + self.pause
        self.pause = min(2 * self.pause, _LONGEST_PAUSE)


def client_ids(settings: Settings, workers: int) -> list[str]:
    """The first worker goes by the gateway's own client id, and so takes over its session and backlog."""
    own = settings.mqtt_client_id
    return [own, *(f"{own}{_SUFFIX}{n}" for n in range(2, workers + 1))]


def were_more(settings: Settings) -> bool:
    """Whether a gateway that is to run alone had workers whose sessions are not ended yet."""
    with _database(settings) as database:
        return bool(_former(settings, database, 1, SHARE))


def _database(settings: Settings) -> Database:
    return Database(settings.database_url.get_secret_value(), size=1, name="forewarn-gateway", wait=2.0)


def run_workers(settings: Settings, workers: int) -> None:
    """Runs until SIGTERM or Ctrl-C. Raises BrokerRefused when a worker is not let in at the start."""
    share = settings.mqtt_share or (SHARE if workers > 1 else "")
    running = []
    for n, client_id in enumerate(client_ids(settings, workers)):
        port = settings.metrics_port + n if settings.metrics_port else 0
        environment = {
            "FOREWARN_MQTT_CLIENT_ID": client_id,
            "FOREWARN_MQTT_SHARE": share,
            "FOREWARN_METRICS_PORT": str(port),
        }
        running.append(Worker(client_id=client_id, arguments=(), environment=environment))
    stop = threading.Event()

    def on_signal(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    _log.info("workers start", workers=workers, share=share)
    former: list[Worker] | None = None
    with _database(settings) as database:
        try:
            while not stop.is_set():
                now = time.monotonic()
                for worker in running:
                    _tend(worker, now)
                if former is None:
                    former = _former(settings, database, workers, share or SHARE)
                for worker in former or ():
                    _tend_former(worker, database, now)
                stop.wait(0.2)
        finally:
            _end([*running, *(former or ())])
    _log.info("workers ended")


def _tend(worker: Worker, now: float) -> None:
    if worker.process is None:
        if now >= worker.due:
            worker.start(now)
        return
    code = worker.process.poll()
    if code is None:
        return
    if code == REFUSED and worker.starts == 1:
        raise BrokerRefused(f"worker {worker.client_id} could not start: see its message above")
    worker.died(now)
    _log.error("a worker died; starting it again", worker=worker.client_id, exit_code=code, in_s=worker.due - now)


def _former(settings: Settings, database: Database, workers: int, share: str) -> list[Worker] | None:
    """Workers that there were when there were more; None while the database cannot tell."""
    now = set(client_ids(settings, workers))
    begins = f"{settings.mqtt_client_id}{_SUFFIX}"
    try:
        rows = beats(database)
    except DatabaseAway:
        return None
    gone = [r["instance"] for r in rows if r["part"] == "gateway" and r["instance"] not in now]
    return [
        Worker(
            client_id=name,
            arguments=("--retire",),
            environment={
                "FOREWARN_MQTT_CLIENT_ID": name, "FOREWARN_MQTT_SHARE": share, "FOREWARN_METRICS_PORT": "0"
            },
        )
        for name in gone
        if name.startswith(begins) and name.removeprefix(begins).isdigit()
    ]  # fmt: skip


def _tend_former(worker: Worker, database: Database, now: float) -> None:
    if worker.process is None:
        if now >= worker.due:
            worker.start(now)
        return
    code = worker.process.poll()
    if code is None:
        return
    worker.died(now)
    if code == 0:
        with contextlib.suppress(DatabaseAway):
            forget(database, "gateway", worker.client_id)
            _log.info("the session of a former worker was emptied and ended", worker=worker.client_id)
            worker.due = float("inf")


def _end(workers: Sequence[Worker]) -> None:
    """Asks all to end, together, and waits; kills who does not."""
    alive = [w.process for w in workers if w.process and w.process.poll() is None]
    for process in alive:
        process.terminate()
    deadline = time.monotonic() + _PATIENCE
    for process in alive:
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            _log.error("a worker did not end and is killed; the broker keeps what it has not stored", pid=process.pid)
            process.kill()
            process.wait()


# --- the worker's side


def on_end_of_input(then: Callable[[], None]) -> None:
    """Calls `then`, in a thread, when standard input ends: the parent holds its other end while it lives."""

    def watch() -> None:
        while os.read(0, 4096):
            pass
        then()

    threading.Thread(target=watch, name="parent", daemon=True).start()


@contextlib.contextmanager
def refusal_as_exit_code(code: int) -> Iterator[None]:
    """Tells the parent by the exit code that starting again would be of no use."""
    try:
        yield
    except Permanent as error:
        print(f"forewarn: {error}", file=sys.stderr)
        raise SystemExit(code) from error
