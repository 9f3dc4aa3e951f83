"""Who calls and what they may do: bearer tokens for programs, a signed session cookie for the pages.

The cookie names the token it was made with and never holds it; a token that was revoked or changed ends its sessions.
A request that changes something and is signed in by cookie must come from our own pages.
"""

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from hashlib import sha256
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import Depends, Request
from itsdangerous import BadData, URLSafeTimedSerializer

from api.store import TokenStore
from core.errors import Denied
from core.settings import Settings

COOKIE = "forewarn_session"
SESSION = timedelta(hours=12)
FIRST = "admin"
"""The name of whoever uses the token of the settings."""

_SAFE = {"GET", "HEAD", "OPTIONS"}
_FIRST_ID = 0


class Role(StrEnum):
    """What a caller may do; each role may do what the ones before it may."""

    VIEWER = "viewer"
    AGENT = "agent"
    ADMIN = "admin"

    def covers(self, other: "Role") -> bool:
        """Whether this role may do what `other` may."""
        order = list(Role)
        return order.index(self) >= order.index(other)


class NotSignedIn(Denied):
    """The request has no valid token or session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Somebody whose token we know."""

    name: str
    role: Role


def new_token() -> str:
    """A token nobody can guess; its start tells people and secret scanners what it is."""
    return f"fwn_{secrets.token_urlsafe(32)}"


class Access:
    """Turns a request into a caller."""

    def __init__(self, settings: Settings, tokens: TokenStore) -> None:
        self._tokens = tokens
        self._first = settings.admin_token.get_secret_value()
        self._key = settings.session_secret.get_secret_value() or secrets.token_urlsafe(32)
        self._signer = URLSafeTimedSerializer(self._key, salt="forewarn session")
        self._origin = settings.base_url
        self.secure_cookies = settings.secure_cookies

    def sign_in(self, token: str) -> str | None:
        """The session cookie's value for a valid token, else None."""
        if self._is_first(token):
            return self._signer.dumps([_FIRST_ID, self._mark(token)])
        row = self._tokens.by_token(token) if token else None
        return self._signer.dumps([row["id"], ""]) if row else None

    def caller(self, request: Request) -> Caller:
        """Who sent the request. Raises NotSignedIn, or Denied for a change that another site asks for."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme:
            found = self._by_token(token.strip()) if scheme.lower() == "bearer" else None
            if found is None:
                raise NotSignedIn("the bearer token is not valid; make one with `forewarn token create`")
            return found
        found = self._by_cookie(request.cookies.get(COOKIE, ""))
        if found is None:
            raise NotSignedIn("sign in, or send `Authorization: Bearer TOKEN`")
        self.check_origin(request)
        return found

    def check_origin(self, request: Request) -> None:
        """Raises Denied for a change that a browser makes for another site (CSRF)."""
        if request.method in _SAFE:
            return
        site = request.headers.get("sec-fetch-site")
        if site is not None:
            if site == "same-origin":
                return
        # A browser on plain HTTP sends no Sec-Fetch-Site.
        elif (origin := request.headers.get("origin")) and (
            origin == self._origin or urlsplit(origin).netloc == request.headers.get("host")
        ):
            return
        raise Denied("the request does not come from this site's own pages")

    def _by_token(self, token: str) -> Caller | None:
        if self._is_first(token):
            return Caller(name=FIRST, role=Role.ADMIN)
        return _caller(self._tokens.by_token(token)) if token else None

    def _by_cookie(self, cookie: str) -> Caller | None:
        try:
            number, mark = self._signer.loads(cookie, max_age=int(SESSION.total_seconds()))
        except (BadData, ValueError, TypeError):
            return None
        if number == _FIRST_ID:
            current = bool(self._first) and hmac.compare_digest(mark, self._mark(self._first))
            return Caller(name=FIRST, role=Role.ADMIN) if current else None
        return _caller(self._tokens.by_id(number))

    def _is_first(self, token: str) -> bool:
        given, known = (text.encode("utf-8", "surrogatepass") for text in (token, self._first))
        return bool(known) and hmac.compare_digest(given, known)

    def _mark(self, token: str) -> str:
        # Keyed, so that a stolen cookie does not let anybody try out tokens at home.
        return hmac.new(self._key.encode(), token.encode("utf-8", "surrogatepass"), sha256).hexdigest()


def _caller(row: dict[str, Any] | None) -> Caller | None:
    return Caller(name=row["name"], role=Role(row["role"])) if row else None


def needs(role: Role) -> Callable[[Request], Caller]:
    """A dependency that lets callers of `role` and above through, and gives the caller."""

    def check(request: Request) -> Caller:
        access: Access = request.app.state.access
        caller = access.caller(request)
        if not caller.role.covers(role):
            raise Denied(f"this takes the role {role}; the token {caller.name!r} has the role {caller.role}")
        return caller

    return check


Viewer = Annotated[Caller, Depends(needs(Role.VIEWER))]
Agent = Annotated[Caller, Depends(needs(Role.AGENT))]
Admin = Annotated[Caller, Depends(needs(Role.ADMIN))]


def local_path(target: str) -> str:
    """`target` when it is a path of this site, else the first page: nobody is sent elsewhere after signing in."""
    plain = target.isprintable() and "\\" not in target and not target.startswith("//")
    return target if plain and target.startswith("/") else "/"
