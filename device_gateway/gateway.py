"""The loop of the gateway: take a batch, accept it, hand it to the store, and only then acknowledge it."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from core import log
from core.errors import DatabaseAway, DatabaseRefused
from device_gateway.acceptance import Acceptance, dead_letter, only
from device_gateway.decoder import Reason
from device_gateway.inbox import Inbox
from device_gateway.metrics import Metrics
from device_gateway.readings import Batch, Message
from device_gateway.registry import Registry

_log = log.get("gateway")


class _Stored(Protocol):
    @property
    def readings(self) -> int: ...
    @property
    def duplicates(self) -> int: ...


Store = Callable[[Batch], _Stored]
"""Stores a batch in one transaction. Raises DatabaseAway or DatabaseRefused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How batches are cut and failures are retried; seconds."""

    most: int
    most_bytes: int = 1_048_576
    linger: float = 0.02
    first_pause: float = 0.25
    longest_pause: float = 10.0
    summary_every: float = 60.0


class Gateway:
    """Moves messages from the inbox into the store. `acknowledge` is called once what it is given is stored."""

    def __init__(
        self,
        *,
        inbox: Inbox,
        acceptance: Acceptance,
        registry: Registry,
        store: Store,
        acknowledge: Callable[[Sequence[Message]], None],
        metrics: Metrics,
        pace: Pace,
    ) -> None:
        self._inbox = inbox
        self._acceptance = acceptance
        self._registry = registry
        self._store = store
        self._acknowledge = acknowledge
        self._metrics = metrics
        self._pace = pace
        self._stop = threading.Event()

    def stop(self) -> None:
        """Makes `run` return once what is in the inbox is stored, or cannot be: then the broker still has it."""
        self._stop.set()

    def run(self) -> None:
        """Runs until `stop` was called or the inbox is closed, and the inbox is empty."""
        pace = self._pace
        summary_at = time.monotonic() + pace.summary_every
        while True:
            messages = self._inbox.take(
                most=pace.most,
                most_bytes=pace.most_bytes,
                linger=0 if self._stop.is_set() else pace.linger,
                timeout=0 if self._stop.is_set() else 0.5,
            )
            if messages:
                if not self._keep_trying(messages):
                    return
                self._inbox.done()
                self._acknowledge(messages)
            elif self._stop.is_set() or self._inbox.closed:
                return
            if time.monotonic() >= summary_at:
                summary_at += pace.summary_every
                _log.info("summary", **self._metrics.summary())

    def _keep_trying(self, messages: Sequence[Message]) -> bool:
        """Stores `messages`, however long the database is away; False when told to stop meanwhile."""
        pause, away = self._pace.first_pause, False
        while True:
            try:
                self._process(messages)
            except DatabaseAway as error:
                self._metrics.database_away.set(1)
                if not away:
                    _log.error("the database is away; messages wait, unacknowledged", error=str(error))
                away = True
                if self._stop.wait(pause):
                    _log.warning("stopped without the database; the broker keeps the messages", messages=len(messages))
                    return False
                pause = min(2 * pause, self._pace.longest_pause)
            else:
                if away:
                    self._metrics.database_away.set(0)
                    _log.info("the database is back")
                return True

    def _process(self, messages: Sequence[Message]) -> None:
        """Accepts and stores. What the database refuses is halved until the offending messages stand alone."""
        batch = self._acceptance.accept(messages)
        if batch.strangers and self._registry.refresh(batch.strangers):
            batch = self._acceptance.accept(messages)
        began = time.monotonic()
        try:
            stored = self._store(batch)
        except DatabaseRefused as error:
            if len(messages) > 1:
                middle = len(messages) // 2
                self._process(messages[:middle])
                self._process(messages[middle:])
                return
            batch = only([dead_letter(messages[0], Reason.REFUSED_BY_DATABASE, [str(error)])])
            stored = self._store(batch)
        self._metrics.stored(batch, len(messages), stored.readings, stored.duplicates, time.monotonic() - began)
