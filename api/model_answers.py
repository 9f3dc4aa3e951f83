"""What the REST API says of models and takes about them."""

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.answers import Answer, UtcTime, Words


class FromParts(Answer):
    """Made from a value of the domain instead of a row."""

    model_config = ConfigDict(extra="ignore", from_attributes=True)


class Model(FromParts):
    """A learnt model. `card` says what it was learnt from and what it promises."""

    profile: str
    version: str
    stage: Literal["live", "shadow", "retired"]
    created_at: UtcTime
    staged_at: UtcTime
    staged_by: str
    reason: str
    card: dict[str, Any]


class ModelChange(FromParts):
    """A stage that a model got; `instead_of` is the version whose place it took."""

    at: UtcTime
    stage: str
    actor: str
    reason: str
    instead_of: str | None


class ModelRecord(FromParts):
    """`false_alarms` is an estimate and `unconfirmed` the most there can be, both a device-month."""

    findings: int
    confirmed: int
    no_fault_found: int
    months: float
    precision: float | None
    false_alarms: float | None
    unconfirmed: float | None


class ModelComparison(FromParts):
    """A shadow beside what is live over the time that both judged; `ahead`: by how much the shadow was earlier, median."""

    since: UtcTime
    until: UtcTime
    live: ModelRecord
    shadow: ModelRecord
    both: int
    only_live: int
    only_shadow: int
    shadow_first: int
    live_first: int
    ahead: timedelta | None


class SignalDrift(FromParts):
    """`index`: population stability index. `outside`: share of devices whose mean lies outside `low` to `high`."""

    signal: str
    unit: str
    low: float
    high: float
    index: float
    outside: float
    shifted: bool


class ModelDrift(Answer):
    """How far what devices sent in the last `days` is from what a model learnt; `enough` devices to say so."""

    at: UtcTime
    days: float
    devices: int
    enough: bool
    signals: list[SignalDrift]
    unknown_codes: list[str]


class ModelDetail(Model):
    """`record` of the tickets a live model opened, `comparison` of a shadow; `decision` is what the rules say now."""

    fits: bool
    history: list[ModelChange]
    record: ModelRecord | None
    comparison: ModelComparison | None
    drift: ModelDrift | None
    decision: str | None


class StageModel(BaseModel):
    """Makes a model live, or retires it; the reason stays in its history."""

    model_config = ConfigDict(extra="forbid")

    stage: Literal["live", "retired"]
    reason: Annotated[Words, Field(min_length=1, max_length=2000)]
