"""The outermost layer: every answer gets security headers and is counted, and no exception leaves without an answer."""

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.health import Metrics

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class Border:
    """ASGI middleware around everything else.

    refuse: makes the answer for an address that no text column can hold. unexpected: the one for an exception.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: Metrics,
        refuse: Callable[[Request], Response],
        unexpected: Callable[[Request, Exception], Response],
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._refuse = refuse
        self._unexpected = unexpected

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _add_headers(scope, message)
            await send(message)

        try:
            if "\0" in scope["path"] or "\0" in unquote(scope["query_string"].decode("latin-1")):
                await self._refuse(Request(scope))(scope, receive, send_with_headers)
            else:
                await self._app(scope, receive, send_with_headers)
        except Exception as error:
            if status:
                raise
            await self._unexpected(Request(scope), error)(scope, receive, send_with_headers)
        finally:
            route = _route(scope)
            self._metrics.requests.labels(scope["method"], route, status or 499).inc()
            self._metrics.seconds.labels(route).observe(time.perf_counter() - began)


def _add_headers(scope: Scope, message: Message) -> None:
    headers = MutableHeaders(scope=message)
    for name, value in SECURITY_HEADERS.items():
        headers.setdefault(name, value)
    if not scope["path"].startswith("/static/"):
        headers.setdefault("Cache-Control", "no-store")
    elif b"v=" in scope["query_string"] and message["status"] == 200:
        # The address holds a hash of the content: what is there never changes.
        headers["Cache-Control"] = "public, max-age=31536000, immutable"
    else:
        headers.setdefault("Cache-Control", "no-cache")


def _route(scope: Scope) -> str:
    """The template of the route, never the address itself: strangers must not make new label values."""
    route: Any = scope.get("route")
    if route is not None and hasattr(route, "path"):
        return str(route.path)
    return "/static" if scope["path"].startswith("/static/") else "unmatched"
