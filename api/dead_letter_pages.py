"""The page of dead letters: what could not be used of what devices sent, why, and a button to try again."""

from http import HTTPStatus
from itertools import islice
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import RedirectResponse, Response

from api import cursor, views
from api.access import Admin, Agent, Role
from api.answers import Words
from api.frame import address, frame
from api.parts import parts
from api.rendering import page
from telemetry.accepting import replay
from telemetry.store import DeadLetterStore, Which

router = APIRouter(include_in_schema=False)

PAGE = 50
AT_ONCE = 1000
"""Dead letters that one press of the button tries again."""


@router.get("/dead-letters")
def dead_letters(
    request: Request,
    caller: Agent,
    reason: Annotated[Words, Query(max_length=200)] = "",
    after: Annotated[Words | None, Query(max_length=1000)] = None,
    stored: Annotated[int | None, Query(ge=0, le=AT_ONCE)] = None,
    kept: Annotated[int, Query(ge=0, le=AT_ONCE)] = 0,
) -> Response:
    """Dead letters, newest first, and how many there are of each reason."""
    part = parts(request)
    number = cursor.numbers(after, 1)[0] if after else None
    rows = part.console.dead_letters(limit=PAGE + 1, after=number, reason=reason or None)
    shown = rows[:PAGE]
    more = len(rows) > PAGE
    counts = part.console.dead_letter_counts()
    following = address("/dead-letters", reason=reason, after=cursor.encode(shown[-1]["id"])) if more else None
    return page(
        request,
        "dead_letters.html",
        **frame(part, caller),
        letters=[{**row, "start": views.payload_start(row["payload"]), "left": views.left_line(row)} for row in shown],
        counts=counts,
        total=sum(row["letters"] for row in counts),
        reason=reason,
        first=after is None,
        following=following,
        address=address,
        may_replay=caller.role.covers(Role.ADMIN),
        at_once=AT_ONCE,
        done=None if stored is None else views.replay_line(stored, kept),
    )


@router.post("/dead-letters/replay")
def try_again(request: Request, _caller: Admin, reason: Annotated[Words, Form(max_length=200)] = "") -> Response:
    """Tries the oldest dead letters of a reason, or of all, again."""
    part = parts(request)
    letters = islice(DeadLetterStore(part.database).each(Which(reason=reason or None)), AT_ONCE)
    done = replay(part.settings, part.database, part.profiles, letters, clock=part.clock)
    target = address("/dead-letters", reason=reason, stored=str(done.stored), kept=str(done.kept))
    return RedirectResponse(target, HTTPStatus.SEE_OTHER)
