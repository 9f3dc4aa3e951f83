"""Signs of life: each running part writes a row now and then, so that others can see that it is there and how it is."""

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import psycopg
from psycopg.types.json import Jsonb

from core import log
from core.clock import Clock
from core.database import Database, Queries
from core.errors import DatabaseAway

_SQL = Queries("core", "heartbeat.sql")
_log = log.get(__name__)

EVERY = 5.0
"""Seconds between two beats."""


def this_process() -> str:
    """A name for a process of which any number may run."""
    return f"{socket.gethostname()}:{os.getpid()}"


class Heartbeat:
    """Beats for one process while its block runs; a beat that the database does not take is left out. The last one
    says `{"ended": true}`: who stopped on purpose is not missed.

    part: what the process is, like `gateway`; instance: which of them. detail: how it is, asked for at each beat.
    """

    def __init__(
        self,
        database: Database,
        *,
        part: str,
        instance: str,
        now: Clock,
        detail: Callable[[], Mapping[str, Any]] = dict,
        every: float = EVERY,
    ) -> None:
        self._database = database
        self._part = part
        self._instance = instance
        self._now = now
        self._detail = detail
        self._every = every
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def _run(self) -> None:
        well = True
        while True:
            try:
                beat(self._database, self._part, self._instance, at=self._now(), detail=self._detail())
                well = True
            except (DatabaseAway, psycopg.Error) as error:
                # The part itself says so when the database is away; a missing table or right shows here alone.
                if well and not isinstance(error, DatabaseAway):
                    _log.warning("no sign of life could be written", error=str(error).split("\n")[0])
                well = False
            if self._stop.wait(self._every):
                return

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        # It may be waiting for a database that is away; that is no reason to stay.
        self._thread.join(2)
        if error is None and not self._thread.is_alive():
            with contextlib.suppress(DatabaseAway, psycopg.Error):
                beat(self._database, self._part, self._instance, at=self._now(), detail={"ended": True})


def beat(database: Database, part: str, instance: str, *, at: datetime, detail: Mapping[str, Any]) -> None:
    """Writes one sign of life. Raises DatabaseAway."""
    with database.transaction() as connection:
        connection.execute(_SQL["beat"], {"part": part, "instance": instance, "at": at, "detail": Jsonb(dict(detail))})


def beats(database: Database) -> list[dict[str, Any]]:
    """The last sign of life of each instance: `part`, `instance`, `at`, `detail`; by part. Raises DatabaseAway."""
    with database.transaction() as connection:
        return connection.execute(_SQL["beats"]).fetchall()
