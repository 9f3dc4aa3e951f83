"""The loop of the gateway: take a batch, accept it, hand it to the store, and only then acknowledge it."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Generic, NamedTuple, Protocol, TypeVar

from core import log
from core.errors import DatabaseAway
from device_gateway.acceptance import Acceptance
from device_gateway.batching import only
from device_gateway.decoder import Request
from device_gateway.inbox import Inbox
from device_gateway.intake import Intake, Pace
from device_gateway.metrics import Metrics
from device_gateway.readings import Batch, Message
from device_gateway.registry import Registry
from device_gateway.skew import Skews

_log = log.get("gateway")

_LAGS_EVERY = 200_000
"""Microseconds between two batches whose lags are looked at: under load, some tell as much as all."""


class _Stored(Protocol):
    @property
    def readings(self) -> int: ...
    @property
    def duplicates(self) -> int: ...


_Prepared = TypeVar("_Prepared")


class Store(Protocol[_Prepared]):
    """Stores batches, each in one transaction."""

    def prepare(self, batch: Batch) -> _Prepared:
        """What of it can be done beforehand. Called by the thread that accepts, while another batch is stored."""
        ...

    def store(self, batch: Batch, prepared: _Prepared, /) -> _Stored:
        """Stores all of `batch` or, by an exception, nothing. Raises DatabaseAway when it may be stored later."""
        ...


class _Accepted(NamedTuple, Generic[_Prepared]):
    """A batch, what the store made of it beforehand, and how much the registry had learned when it was made."""

    batch: Batch
    prepared: _Prepared
    learned: int


class Gateway(Generic[_Prepared]):
    """Moves messages from the inbox into the store. `acknowledge` is called once what it is given is stored, `publish`
    with what a format asks for.
    """

    def __init__(
        self,
        *,
        inbox: Inbox,
        acceptance: Acceptance,
        registry: Registry,
        store: Store[_Prepared],
        acknowledge: Callable[[Sequence[Message]], None],
        publish: Callable[[Sequence[Request]], None] = lambda _: None,
        metrics: Metrics,
        pace: Pace,
        skews: Skews | None = None,
    ) -> None:
        self._inbox = inbox
        self._acceptance = acceptance
        self._registry = registry
        self._store = store
        self._acknowledge = acknowledge
        self._publish = publish
        self._metrics = metrics
        self._pace = pace
        self._intake = Intake(inbox, metrics, pace)
        self._stop = self._intake.stopping
        self._accepting = threading.Lock()
        self._skews = Skews() if skews is None else skews
        self._lags_at = 0

    def stop(self) -> None:
        """Makes `run` return once what is in the inbox is stored, or cannot be: then the broker still has it."""
        self._stop.set()

    def run(self) -> None:
        """Runs until `stop` was called or the inbox is closed, and the inbox is empty.

        While one batch is stored, which is mostly waiting for the database, the next one is accepted and prepared.
        """
        intake = self._intake
        under_way: Future[bool] | None = None
        with ThreadPoolExecutor(1, "store") as storing:
            try:
                while True:
                    messages = intake.take()
                    if messages:
                        accepted = self._ahead(messages)
                        if under_way and not under_way.result():
                            return
                        under_way = storing.submit(self._finish, messages, accepted)
                    elif under_way and (under_way.done() or intake.ended):
                        if not under_way.result():
                            return
                        under_way = None
                    elif intake.ended:
                        return
            finally:
                # After an error, the other thread must not wait for the database for ever.
                self._stop.set()

    def _accept(self, messages: Sequence[Message]) -> _Accepted[_Prepared]:
        with self._accepting:
            batch, learned = self._acceptance.accept(messages), self._registry.learned
        return _Accepted(batch, self._store.prepare(batch), learned)

    def _ahead(self, messages: Sequence[Message]) -> _Accepted[_Prepared] | None:
        """What is accepted before its turn; None where this code fails: in their turn it is seen at which of them."""
        try:
            return self._accept(messages)
        except Exception:  # noqa: BLE001 — it fails again in its turn, and is told then
            return None

    def _finish(self, messages: Sequence[Message], accepted: _Accepted[_Prepared] | None) -> bool:
        """Stores `messages`, however long the database is away, and acknowledges them; False when told to stop."""
        pause, away = self._pace.first_pause, False
        while True:
            try:
                self._process(messages, accepted)
            except DatabaseAway as error:
                self._metrics.away(True)
                if not away:
                    _log.error("the database is away; messages wait, unacknowledged", error=str(error))
                away = True
                if self._stop.wait(pause):
                    _log.warning("stopped without the database; the broker keeps what is not stored")
                    return False
                pause = min(2 * pause, self._pace.longest_pause)
            else:
                if away:
                    self._metrics.away(False)
                    _log.info("the database is back")
                self._acceptance.forget(messages)
                self._inbox.done()
                self._acknowledge(messages)
                return True

    def _process(self, messages: Sequence[Message], accepted: _Accepted[_Prepared] | None = None) -> None:
        """Stores messages. What the database refuses, or this code fails at, is halved until the offending messages
        stand alone: these become dead letters.
        """
        began = time.monotonic()
        try:
            batch, stored = self._commit(messages, accepted or self._accept(messages))
        except DatabaseAway:
            raise
        except Exception as error:  # noqa: BLE001 — logged, and told by the dead letter
            if len(messages) > 1:
                middle = len(messages) // 2
                for half in (messages[:middle], messages[middle:]):
                    self._process(half)
                return
            batch = only([self._acceptance.letter(messages[0], error)])
            stored = self._store.store(batch, self._store.prepare(batch))
        if batch.requests:
            self._publish(batch.requests)
        self._metrics.stored(batch, len(messages), stored.readings, stored.duplicates, time.monotonic() - began)

    def _commit(self, messages: Sequence[Message], accepted: _Accepted[_Prepared]) -> tuple[Batch, _Stored]:
        accepted = self._known(messages, accepted)
        batch = accepted.batch
        if batch.lags and messages[-1].received - self._lags_at >= _LAGS_EVERY:
            self._lags_at = messages[-1].received
            skews = self._skews.follow(*batch.lags, self._lags_at / 1e6)
            batch = replace(batch, clock_skews=skews) if skews else batch
        return batch, self._store.store(batch, accepted.prepared)

    def _known(self, messages: Sequence[Message], accepted: _Accepted[_Prepared]) -> _Accepted[_Prepared]:
        """The batch as accepted once the database was asked about the strangers in it."""
        if accepted.batch.strangers and accepted.learned != self._registry.learned:
            # They may have been met in the batch before, while this one was accepted already.
            accepted = self._accept(messages)
        # Twice, since only of a device that is known can it be said which of its signals are not.
        for _ in range(2):
            if not accepted.batch.strangers:
                break
            with self._accepting:
                learned = self._registry.refresh(accepted.batch.strangers)
            if not learned:
                break
            accepted = self._accept(messages)
        return accepted
