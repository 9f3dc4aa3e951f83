"""Several processes that store what one connection receives: for more than one core's worth of messages.

The broker sees one subscriber with one session, so this works with every broker and no message can fall between two
sessions. See docs/decisions for why it is not a shared subscription.
"""

import contextlib
import os
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO

from core import log
from core.errors import ForewarnError
from device_gateway.inbox import Inbox
from device_gateway.intake import Intake, Pace
from device_gateway.metrics import Metrics
from device_gateway.readings import Message
from device_gateway.relay import Report, pack, read_report

_log = log.get("gateway.workers")

REFUSED = 78
"""Exit code of a worker that would fail again in the same way: EX_CONFIG of sysexits.h."""
_AHEAD = 2
"""Batches that a worker has at the most: one that it stores and one that it accepts meanwhile."""
_STEADY = 60.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 10.0


class WorkerRefused(ForewarnError):
    """A worker process could not start, and would not if it were tried again."""


@dataclass(slots=True, kw_only=True, eq=False)
class _Part:
    """A batch on its way; `left` of its messages are not stored yet."""

    messages: Sequence[Message]
    left: int


@dataclass(slots=True, kw_only=True, eq=False)
class _Worker:
    """One process, started again when it ends; what it was given and has not reported is `given`."""

    number: int
    given: deque[_Part] = field(default_factory=deque)
    process: subprocess.Popen[bytes] | None = None
    away: bool = False
    writing: threading.Lock = field(default_factory=threading.Lock)

    def send(self, part: _Part) -> None:
        """Writes a batch to the process. If it is dead, it is started again and gets it then."""
        with self.writing, contextlib.suppress(BrokenPipeError, ValueError):
            if self.process and self.process.stdin:
                _write(self.process.stdin, pack(part.messages))


class Workers:
    """Moves messages from the inbox to worker processes, and acknowledges them in order once they are stored.

    command: starts a worker that reads messages from its standard input and writes reports to its standard output.
    """

    def __init__(
        self,
        *,
        command: Sequence[str],
        environment: Mapping[str, str],
        count: int,
        inbox: Inbox,
        acknowledge: Callable[[Sequence[Message]], None],
        metrics: Metrics,
        pace: Pace,
    ) -> None:
        self._command = command
        self._environment = environment
        self._inbox = inbox
        self._acknowledge = acknowledge
        self._metrics = metrics
        self._intake = Intake(inbox, metrics, pace)
        self._stop = self._intake.stopping
        self._ending = threading.Event()
        self._changed = threading.Condition()
        self._order: deque[_Part] = deque()
        self._workers = [_Worker(number=n) for n in range(1, count + 1)]
        self._failure: WorkerRefused | None = None

    def stop(self) -> None:
        """Makes `run` return once what is in the inbox is stored, or cannot be: then the broker still has it."""
        self._stop.set()

    def run(self) -> None:
        """Runs until `stop` was called or the inbox is closed, and the inbox is empty.

        Raises WorkerRefused when a worker cannot be started.
        """
        intake = self._intake
        threads = [threading.Thread(target=self._tend, args=(w,), name=f"worker-{w.number}") for w in self._workers]
        for thread in threads:
            thread.start()
        try:
            while self._failure is None:
                messages = intake.take()
                if intake.ended or (messages and not self._hand_over(messages)):
                    break
        finally:
            self._ending.set()
            for worker in self._workers:
                # The end of its input tells a worker to store what it has, if it can, and to end.
                with worker.writing, contextlib.suppress(BrokenPipeError):
                    if worker.process and worker.process.stdin:
                        worker.process.stdin.close()
            for thread in threads:
                thread.join()
        if self._failure:
            raise self._failure

    def _hand_over(self, messages: Sequence[Message]) -> bool:
        """Gives a batch to the worker that has least to do, once one has room; False when that is not to be."""
        part = _Part(messages=messages, left=len(messages))
        with self._changed:
            while True:
                worker = min(self._workers, key=lambda w: len(w.given))
                if len(worker.given) < _AHEAD:
                    break
                if self._failure or (self._stop.is_set() and any(w.away for w in self._workers)):
                    return False
                self._changed.wait(0.5)
            self._order.append(part)
            worker.given.append(part)
        worker.send(part)
        return True

    # --- a thread for each worker runs what follows

    def _tend(self, worker: _Worker) -> None:
        """Keeps the worker's process running and hears its reports."""
        pause = _FIRST_PAUSE
        for attempt in range(1_000_000_000):
            began = time.monotonic()
            with worker.writing:
                if self._ending.is_set():
                    return
                # Its input is a pipe from us: when we are killed it ends, and the worker with it.
                process = worker.process = subprocess.Popen(
                    self._command, env=dict(self._environment), stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
                )
                with self._changed:
                    again = list(worker.given)
                    for part in again:
                        part.left = len(part.messages)
                with contextlib.suppress(BrokenPipeError):
                    assert process.stdin
                    for part in again:
                        _write(process.stdin, pack(part.messages))
            self._hear(worker, process)
            with worker.writing:
                worker.process = None
            if process.stdin:
                process.stdin.close()
            code = process.wait()
            if self._ending.is_set():
                return
            if code == REFUSED and attempt == 0:
                self._failure = WorkerRefused(f"worker {worker.number} could not start: see its message above")
                self._inbox.close()
                return
            if time.monotonic() - began > _STEADY:
                pause = _FIRST_PAUSE
            _log.error("a worker died; starting it again", worker=worker.number, exit_code=code, in_s=pause)
            self._ending.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _hear(self, worker: _Worker, process: "subprocess.Popen[bytes]") -> None:
        """Takes reports until the worker ends."""
        assert process.stdout
        with os.fdopen(os.dup(process.stdout.fileno()), "rb", buffering=65_536) as pipe:
            process.stdout.close()
            while (report := read_report(pipe)) is not None:
                self._note(worker, report)
        worker.away = False

    def _note(self, worker: _Worker, report: Report) -> None:
        if report.away is not None:
            worker.away = report.away
            self._metrics.away(any(w.away for w in self._workers))
        if report.messages:
            self._metrics.count(report.messages, report.readings, report.duplicates, report.seconds, report.dead)
        left = report.done
        if not left:
            return
        with self._changed:
            while left:
                part = worker.given[0]
                stored = min(left, part.left)
                part.left -= stored
                left -= stored
                if not part.left:
                    worker.given.popleft()
            # Acknowledged in the order of receipt, as the protocol wants it, whoever was faster.
            while self._order and not self._order[0].left:
                self._inbox.done()
                self._acknowledge(self._order.popleft().messages)
            self._changed.notify_all()


def _write(pipe: IO[bytes], data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[pipe.write(view) :]
