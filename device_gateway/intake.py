"""Batches out of the inbox, for whoever moves them on: how they are cut, and when the last one was."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from core import log
from device_gateway.inbox import Inbox
from device_gateway.metrics import Metrics
from device_gateway.readings import Message

_log = log.get("gateway")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How batches are cut and failures are retried; seconds."""

    most: int
    most_bytes: int = 3_145_728
    linger: float = 0.02
    first_pause: float = 0.25
    longest_pause: float = 5.0
    summary_every: float = 60.0


class Intake:
    """Takes batches until it was told to stop, or the inbox was closed, and the inbox is empty: then it has `ended`."""

    def __init__(self, inbox: Inbox, metrics: Metrics, pace: Pace) -> None:
        self._inbox = inbox
        self._metrics = metrics
        self._pace = pace
        self._summary_at = time.monotonic() + pace.summary_every
        self.stopping = threading.Event()
        self.ended = False

    def take(self) -> Sequence[Message]:
        """The next batch; empty when none came for half a second, or when it has ended. Logs a summary when one is due."""
        pace = self._pace
        ending = self.stopping.is_set() or self._inbox.closed
        messages = self._inbox.take(
            most=pace.most,
            most_bytes=pace.most_bytes,
            linger=0 if ending else pace.linger,
            timeout=0 if ending else 0.5,
        )
        self.ended = ending and not messages
        if time.monotonic() >= self._summary_at:
            self._summary_at += pace.summary_every
            _log.info("summary", **self._metrics.summary())
        return messages
