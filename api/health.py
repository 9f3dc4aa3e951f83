"""How the process and what it depends on are: `/healthz`, `/readyz` and `/metrics`, open to whoever watches them."""

import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from api.parts import parts
from api.store import ConsoleStore
from core import log
from core.clock import utc_now
from core.database import Database
from core.errors import DatabaseAway
from core.heartbeat import EVERY, beats

router = APIRouter()
_log = log.get(__name__)
_MISSED = 4
"""Beats that may be missed before a part counts as gone."""


class Metrics:
    """Counters of one app, in a registry of its own: two apps in one process do not meet."""

    def __init__(self, console: ConsoleStore) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "forewarn_http_requests",
            "HTTP requests by route and status.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "forewarn_http_request_seconds", "Time to answer a request.", ["route"], registry=self.registry
        )
        self.registry.register(_Totals(console))


class _Totals(Collector):
    """Counts out of the database, taken when they are asked for."""

    def __init__(self, console: ConsoleStore) -> None:
        self._console = console

    def describe(self) -> list[GaugeMetricFamily]:
        # Registering must not ask the database.
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Gauges; without the counts while the database is away."""
        try:
            totals = self._console.totals()
        except DatabaseAway as error:
            _log.warning("no totals for /metrics", error=str(error))
            yield GaugeMetricFamily("forewarn_database_up", "Whether the database answers.", 0)
            return
        yield GaugeMetricFamily("forewarn_database_up", "Whether the database answers.", 1)
        yield GaugeMetricFamily("forewarn_open_tickets", "Tickets neither solved nor closed.", totals["open_tickets"])
        yield GaugeMetricFamily("forewarn_due_notices", "Notices that have not left yet.", totals["due_notices"])
        yield GaugeMetricFamily("forewarn_dead_letters", "Messages that could not be stored.", totals["dead_letters"])


@router.get("/healthz", include_in_schema=False)
def alive() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/readyz", include_in_schema=False)
def ready(request: Request) -> Response:
    """Each dependency by name; 503 when one is down."""
    part = parts(request)
    checks = {
        "database": _check("database", part.database.ping),
        "broker": _check("broker", lambda: _connect(part.settings.mqtt_host, part.settings.mqtt_port)),
    }
    running = _running(part.database) if checks["database"]["ok"] else None
    down = [name for name, check in checks.items() if not check["ok"]]
    status = f"down: {', '.join(down)}" if down else "ok"
    # What other processes say of themselves is shown and does not count: it is this one that is asked to be ready.
    answer = {"status": status, "checks": checks, "parts": running}
    return JSONResponse(answer, status_code=503 if down else 200)


@router.get("/metrics", include_in_schema=False)
def show_metrics(request: Request) -> Response:
    """Metrics in Prometheus' text format."""
    metrics: Metrics = request.app.state.metrics
    return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)


def _check(name: str, ask: Callable[[], None]) -> dict[str, Any]:
    """Whether `ask` returns, and how long it took. Its error goes to the log: this answer is public."""
    began = time.perf_counter()
    try:
        ask()
    except (DatabaseAway, OSError) as error:
        _log.warning("dependency is down", dependency=name, error=str(error))
        return {"ok": False, "detail": "does not answer"}
    return {"ok": True, "latency_ms": round((time.perf_counter() - began) * 1000, 2)}


def _running(database: Database) -> dict[str, list[dict[str, Any]]] | None:
    """By part, each instance that did not end on purpose: seconds since its last sign of life, and what it said."""
    try:
        rows = beats(database)
    except DatabaseAway as error:
        _log.warning("no signs of life can be read", error=str(error))
        return None
    now = utc_now()
    said: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if not row["detail"].get("ended"):
            age = round((now - row["at"]).total_seconds(), 1)
            said.setdefault(row["part"], []).append({"age_s": age, "ok": age < _MISSED * EVERY, **row["detail"]})
    return said


def _connect(host: str, port: int) -> None:
    with socket.create_connection((host, port), timeout=2):
        pass
