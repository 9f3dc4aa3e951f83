"""Errors as people and programs read them: RFC 9457 problem details, or a page for a browser.

`STATUS` is the one table from the error tree to HTTP; a test checks that it is complete.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from api.access import NotSignedIn
from core import errors, log

STATUS: dict[type[errors.ForewarnError], HTTPStatus] = {
    errors.ForewarnError: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.Temporary: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.DatabaseAway: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.Permanent: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.InvalidSettings: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.InvalidProfile: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.InvalidInput: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.DatabaseRefused: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.BrokerRefused: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.NotFound: HTTPStatus.NOT_FOUND,
    errors.Conflict: HTTPStatus.CONFLICT,
    errors.Denied: HTTPStatus.FORBIDDEN,
    NotSignedIn: HTTPStatus.UNAUTHORIZED,
}
MEDIA_TYPE = "application/problem+json"
_RETRY_AFTER = "5"
_log = log.get(__name__)


def status_of(error: errors.ForewarnError) -> HTTPStatus:
    """The HTTP status of an error; a class that a stage adds below one of the tree has its parent's."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def install(app: FastAPI) -> None:
    """Makes `app` answer each error with a problem."""
    app.add_exception_handler(errors.ForewarnError, _forewarn_error)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(HTTPException, _http_error)


def problem(
    request: Request,
    status: HTTPStatus,
    detail: str,
    *,
    fields: list[dict[str, str]] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An error as a page where a browser asks for one, else as problem details."""
    if _wants_page(request):
        from api.pages import show_problem  # noqa: PLC0415 — the pages need this module too

        return show_problem(request, status, detail, headers=headers)
    body: dict[str, Any] = {
        "type": f"urn:forewarn:problem:{status.phrase.lower().replace(' ', '-')}",
        "title": status.phrase,
        "status": status.value,
        "detail": detail,
        "instance": request.url.path,
    }
    if fields:
        body["errors"] = fields
    return JSONResponse(body, status_code=status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def unexpected(request: Request, error: Exception) -> Response:
    """The answer to an error nobody foresaw; the error itself only goes to the log."""
    _log.error("request failed", path=request.url.path, method=request.method, exc_info=error)
    return problem(request, HTTPStatus.INTERNAL_SERVER_ERROR, "something went wrong here; it was logged")


def _forewarn_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, errors.ForewarnError)
    status = status_of(error)
    headers = {}
    detail = str(error)
    if status is HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="forewarn"'
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = _RETRY_AFTER
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        # The driver's words may name hosts and users: they are for the log.
        _log.warning("request failed", path=request.url.path, kind=type(error).__name__, error=detail)
        detail = str(type(error).__doc__).split("\n")[0]
    return problem(request, status, detail, headers=headers)


def _invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    # Without the input: it may be huge, secret, or no valid text at all.
    fields = [{"field": _printable(".".join(map(str, e["loc"]))), "message": str(e["msg"])} for e in error.errors()]
    detail = "; ".join(f"{f['field']}: {f['message']}" for f in fields)
    return problem(request, HTTPStatus.UNPROCESSABLE_ENTITY, detail, fields=fields)


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    sentences = {
        HTTPStatus.NOT_FOUND: "there is nothing at this address",
        HTTPStatus.METHOD_NOT_ALLOWED: f"{request.method} is not possible here",
    }
    return problem(request, status, sentences.get(status, str(error.detail)), headers=error.headers)


def _printable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _wants_page(request: Request) -> bool:
    plain = request.url.path.startswith(("/api/", "/static/", "/healthz", "/readyz", "/metrics"))
    return not plain and "text/html" in request.headers.get("accept", "")
