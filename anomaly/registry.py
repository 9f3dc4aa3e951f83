"""The models in the database: their versions, which one is live and which only watches, and who decided so."""

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from psycopg.types.json import Jsonb

from anomaly.model import Model, dumps, loads
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


def add(connection: Connection, model: Model, *, actor: str, reason: str, now: datetime) -> Entry:
    """Stores a new model as the profile's shadow; one that was shadow before is retired."""
    connection.execute(_SQL["lock_profile"], {"profile": model.profile})
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
    _told(connection, stored["id"], "shadow", actor=actor, reason=reason, now=now)
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


def in_use(connection: Connection) -> dict[tuple[str, Stage], int]:
    """The ids of the models that are live or shadow, by profile and stage."""
    return {(row["profile"], row["stage"]): row["id"] for row in connection.execute(_SQL["in_use"])}


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
    connection.execute(_SQL["lock_profile"], {"profile": profile})
    entry = find(connection, profile, version)
    if entry.stage == to:
        raise Conflict(f"{profile} {version} is {to} already, since {entry.staged_at:%Y-%m-%d %H:%M} UTC")
    if to != "retired":
        _retire(connection, profile, to, actor=actor, reason=f"{version} took its place", now=now)
    _set(connection, entry.id, to, actor=actor, reason=reason, now=now)
    return find(connection, profile, version)


def _retire(connection: Connection, profile: str, stage: Stage, *, actor: str, reason: str, now: datetime) -> None:
    number = in_use(connection).get((profile, stage))
    if number is not None:
        _set(connection, number, "retired", actor=actor, reason=reason, now=now)


def _set(connection: Connection, number: int, to: Stage, *, actor: str, reason: str, now: datetime) -> None:
    values = {"id": number, "stage": to, "now": now, "actor": actor, "reason": reason}
    connection.execute(_SQL["set_stage"], values)
    _told(connection, number, to, actor=actor, reason=reason, now=now)


def _told(connection: Connection, number: int, to: Stage, *, actor: str, reason: str, now: datetime) -> None:
    values = {"id": number, "stage": to, "now": now, "actor": actor, "reason": reason}
    connection.execute(_SQL["add_change"], values)
