"""Puts the application together."""

from http import HTTPStatus
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import Response
from fastapi.staticfiles import StaticFiles
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware

from api import dead_letter_pages, health, pages, problems, rest, rest_ingest
from api.access import Access
from api.border import Border
from api.parts import Parts
from api.store import ConsoleStore, TokenStore
from core.clock import Clock, utc_now
from core.database import Database
from core.profile import Profiles
from core.settings import Settings
from proactive.store import TicketStore

STATIC = Path(__file__).parent / "static"


def create_app(settings: Settings, database: Database, *, clock: Clock = utc_now) -> FastAPI:
    """The API and the pages over `database`, which the caller closes."""
    console = ConsoleStore(database)
    metrics = health.Metrics(console)
    app = FastAPI(
        title="Forewarn",
        # The interactive descriptions load scripts from a CDN; /api/v1/openapi.json is there for any tool.
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        middleware=[
            Middleware(Border, metrics=metrics, refuse=_refuse, unexpected=problems.unexpected),
            Middleware(GZipMiddleware, minimum_size=500),
        ],
    )
    app.state.metrics = metrics
    app.state.access = Access(settings, TokenStore(database))
    app.state.parts = Parts(
        settings=settings,
        database=database,
        console=console,
        tickets=TicketStore(database, clock),
        profiles=Profiles(settings.profile_dir),
        clock=clock,
    )
    problems.install(app)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    app.include_router(health.router)
    for router in (rest.router, rest_ingest.router, pages.router, dead_letter_pages.router):
        app.include_router(router)
    return app


def _refuse(request: Request) -> Response:
    return problems.problem(request, HTTPStatus.BAD_REQUEST, "an address cannot contain a NUL character")
