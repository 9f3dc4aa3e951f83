"""The models in the database: their versions, which one is live and which only watches, and who decided so."""

import hashlib
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from math import isfinite
from typing import Any, Literal

from psycopg.types.json import Jsonb

from anomaly.drift import Drift
from anomaly.learning.model import Model, dumps, loads
from core.database import Connection, Queries
from core.errors import Conflict, NotFound

_SQL = Queries("anomaly", "registry.sql")

Stage = Literal["live", "shadow", "retired"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A model as the registry lists it. card: what it was learnt from and what it promises."""

    id: int
    profile: str
    version: str
    profile_hash: str
    stage: Stage
    created_at: datetime
    staged_at: datetime
    staged_by: str
    reason: str
    card: dict[str, Any]

    @property
    def components(self) -> list[str]:
        """The components it speaks for; none where it only sets thresholds."""
        return list(self.card.get("components") or ())

    @property
    def promised(self) -> float | None:
        """The share of its findings that its card says will be confirmed."""
        value = (self.card.get("figures") or {}).get("precision")
        return float(value) if isinstance(value, int | float) and isfinite(value) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class StageChange:
    """A stage that a model got: when, from whom and why. instead_of: the version whose place it took as live."""

    at: datetime
    stage: Stage
    actor: str
    reason: str
    instead_of: str | None


def lock(connection: Connection, profile: str) -> None:
    """Keeps others from changing a profile's models until the transaction ends."""
    connection.execute(_SQL["lock_profile"], {"profile": profile})


def add(connection: Connection, model: Model, *, actor: str, reason: str, now: datetime) -> Entry:
    """Stores a new model as the profile's shadow; one that was shadow before is retired."""
    lock(connection, model.profile)
    row = connection.execute(_SQL["versions_of_day"], {"profile": model.profile, "day": f"{now:%Y-%m-%d}"}).fetchone()
    assert row is not None
    model = replace(model, version=f"{now:%Y-%m-%d}.{row['versions'] + 1}")
    _retire(connection, model.profile, "shadow", actor=actor, reason=f"{model.version} took its place", now=now)
    packed = dumps(model)
    stored = connection.execute(
        _SQL["add_model"],
        {
            "profile": model.profile,
            "version": model.version,
            "profile_hash": model.profile_hash,
            "now": now,
            "actor": actor,
            "reason": reason,
            "card": Jsonb(dict(model.card)),
            "packed": packed,
            "sha256": hashlib.sha256(packed).hexdigest(),
        },
    ).fetchone()
    assert stored is not None
    _set(connection, stored["id"], "shadow", actor=actor, reason=reason, now=now)
    return find(connection, model.profile, model.version)


def entries(connection: Connection, profile: str | None = None) -> list[Entry]:
    """All models, or those of a profile, newest first."""
    return [Entry(**row) for row in connection.execute(_SQL["list_models"], {"profile": profile})]


def find(connection: Connection, profile: str, version: str) -> Entry:
    """One model. Raises NotFound."""
    known = entries(connection, profile)
    for entry in known:
        if entry.version == version:
            return entry
    raise NotFound(f"model of {profile}", version)


def staged(connection: Connection, profile: str) -> dict[Stage, Entry]:
    """The models of a profile that are live or shadow, by stage."""
    return {entry.stage: entry for entry in entries(connection, profile) if entry.stage != "retired"}


def changes(connection: Connection, number: int) -> list[StageChange]:
    """Which stages a model had, newest first."""
    return [StageChange(**row) for row in connection.execute(_SQL["changes"], {"id": number})]


def in_use(connection: Connection) -> dict[tuple[str, Stage], int]:
    """The ids of the models that are live or shadow, by profile and stage."""
    return {(row["profile"], row["stage"]): row["id"] for row in connection.execute(_SQL["in_use"])}


def save_drift(connection: Connection, number: int, drift: Drift, now: datetime) -> None:
    """Keeps the newest look at what a model is shown."""
    connection.execute(_SQL["save_drift"], {"id": number, "now": now, "found": Jsonb(asdict(drift))})


def drift_of(connection: Connection, number: int) -> tuple[datetime, Drift] | None:
    """The newest look at what a model is shown, and when it was; None before the first."""
    row = connection.execute(_SQL["drift"], {"id": number}).fetchone()
    return (row["at"], Drift.of(row["found"])) if row else None


def fits(connection: Connection, number: int, profile_hash: str) -> bool:
    """Whether a model was learnt for the state of its profile that has this hash, from the features and by the format of now."""
    row = connection.execute(_SQL["learnt_for"], {"id": number}).fetchone()
    if row is None:
        raise NotFound("model", number)
    return bool(row["profile_hash"] == profile_hash)


def load(connection: Connection, number: int) -> Model:
    """A stored model. Raises InvalidInput when it is not what was stored."""
    row = connection.execute(_SQL["load_model"], {"id": number}).fetchone()
    if row is None:
        raise NotFound("model", number)
    return loads(bytes(row["packed"]), row["sha256"])


def stage(
    connection: Connection, profile: str, version: str, to: Stage, *, actor: str, reason: str, now: datetime
) -> Entry:
    """Makes a model live, a shadow, or retires it; which had that stage before is retired. Raises NotFound, Conflict."""
    lock(connection, profile)
    entry = find(connection, profile, version)
    if entry.stage == to:
        raise Conflict(f"{profile} {version} is {to} already, since {entry.staged_at:%Y-%m-%d %H:%M} UTC")
    before = None
    if to != "retired":
        before = _retire(connection, profile, to, actor=actor, reason=f"{version} took its place", now=now)
    _set(connection, entry.id, to, actor=actor, reason=reason, now=now, instead_of=before if to == "live" else None)
    return find(connection, profile, version)


def step_back(connection: Connection, profile: str, version: str, *, actor: str, reason: str, now: datetime) -> Entry:
    """Retires the live model; the one whose place it took is live again, where it took a model's place and that one was
    learnt for the profile as it is. Raises NotFound, Conflict.
    """
    entry = stage(connection, profile, version, "retired", actor=actor, reason=reason, now=now)
    went_live = next((c for c in changes(connection, entry.id) if c.stage == "live"), None)
    if went_live is None or went_live.instead_of is None:
        return entry
    before = find(connection, profile, went_live.instead_of)
    if before.stage == "retired" and before.profile_hash == entry.profile_hash:
        # It took nobody's place: should it be taken back too, the one that failed does not come again.
        _set(connection, before.id, "live", actor=actor, reason=f"{version} was taken back: {reason}", now=now)
    return find(connection, profile, version)


def _retire(
    connection: Connection, profile: str, stage: Stage, *, actor: str, reason: str, now: datetime
) -> int | None:
    """Retires what has a stage; returns its id."""
    number = in_use(connection).get((profile, stage))
    if number is not None:
        _set(connection, number, "retired", actor=actor, reason=reason, now=now)
    return number


def _set(
    connection: Connection,
    number: int,
    to: Stage,
    *,
    actor: str,
    reason: str,
    now: datetime,
    instead_of: int | None = None,
) -> None:
    values = {"id": number, "stage": to, "now": now, "actor": actor, "reason": reason, "instead_of": instead_of}
    connection.execute(_SQL["set_stage"], values)
    connection.execute(_SQL["add_change"], values)
