"""How far each device is judged, in the database: by what it measures, or by events alone."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from anomaly import store
from anomaly.finding import FindingChange
from core.database import Connection, Queries
from telemetry.history import micros

_SQL = Queries("anomaly")


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """How far a device is judged. until: in microseconds, None before the first time. seen: the transaction up to which
    its events were looked at, 0 before the first time. eventful: it was judged by events alone so far.
    """

    device: int
    profile: str
    until: int | None
    seen: int
    eventful: bool


def devices(connection: Connection, ids: Sequence[int]) -> list[Judged]:
    """How far some devices are judged."""
    rows = connection.execute(_SQL["devices"], {"devices": list(ids)})
    return [_judged(row, eventful=row["eventful"]) for row in rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """The events of a device that never measured anything. first, own: when the earliest of those stored now, and the
    earliest that is no maintenance among them, happened; None where there is none. last: when its newest event did.
    Microseconds.
    """

    first: int | None
    own: int | None
    last: int


def spoken(connection: Connection, after: int, upto: int, before: Mapping[str, datetime]) -> dict[Judged, Words]:
    """Devices that never measured anything, with events stored in the transactions (after, upto] or left to be judged.

    before: by profile, the time before which a tick is over.
    """
    values = {"after": after, "upto": upto, "profiles": list(before), "before": list(before.values())}
    return {
        _judged(row, eventful=True): Words(
            first=micros(row["first"]) if row["first"] else None,
            own=micros(row["own"]) if row["own"] else None,
            last=micros(row["last"]),
        )
        for row in connection.execute(_SQL["spoken"], values)
    }


def _judged(row: Mapping[str, Any], *, eventful: bool) -> Judged:
    until = micros(row["until"]) if row["until"] else None
    return Judged(device=row["id"], profile=row["profile"], until=until, seen=row["seen"], eventful=eventful)


def forget(connection: Connection, until: Mapping[int, datetime]) -> list[FindingChange]:
    """Forgets what is known of devices; returns what was open of them, as if it closed at a time of each."""
    values = {"devices": list(until), "at": list(until.values())}
    for name in ("forget_states", "forget_checkpoints", "end_shadow"):
        connection.execute(_SQL[name], values)
    return store.open_findings(connection, list(until), until)


def save_judged(connection: Connection, judged: Iterable[tuple[int, datetime, datetime, int]]) -> None:
    """Stores `(device, judged until, last heard at, transaction up to which its events were seen)`."""
    rows = [{"device": d, "until": u, "heard_at": h, "seen": s} for d, u, h, s in judged]
    connection.cursor().executemany(_SQL["save_judged"], rows)


def save_spoken(connection: Connection, judged: Iterable[tuple[int, datetime, datetime, int]]) -> None:
    """Stores `(device, judged until, time of its newest event, transaction up to which its events were seen)`."""
    rows = [{"device": d, "until": u, "spoke_at": t, "seen": s} for d, u, t, s in judged]
    connection.cursor().executemany(_SQL["save_spoken"], rows)
