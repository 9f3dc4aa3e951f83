"""Renders the templates: one environment that escapes everything and knows no undefined value."""

from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from api import views
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
    ago=views.ago,
    moment=views.moment,
    iso=views.iso,
    span=views.span,
    quantity=views.quantity,
    waiting=views.waiting,
    tone_of=views.tone_of,
    event_text=views.event_text,
    STATES=views.STATES,
    SEVERITIES=views.SEVERITIES,
    RESOLUTIONS=views.RESOLUTIONS,
    HAPPENINGS=views.HAPPENINGS,
    NO_PROGNOSIS=(NOT_YET, OVER),
)


def page(
    request: Request,
    template: str,
    *,
    status: HTTPStatus = HTTPStatus.OK,
    headers: Mapping[str, str] | None = None,
    **values: Any,
) -> HTMLResponse:
    """The page of a template with its values."""
    text = _TEMPLATES.get_template(template).render(now=parts(request).clock(), path=request.url.path, **values)
    return HTMLResponse(text, status_code=status, headers=dict(headers or {}))
