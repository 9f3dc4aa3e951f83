"""What every page of the console needs: its head, the titles of a device's parts, and addresses with a query."""

from typing import Any
from urllib.parse import quote, urlencode

from api import views
from api.access import Caller, Role
from api.parts import Parts
from core.database import Row


def frame(part: Parts, caller: Caller, counts: list[Row] | None = None) -> dict[str, Any]:
    """What each page's head shows; `counts` where the page has them already."""
    waiting = sum(row["tickets"] for row in counts or part.console.ticket_counts() if row["state"] in ("new", "open"))
    return {"caller": caller, "may_act": caller.role.covers(Role.AGENT), "need_person": waiting}


def names_of(part: Parts, row: Row) -> views.Names:
    """The titles of the parts of a row's profile."""
    return views.Names(row["profile"], part.profile(row["profile"]))


def address(path: str, **query: str | None) -> str:
    """A path with those values of `query` that are set."""
    filled = {key: value for key, value in query.items() if value}
    return f"{path}?{urlencode(filled)}" if filled else path


def place(*parts: str) -> str:
    """A path of names, which may hold anything."""
    return "/" + "/".join(quote(part, safe="") for part in parts)
