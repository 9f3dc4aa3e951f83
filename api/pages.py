"""The console: pages that are made on the server, readable without JavaScript, changed by plain forms."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, Literal

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import RedirectResponse, Response

from api import cursor, views
from api.access import COOKIE, SESSION, Access, Agent, Caller, Viewer, local_path
from api.answers import Number, Words
from api.chart import facts
from api.frame import address, frame, names_of
from api.parts import Parts, parts
from api.prognosis import time_to_failure
from api.rendering import now_of, page
from api.store import TicketFilter
from core.database import Row
from core.errors import Conflict, InvalidInput
from proactive.ticket import ALLOWED, Resolution, TicketState

router = APIRouter(include_in_schema=False)

PAGE = 50
EVENTS = 100
"""Events of a device that its page shows."""
LIVING = ("new", "open", "pending", "on_hold")
DONE = {
    "taken": "You have this ticket now.",
    "given": "Nobody has this ticket now.",
    "state": "The state is changed.",
    "solved": "The ticket is solved. Thank you: the resolution tells the detector whether it was right.",
    "note": "The note is in the timeline.",
}

NoteText = Annotated[Words, Form(max_length=10_000)]


@router.get("/sign-in")
def sign_in_page(request: Request, next_: Annotated[str, Query(alias="next")] = "/") -> Response:
    """The form that asks for a token."""
    return page(request, "sign_in.html", target=local_path(next_), error="")


@router.post("/sign-in")
def sign_in(
    request: Request, token: Annotated[str, Form()] = "", next_: Annotated[str, Form(alias="next")] = "/"
) -> Response:
    """Starts a session."""
    access: Access = request.app.state.access
    access.check_origin(request)
    target = local_path(next_)
    session = access.sign_in(token.strip())
    if session is None:
        sentence = "This token is not valid. Look for a missing character, or ask for a new one."
        return page(request, "sign_in.html", status=HTTPStatus.UNAUTHORIZED, target=target, error=sentence)
    response = RedirectResponse(target, HTTPStatus.SEE_OTHER)
    response.set_cookie(
        COOKIE,
        session,
        max_age=int(SESSION.total_seconds()),
        httponly=True,
        samesite="lax",
        secure=access.secure_cookies,
    )
    return response


@router.post("/sign-out")
def sign_out(_caller: Viewer) -> Response:
    """Ends the session."""
    response = RedirectResponse("/sign-in", HTTPStatus.SEE_OTHER)
    response.delete_cookie(COOKIE)
    return response


@router.get("/")
def queue(
    request: Request,
    caller: Viewer,
    state: TicketState | Literal["living"] = "living",
    severity: Literal["critical", "major", "minor", "warning"] | None = None,
    after: Annotated[Words | None, Query(max_length=1000)] = None,
) -> Response:
    """Tickets, those that need a person first."""
    part = parts(request)
    key = cursor.numbers(after, 3) if after else None
    rows = part.console.tickets(
        TicketFilter(states=LIVING if state == "living" else (state,), severity=severity),
        limit=PAGE + 1,
        after=(key[0], key[1], key[2]) if key else None,
        urgent_first=True,
    )
    shown = rows[:PAGE]
    following = None
    if len(rows) > PAGE:
        last = cursor.encode(shown[-1]["need"], shown[-1]["rank"], shown[-1]["id"])
        following = address("/", state=state, severity=severity, after=last)
    counts = part.console.ticket_counts()
    by_state, by_severity = _count(counts, state)
    return page(
        request,
        "queue.html",
        **frame(part, caller, counts),
        tickets=[_with_words(part, row) for row in shown],
        state=state,
        severity=severity,
        by_state=by_state,
        by_severity=by_severity,
        following=following,
        first=after is None,
        address=address,
        here=address("/", state=state, severity=severity, after=after),
    )


@router.get("/devices")
def devices(
    request: Request,
    caller: Viewer,
    search: Annotated[Words, Query(max_length=200)] = "",
    after: Annotated[Words | None, Query(max_length=1000)] = None,
) -> Response:
    """All devices, or those that match."""
    part = parts(request)
    name = str(cursor.decode(after, str)[0]) if after else None
    rows = part.console.devices(limit=PAGE + 1, after=name, search=search.strip() or None)
    shown = rows[:PAGE]
    more = len(rows) > PAGE
    following = address("/devices", search=search, after=cursor.encode(shown[-1]["name"])) if more else None
    return page(
        request,
        "devices.html",
        **frame(part, caller),
        devices=[_with_condition(part, row) for row in shown],
        search=search,
        following=following,
        first=after is None,
    )


@router.get("/devices/{name}")
def device(request: Request, caller: Viewer, name: Words) -> Response:
    """One device: chart, findings, tickets, condition."""
    part = parts(request)
    row = part.console.device(name)
    names = names_of(part, row)
    findings = part.console.findings(limit=PAGE, device=name)
    tickets = part.console.tickets(TicketFilter(device=name), limit=PAGE, urgent_first=True)
    readings = part.console.latest_readings(name)
    events = part.console.device_events(name, limit=EVENTS)
    bands = views.normal_bands(findings, names)
    worst = views.worst(findings)
    return page(
        request,
        "device.html",
        **frame(part, caller),
        device=row,
        names=names,
        findings=findings,
        worst=worst,
        evidence=views.evidence(worst, names) if worst else [],
        remaining=_remaining(part, worst, row) if worst else "",
        tickets=[_with_words(part, ticket) for ticket in tickets],
        readings=readings,
        conditions=views.conditions(part.console.component_health(name), names),
        bands=bands,
        events=[{**event, "title": views.event_title(event, names)} for event in events],
        firmware=[a for a in part.console.device_attributes(name) if a["name"] == "firmware"],
        skew=views.skew_line(row["clock_skew_s"], part.settings.clock_tolerance),
        chart=facts(row, part.profile(row["profile"]), names, findings, readings, events, now_of(request)),
    )


@router.get("/tickets/{ticket}")
def ticket(request: Request, caller: Viewer, ticket: Number, done: str = "") -> Response:
    """One ticket: evidence, playbook, messages, timeline, actions."""
    return _ticket_page(request, caller, ticket, done=DONE.get(done, ""))


@router.post("/tickets/{ticket}/take")
def take(request: Request, caller: Agent, ticket: Number) -> Response:
    """Gives the ticket to whoever asks."""
    parts(request).tickets.assign(ticket, assignee=caller.name, actor=caller.name)
    return _back(ticket, "taken")


@router.post("/tickets/{ticket}/give-back")
def give_back(request: Request, caller: Agent, ticket: Number) -> Response:
    """Gives the ticket to nobody."""
    parts(request).tickets.assign(ticket, assignee="", actor=caller.name)
    return _back(ticket, "given")


@router.post("/tickets/{ticket}/state")
def change_state(
    request: Request,
    caller: Agent,
    ticket: Number,
    state: Annotated[TicketState, Form()],
    resolution: Annotated[Resolution | None, Form()] = None,
    note: NoteText = "",
) -> Response:
    """Changes the state; what the ticket does not allow is said on its page."""
    try:
        parts(request).tickets.change(ticket, state=state, resolution=resolution, actor=caller.name, note=note.strip())
    except (Conflict, InvalidInput) as error:
        return _ticket_page(request, caller, ticket, error=str(error), status=HTTPStatus.CONFLICT)
    return _back(ticket, "solved" if state is TicketState.SOLVED else "state")


@router.post("/tickets/{ticket}/notes")
def add_note(request: Request, caller: Agent, ticket: Number, text: NoteText = "") -> Response:
    """Adds a note."""
    try:
        parts(request).tickets.add_note(ticket, actor=caller.name, text=text)
    except InvalidInput as error:
        return _ticket_page(request, caller, ticket, error=str(error), status=HTTPStatus.UNPROCESSABLE_ENTITY)
    return _back(ticket, "note")


def show_problem(
    request: Request, status: HTTPStatus, detail: str, *, headers: Mapping[str, str] | None = None
) -> Response:
    """An error as a page; whoever is not signed in gets the form for it in place."""
    if status is HTTPStatus.UNAUTHORIZED:
        query = f"?{request.url.query}" if request.url.query else ""
        target = local_path(request.url.path + query) if request.method == "GET" else "/"
        # A page that refreshes itself after its session ended loads anew, and so shows the form.
        extra = {"HX-Refresh": "true"} if "hx-request" in request.headers else {}
        return page(
            request, "sign_in.html", status=status, headers={**(headers or {}), **extra}, target=target, error=""
        )
    return page(request, "problem.html", status=status, headers=headers, title=status.phrase, detail=detail)


def _ticket_page(
    request: Request,
    caller: Caller,
    number: int,
    *,
    done: str = "",
    error: str = "",
    status: HTTPStatus = HTTPStatus.OK,
) -> Response:
    part = parts(request)
    row = _with_words(part, part.console.ticket(number))
    findings = part.console.findings(limit=PAGE, ticket=number)
    names: views.Names = row["names"]
    reachable = ALLOWED[TicketState(row["state"])]
    return page(
        request,
        "ticket.html",
        status=status,
        **frame(part, caller),
        ticket=row,
        names=names,
        findings=findings,
        evidence=views.evidence(findings[0], names) if findings else [],
        unusual=_unusual(part, findings, row),
        remaining=_remaining(part, findings[0], row) if findings else "",
        playbook=names.playbook(row["failure_mode"]),
        timeline=part.console.timeline(number),
        notices=part.console.notices(limit=PAGE, ticket=number),
        reachable=[state for state in TicketState if state in reachable and state is not TicketState.SOLVED],
        solvable=TicketState.SOLVED in reachable,
        done=done,
        error=error,
    )


def _count(counts: list[Row], state: str) -> tuple[dict[str, int], dict[str, int]]:
    """Tickets by state, and by severity within the chosen states."""
    by_state = dict.fromkeys(("living", *views.STATES), 0)
    by_severity = dict.fromkeys(views.SEVERITIES, 0)
    chosen = LIVING if state == "living" else (state,)
    for row in counts:
        by_state[row["state"]] += row["tickets"]
        if row["state"] in LIVING:
            by_state["living"] += row["tickets"]
        if row["state"] in chosen and row["severity"] in by_severity:
            by_severity[row["severity"]] += row["tickets"]
    return by_state, by_severity


def _with_words(part: Parts, row: Row) -> Row:
    words = {"names": names_of(part, row), "notice": views.notice_line(row, part.clock())}
    return {**row, **words, "remaining": _remaining(part, row, row)}


def _remaining(part: Parts, finding: Row, device: Row) -> str:
    profile = part.profile(device["profile"])
    return time_to_failure(finding, profile.horizon if profile else None, part.clock())


def _unusual(part: Parts, findings: Sequence[Row], ticket: Row) -> list[views.Condition]:
    """What else is not as usual on the ticket's device, while what the ticket is about goes on."""
    if not findings or findings[0]["closed_at"]:
        return []
    rows = part.console.component_health(ticket["device"])
    return views.unusual(rows, ticket["names"], besides=ticket["component"])


def _with_condition(part: Parts, row: Row) -> Row:
    names = names_of(part, row)
    return {**row, "names": names, "worst": views.condition(row["worst_component"] or "", row["worst_health"], names)}


def _back(number: int, done: str) -> Response:
    """To the ticket's page, which says what was done: reloading it does nothing twice."""
    return RedirectResponse(f"/tickets/{number}?done={done}", HTTPStatus.SEE_OTHER)
