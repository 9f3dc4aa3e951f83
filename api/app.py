"""Puts the application together."""

from http import HTTPStatus
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import Response
from fastapi.staticfiles import StaticFiles
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware

from api import dead_letter_pages, health, model_pages, pages, problems, rest, rest_ingest, rest_models
from api.access import Access
from api.border import Border
from api.parts import Parts
from api.store import ConsoleStore, TokenStore
from core.clock import Clock, utc_now
from core.database import Database
from core.profile import Profiles
from core.settings import Settings
from proactive.models import ModelStore
from proactive.staging import Rules
from proactive.store import TicketStore

STATIC = Path(__file__).parent / "static"


def create_app(settings: Settings, database: Database, *, clock: Clock = utc_now) -> FastAPI:
    """The API and the pages over `database`, which the caller closes."""
    profiles = Profiles(settings.profile_dir)
    console = ConsoleStore(database, profiles)
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
        models=ModelStore(database, profiles, Rules.of(settings), clock),
        profiles=profiles,
        clock=clock,
    )
    problems.install(app)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    app.include_router(health.router)
    routers = (rest, rest_ingest, rest_models, pages, dead_letter_pages, model_pages)
    for router in (module.router for module in routers):
        app.include_router(router)
    return app


def _refuse(request: Request) -> Response:
    return problems.problem(request, HTTPStatus.BAD_REQUEST, "an address cannot contain a NUL character")
