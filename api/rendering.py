"""Renders the templates: one environment that escapes everything and knows no undefined value."""

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from api import times, views
from api.parts import parts
from api.prognosis import NOT_YET, OVER

_HERE = Path(__file__).parent


@cache
def asset(name: str) -> str:
    """Address of a static file, with a hash of its content: browsers may keep it for ever."""
    digest = sha256((_HERE / "static" / name).read_bytes()).hexdigest()[:12]
    return f"/static/{name}?v={digest}"


_TEMPLATES = Environment(
    loader=FileSystemLoader(_HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.globals.update(
    asset=asset,
    ago=times.ago,
    moment=times.moment,
    exact=times.exact,
    iso=times.iso,
    span=times.span,
    clock_of=times.clock_of,
    waiting=times.waiting,
    quantity=views.quantity,
    tone_of=views.tone_of,
    event_text=views.event_text,
    STATES=views.STATES,
    SEVERITIES=views.SEVERITIES,
    RESOLUTIONS=views.RESOLUTIONS,
    HAPPENINGS=views.HAPPENINGS,
    NO_PROGNOSIS=(NOT_YET, OVER),
)


def now_of(request: Request) -> datetime:
    """The time now, by the clock of who reads."""
    return parts(request).clock().astimezone(times.zone(request.cookies.get(times.ZONE_COOKIE)))


def page(
    request: Request,
    template: str,
    *,
    status: HTTPStatus = HTTPStatus.OK,
    headers: Mapping[str, str] | None = None,
    **values: Any,
) -> HTMLResponse:
    """The page of a template with its values."""
    text = _TEMPLATES.get_template(template).render(now=now_of(request), path=request.url.path, **values)
    return HTMLResponse(text, status_code=status, headers=dict(headers or {}))
