"""What the REST API takes and gives, as pydantic models: the OpenAPI description is made from them."""

from datetime import UTC, datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from core.profile import Role
from proactive.ticket import Resolution, TicketState

_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = datetime(2200, 1, 1, tzinfo=UTC)


def _utc(time: datetime) -> datetime:
    # The bounds first: a time near the year 1 or 9999 has no UTC form.
    if not _EARLIEST <= time < _LATEST:
        raise ValueError("must lie between the years 1970 and 2200")
    return time.astimezone(UTC)


def storable(text: str) -> str:
    """`text`, refused when PostgreSQL cannot hold it."""
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ValueError("must not contain NUL or half of a surrogate pair")
    return text


UtcTime = Annotated[AwareDatetime, AfterValidator(_utc)]
Words = Annotated[str, AfterValidator(storable)]
Number = Annotated[int, Field(ge=1, lt=2**63)]
Item = TypeVar("Item", bound=BaseModel)


class Answer(BaseModel):
    """Made from a row; columns the answer does not name are left out."""

    model_config = ConfigDict(extra="ignore")


class Listing(BaseModel, Generic[Item]):
    """One page of a listing. `next` is the cursor of the following page, None on the last."""

    items: list[Item]
    next: str | None


class Device(Answer):
    name: str
    profile: str
    customer: str | None
    model: str
    serial: str
    firmware: str
    site: str
    address: str
    status: Literal["unknown", "online", "offline"]
    status_at: UtcTime | None
    created_at: UtcTime
    last_reading_at: UtcTime | None
    clock_skew_s: float | None
    judged_until: UtcTime | None
    living_tickets: int


class ComponentHealth(Answer):
    """The condition of a component, 1 where nothing deviates to 0; `health` is None while it is not known. `since` is when
    it last became known, or crossed one half.
    """

    component: str
    health: float | None
    at: UtcTime
    since: UtcTime


class LatestReading(Answer):
    signal: str
    time: UtcTime
    value: float | None
    quality: int


class DeviceAttribute(Answer):
    """What a device said of itself, like its firmware; `until` is None for what still holds."""

    name: str
    value: str
    since: UtcTime
    until: UtcTime | None


class DeviceEvent(Answer):
    """`time` is the device's, `received_at` ours."""

    time: UtcTime
    received_at: UtcTime
    kind: str
    code: str
    detail: dict[str, Any]


class NewDeviceEvent(BaseModel):
    """An event that a person or another program records of a device, like maintenance that was done."""

    model_config = ConfigDict(extra="forbid")

    kind: Annotated[Words, Field(min_length=1, max_length=128)]
    code: Annotated[Words, Field(max_length=128)] = ""
    time: UtcTime | None = None
    detail: dict[str, Any] = Field(default_factory=dict)


class DeviceDetail(Device):
    health: list[ComponentHealth]
    readings: list[LatestReading]
    attributes: list[DeviceAttribute]


class Finding(Answer):
    """`remaining_*_d`: the days from `extended_at` before which one in ten, half and nine in ten such components fail; None
    while that is not predictable. `withdrawn`: why it no longer holds; empty for what does.
    """

    id: int
    device: str
    ticket: int | None
    kind: str
    component: str
    failure_mode: str
    severity: str
    detector: str
    version: str
    began_at: UtcTime
    opened_at: UtcTime
    extended_at: UtcTime
    closed_at: UtcTime | None
    score: float | None
    peak_score: float | None
    because: str
    withdrawn: str
    evidence: dict[str, Any]
    remaining_p10_d: float | None
    remaining_p50_d: float | None
    remaining_p90_d: float | None


class Notice(Answer):
    id: int
    ticket: int
    device: str
    step: int
    channel: str
    recipient: str
    language: str
    subject: str
    body_text: str
    state: str
    reason: str
    created_at: UtcTime
    due_at: UtcTime
    attempts: int
    sent_at: UtcTime | None
    receipt: str


class TimelineEntry(Answer):
    id: int
    at: UtcTime
    kind: str
    actor: str
    summary: str
    detail: dict[str, Any]


class Ticket(Answer):
    """`remaining_*_d` are those of its newest finding, in days from `remaining_from`."""

    id: int
    device: str
    profile: str
    customer: str | None
    component: str
    failure_mode: str
    state: TicketState
    resolution: Resolution | None
    severity: str
    assignee: str
    subject: str
    since: UtcTime | None
    opened_at: UtcTime
    changed_at: UtcTime
    solved_at: UtcTime | None
    notice_state: str | None
    notice_due_at: UtcTime | None
    notice_sent_at: UtcTime | None
    remaining_from: Annotated[UtcTime | None, Field(validation_alias="extended_at")]
    remaining_p10_d: float | None
    remaining_p50_d: float | None
    remaining_p90_d: float | None


class TicketDetail(Ticket):
    timeline: list[TimelineEntry]
    notices: list[Notice]
    findings: list[Finding]


class DeadLetter(Answer):
    """`payload` is text where the bytes are UTF-8, else base64; `payload_bytes` is how long it was when it came. `reason` and
    `detail`: why it became one; `left_because`: why it was left when it was last tried again, null where it never was.
    """

    id: int
    received_at: UtcTime
    topic: str
    payload: str
    encoding: Literal["utf-8", "base64"]
    payload_bytes: int
    reason: str
    detail: str
    tried_at: UtcTime | None
    left_because: str | None


class WhichLetters(BaseModel):
    """Which dead letters to try again; those received from `after` on and before `before`. Nothing given means all."""

    model_config = ConfigDict(extra="forbid")

    ids: Annotated[list[Number], Field(min_length=1, max_length=1000)] | None = None
    reason: Annotated[Words, Field(max_length=200)] | None = None
    after: UtcTime | None = None
    before: UtcTime | None = None


class WhyKept(BaseModel):
    """Why so many dead letters cannot be stored yet."""

    reason: str
    detail: str
    letters: int


class Replayed(BaseModel):
    """How many dead letters were stored and so taken away, and how many are dead letters still; `why` tells the first few
    kinds of these.
    """

    stored: int
    kept: int
    why: list[WhyKept]


class Deleted(BaseModel):
    deleted: int


class Columns(BaseModel):
    """Readings of one signal in columns; `time` in ms since epoch. `bucket_seconds` None: `value` as measured; else
    `least`, `greatest` and `mean` of each bucket, whose `time` is its start. A signal of the `role` mode is a number for what
    the device does, and holds until the next: it has the `value` that most of a bucket's readings have. `role` is None where
    the profile does not know the signal.
    """

    device: str
    signal: str
    unit: str
    role: Role | None
    start: UtcTime
    stop: UtcTime
    bucket_seconds: float | None
    time: list[int]
    value: list[float | None] | None = None
    least: list[float | None] | None = None
    greatest: list[float | None] | None = None
    mean: list[float | None] | None = None


class TicketChange(BaseModel):
    """What to change; a field that is absent stays. `resolution` goes with the state solved."""

    model_config = ConfigDict(extra="forbid")

    state: TicketState | None = None
    resolution: Resolution | None = None
    assignee: Annotated[Words, Field(max_length=200)] | None = None
    note: Annotated[Words, Field(max_length=10_000)] = ""

    @model_validator(mode="after")
    def _check(self) -> "TicketChange":
        if self.state is None and self.assignee is None and not self.note.strip():
            raise ValueError("give at least one of state, assignee and note")
        if self.resolution is not None and self.state is None:
            raise ValueError("a resolution goes with the state solved")
        return self


class NewNote(BaseModel):
    model_config = ConfigDict(extra="forbid")

    text: Annotated[Words, Field(min_length=1, max_length=10_000)]
