"""REST under `/api/v1`: what the pages show as JSON, and what people do to tickets."""

from datetime import timedelta
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from api import answers, cursor
from api.access import Agent, Viewer
from api.answers import Number, UtcTime, Words
from api.paging import Cursor, Limit, Name, after_id, by_id, listing
from api.parts import Parts, parts
from api.store import MOST_RAW, TicketFilter
from core.errors import InvalidInput, NotFound
from core.profile import Role
from proactive.ticket import TicketState

router = APIRouter(prefix="/api/v1")

Severity = Literal["critical", "major", "minor", "warning"]


@router.get("/devices")
def list_devices(
    request: Request,
    _caller: Viewer,
    search: Name = None,
    profile: Name = None,
    limit: Limit = 50,
    cursor_: Annotated[Cursor, Query(alias="cursor")] = None,
) -> answers.Listing[answers.Device]:
    """Devices by name. `search` is a part of name, serial number, model, site, address or customer."""
    after = str(cursor.decode(cursor_, str)[0]) if cursor_ else None
    rows = parts(request).console.devices(limit=limit + 1, after=after, search=search or None, profile=profile)
    return answers.Listing[answers.Device].model_validate(
        listing(answers.Device, rows, limit, lambda row: (row["name"],))
    )


@router.get("/devices/{name}")
def get_device(request: Request, _caller: Viewer, name: Words) -> answers.DeviceDetail:
    """One device with the health of its components and the newest reading of each signal."""
    console = parts(request).console
    return answers.DeviceDetail.model_validate(
        {
            **console.device(name),
            "health": console.component_health(name),
            "readings": console.latest_readings(name),
            "attributes": console.device_attributes(name),
        }
    )


@router.get("/devices/{name}/readings", response_model=answers.Columns)
def get_readings(
    request: Request,
    _caller: Viewer,
    name: Words,
    signal: Annotated[Words, Query(max_length=200)],
    start: Annotated[UtcTime | None, Query(alias="from")] = None,
    stop: Annotated[UtcTime | None, Query(alias="to")] = None,
    points: Annotated[int, Query(ge=1, le=MOST_RAW)] = 2000,
) -> Response:
    """Readings of one signal in [from, to), the last 7 days unless told: as measured when there are at most `points`,
    else the least, greatest and mean value of about `points` buckets, so that no spike is lost. Of a mode, the value that most
    readings of a bucket have.
    """
    part = parts(request)
    stop = stop or part.clock()
    start = start or stop - timedelta(days=7)
    if not start < stop:
        raise InvalidInput("`from` must be before `to`")
    found = part.console.readings(name, signal, start, stop, points)
    profile = part.profile(found.profile if found else part.console.device(name)["profile"])
    declared = profile.signals.get(signal) if profile else None
    if found is None and declared is None:
        raise NotFound(f"signal of {name}", signal)
    columns: dict[str, Any] = {
        "device": name,
        "signal": signal,
        "unit": declared.unit if declared else "",
        "role": declared.role if declared else None,
        "start": start,
        "stop": stop,
        "bucket_seconds": found.bucket.total_seconds() if found and found.bucket else None,
        "time": found.time if found else [],
    }
    if found and found.bucket and not (declared and declared.role is Role.MODE):
        columns |= {"least": found.least, "greatest": found.greatest, "mean": found.mean}
    else:
        columns["value"] = found.value if found else []
    # msgspec is 20 times as fast on columns as a pydantic model, and writes a value that is no number as null.
    return Response(msgspec.json.encode(columns), media_type="application/json")


@router.get("/findings")
def list_findings(
    request: Request,
    _caller: Viewer,
    device: Name = None,
    is_open: Annotated[bool | None, Query(alias="open")] = None,
    kind: Literal["degradation", "limit", "silence", "sensor"] | None = None,
    limit: Limit = 50,
    cursor_: Annotated[Cursor, Query(alias="cursor")] = None,
) -> answers.Listing[answers.Finding]:
    """Findings, newest first."""
    rows = parts(request).console.findings(
        limit=limit + 1, after=after_id(cursor_), device=device, is_open=is_open, kind=kind
    )
    return answers.Listing[answers.Finding].model_validate(listing(answers.Finding, rows, limit, by_id))


@router.get("/tickets")
def list_tickets(
    request: Request,
    _caller: Viewer,
    state: Annotated[list[TicketState] | None, Query(description="One or several states.")] = None,
    device: Name = None,
    severity: Severity | None = None,
    limit: Limit = 50,
    cursor_: Annotated[Cursor, Query(alias="cursor")] = None,
) -> answers.Listing[answers.Ticket]:
    """Tickets, newest first."""
    last = after_id(cursor_)
    rows = parts(request).console.tickets(
        TicketFilter(states=state, severity=severity, device=device),
        limit=limit + 1,
        after=(0, 0, last) if last is not None else None,
    )
    return answers.Listing[answers.Ticket].model_validate(listing(answers.Ticket, rows, limit, by_id))


@router.get("/tickets/{ticket}")
def get_ticket(request: Request, _caller: Viewer, ticket: Number) -> answers.TicketDetail:
    """One ticket with its timeline, notices and findings."""
    return _detail(parts(request), ticket)


@router.patch("/tickets/{ticket}")
def change_ticket(
    request: Request, caller: Agent, ticket: Number, change: answers.TicketChange
) -> answers.TicketDetail:
    """Changes state (with resolution and note), assignee, or adds a note. The state goes first: it may be refused."""
    part = parts(request)
    if change.state is not None:
        part.tickets.change(
            ticket, state=change.state, resolution=change.resolution, actor=caller.name, note=change.note
        )
    if change.assignee is not None:
        part.tickets.assign(ticket, assignee=change.assignee.strip(), actor=caller.name)
    if change.state is None and change.note.strip():
        part.tickets.add_note(ticket, actor=caller.name, text=change.note)
    return _detail(part, ticket)


@router.post("/tickets/{ticket}/notes", status_code=201)
def add_note(request: Request, caller: Agent, ticket: Number, note: answers.NewNote) -> answers.TicketDetail:
    """Adds a note to the timeline."""
    part = parts(request)
    part.tickets.add_note(ticket, actor=caller.name, text=note.text)
    return _detail(part, ticket)


@router.get("/notices")
def list_notices(
    request: Request,
    _caller: Viewer,
    state: Literal["due", "sending", "sent", "failed", "cancelled"] | None = None,
    ticket: Annotated[int | None, Query(ge=1, lt=2**63)] = None,
    limit: Limit = 50,
    cursor_: Annotated[Cursor, Query(alias="cursor")] = None,
) -> answers.Listing[answers.Notice]:
    """Notices to customers, newest first."""
    rows = parts(request).console.notices(limit=limit + 1, after=after_id(cursor_), state=state, ticket=ticket)
    return answers.Listing[answers.Notice].model_validate(listing(answers.Notice, rows, limit, by_id))


@router.get("/openapi.json", include_in_schema=False)
def describe(request: Request, _caller: Viewer) -> dict[str, Any]:
    """The OpenAPI description of this API."""
    description: dict[str, Any] = request.app.openapi()
    return description


def _detail(part: Parts, ticket: int) -> answers.TicketDetail:
    return answers.TicketDetail.model_validate(
        {
            **part.console.ticket(ticket),
            "timeline": part.console.timeline(ticket),
            "notices": part.console.notices(limit=500, ticket=ticket),
            "findings": part.console.findings(limit=500, ticket=ticket),
        }
    )
