"""The worker's side of `forewarn gateway --workers N`: messages in by standard input, reports out by standard output."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import BinaryIO

from core.errors import Permanent
from device_gateway.gateway import Gateway
from device_gateway.inbox import Inbox
from device_gateway.metrics import Metrics
from device_gateway.readings import Message
from device_gateway.relay import Report, pack, read_messages
from device_gateway.workers import REFUSED
from telemetry.store import Rows

MakeGateway = Callable[[Inbox, Metrics, Callable[[Sequence[Message]], None]], Gateway[Rows]]
"""Puts a gateway together out of an inbox, metrics and what acknowledges."""


class _Reporting(Metrics):
    """Tells the parent what is counted: its metrics are those of all its workers."""

    def __init__(self, inbox: Inbox, say: Callable[[Report], None]) -> None:
        super().__init__(inbox)
        self._say = say

    def count(self, messages: int, readings: int, duplicates: int, seconds: float, dead: Mapping[str, int]) -> None:
        super().count(messages, readings, duplicates, seconds, dead)
        self._say(Report(messages=messages, readings=readings, duplicates=duplicates, seconds=seconds, dead=dict(dead)))

    def away(self, away: bool) -> None:
        super().away(away)
        self._say(Report(away=away))


def work(make: MakeGateway) -> None:
    """Stores what comes in until the input ends. Signals are the parent's business: they reach both at Ctrl-C.

    Ends the process with REFUSED when trying again would be of no use.
    """
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, signal.SIG_IGN)
    # The parent never has more than a few batches under way here.
    inbox = Inbox(most=sys.maxsize, most_bytes=sys.maxsize)
    writing = threading.Lock()

    def say(report: Report) -> None:
        try:
            with writing:
                os.write(1, pack(report))
        except BrokenPipeError:
            loop.stop()  # The parent is dead; so is the connection, and the broker keeps what was not acknowledged.

    def listen(pipe: BinaryIO) -> None:
        while (messages := read_messages(pipe)) is not None:
            inbox.put(messages)
        loop.stop()
        inbox.close()

    loop = make(inbox, _Reporting(inbox, say), lambda messages: say(Report(done=len(messages))))
    # Unbuffered: an interpreter that ends must not wait for a thread that reads.
    pipe: BinaryIO = os.fdopen(0, "rb", buffering=0)
    threading.Thread(target=listen, args=(pipe,), name="parent", daemon=True).start()
    try:
        loop.run()
    except Permanent as error:
        print(f"forewarn: {error}", file=sys.stderr)
        raise SystemExit(REFUSED) from error
