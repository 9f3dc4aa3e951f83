"""REST about what devices sent beside readings: their events, and dead letters, which can be tried again and deleted."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from api import answers, cursor
from api.access import Admin, Agent, Viewer
from api.answers import Number, UtcTime, Words
from api.paging import Cursor, Limit, Name, after_id, by_id, listing
from api.parts import parts
from core.database import Row
from core.errors import InvalidInput
from device_gateway.decoder import ATTRIBUTES
from device_gateway.readings import Batch, Event
from telemetry.accepting import replay
from telemetry.store import DeadLetterStore, TelemetryWriter, Which

router = APIRouter(prefix="/api/v1")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@router.get("/devices/{name}/events")
def list_events(
    request: Request,
    _caller: Viewer,
    name: Words,
    kind: Name = None,
    start: Annotated[UtcTime | None, Query(alias="from")] = None,
    stop: Annotated[UtcTime | None, Query(alias="to")] = None,
    limit: Limit = 50,
    cursor_: Annotated[Cursor, Query(alias="cursor")] = None,
) -> answers.Listing[answers.DeviceEvent]:
    """What a device said beside readings, newest first: errors, connects, changes of firmware, maintenance."""
    console = parts(request).console
    console.device(name)
    after = None
    if cursor_:
        microseconds, after_kind, code = cursor.decode(cursor_, int, str, str)
        try:
            after = (_EPOCH + int(microseconds) * _MICROSECOND, str(after_kind), str(code))
        except OverflowError:
            raise InvalidInput("the cursor is not one that a page of this listing gave") from None
    rows = console.device_events(name, limit=limit + 1, after=after, kind=kind, start=start, stop=stop)
    return answers.Listing[answers.DeviceEvent].model_validate(listing(answers.DeviceEvent, rows, limit, _by_time))


@router.post("/devices/{name}/events", status_code=201)
def record_event(request: Request, caller: Agent, name: Words, event: answers.NewDeviceEvent) -> answers.DeviceEvent:
    """Records an event of a device, like maintenance; `detail` then names the `component`. Who did it is kept with it."""
    part = parts(request)
    device = part.console.device(name)
    if event.kind in (ATTRIBUTES, "attribute", "connect", "disconnect"):
        raise InvalidInput(f"events of the kind {event.kind} come from devices only")
    profile = part.profile(device["profile"])
    if event.kind == "maintenance" and profile and event.detail.get("component") not in profile.components:
        raise InvalidInput(f"maintenance needs a `component` in `detail`: {', '.join(profile.components)}")
    now = part.clock()
    try:
        detail = json.dumps({**event.detail, "by": caller.name}, allow_nan=False, ensure_ascii=False)
        answers.storable(detail)
    except ValueError as error:
        raise InvalidInput(f"detail: {error}") from None
    if "\\u0000" in detail:
        raise InvalidInput("detail: must not contain NUL")
    made = Event(
        device=device["id"], time=event.time or now, received_at=now, kind=event.kind, code=event.code, detail=detail
    )
    TelemetryWriter(part.database, part.clock).store(Batch(events=(made,)))
    return answers.DeviceEvent(
        time=made.time, received_at=now, kind=made.kind, code=made.code, detail=json.loads(made.detail)
    )


@router.get("/dead-letters")
def list_dead_letters(
    request: Request,
    _caller: Agent,
    reason: Name = None,
    limit: Limit = 50,
    cursor_: Annotated[Cursor, Query(alias="cursor")] = None,
) -> answers.Listing[answers.DeadLetter]:
    """Messages of devices that could not be stored, newest first."""
    rows = parts(request).console.dead_letters(limit=limit + 1, after=after_id(cursor_), reason=reason)
    shown = [{**row, **_readable(row["payload"])} for row in rows]
    return answers.Listing[answers.DeadLetter].model_validate(listing(answers.DeadLetter, shown, limit, by_id))


@router.post("/dead-letters/replay")
def replay_dead_letters(request: Request, _caller: Admin, which: answers.WhichLetters) -> answers.Replayed:
    """Decodes dead letters again, as when they were received; one that can be stored now is stored and taken away."""
    part = parts(request)
    chosen = Which(ids=which.ids, reason=which.reason, since=which.after, before=which.before)
    letters = DeadLetterStore(part.database).each(chosen)
    done = replay(part.settings, part.database, part.profiles, letters, clock=part.clock)
    why = [answers.WhyKept(reason=w.reason, detail=w.detail, letters=letters) for w, letters in done.why.items()]
    return answers.Replayed(stored=done.stored, kept=done.kept, why=why)


@router.delete("/dead-letters")
def delete_dead_letters(
    request: Request,
    _caller: Admin,
    ids: Annotated[list[Number] | None, Query(alias="id", max_length=1000)] = None,
    reason: Name = None,
    after: UtcTime | None = None,
    before: UtcTime | None = None,
    everything: Annotated[bool, Query(alias="all", description="Must be true to delete all.")] = False,
) -> answers.Deleted:
    """Deletes dead letters for good: those of `id`, `reason`, received from `after` on and before `before`."""
    which = Which(ids=ids, reason=reason, since=after, before=before)
    if which == Which() and not everything:
        raise InvalidInput("say which: id, reason, after, before, or all=true")
    return answers.Deleted(deleted=DeadLetterStore(parts(request).database).purge(which))


def _by_time(row: Row) -> tuple[int | str, ...]:
    return ((row["time"] - _EPOCH) // _MICROSECOND, row["kind"], row["code"])


def _readable(payload: bytes) -> dict[str, Any]:
    try:
        return {"payload": payload.decode("utf-8"), "encoding": "utf-8"}
    except UnicodeDecodeError:
        return {"payload": base64.b64encode(payload).decode(), "encoding": "base64"}
