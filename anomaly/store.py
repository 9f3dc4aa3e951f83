"""Detection's side of the database: the cursor, detector states, findings."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from itertools import groupby

import numpy as np
from psycopg.types.json import Jsonb

from anomaly import silence
from anomaly.detector import Prognosis
from anomaly.finding import Change, FindingChange, moment
from anomaly.known import Packed
from anomaly.late import WITHDRAWN, Key, Revision, Told
from core.database import Connection, Queries
from telemetry.history import micros
from telemetry.window import Floats

_SQL = Queries("anomaly")
_BY_CHANGE = {Change.OPENED: "open_finding", Change.EXTENDED: "extend_finding", Change.CLOSED: "close_finding"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """Up to which transaction everything was judged, and the number of the last turn."""

    xact: int
    turn: int


def take_cursor(connection: Connection) -> Cursor | None:
    """The cursor, held until the transaction ends; None while another process is in its turn."""
    row = connection.execute(_SQL["take_cursor"]).fetchone()
    return Cursor(xact=row["xact"], turn=row["turn"]) if row else None


def move_cursor(connection: Connection, xact: int) -> int:
    """Ends a turn; returns its number."""
    row = connection.execute(_SQL["move_cursor"], {"xact": xact}).fetchone()
    assert row is not None
    turn: int = row["turn"]
    return turn


def states(connection: Connection, ids: Sequence[int]) -> list[Packed]:
    """`(device, detector, version, packed state)` of some devices."""
    rows = connection.execute(_SQL["states"], {"devices": list(ids)})
    return [(row["device_id"], row["detector"], row["version"], bytes(row["state"])) for row in rows]


def save_states(connection: Connection, packed: Iterable[Packed]) -> None:
    """Stores states as `states` gives them."""
    rows = [{"device": d, "detector": n, "version": v, "state": s} for d, n, v, s in packed]
    connection.cursor().executemany(_SQL["save_state"], rows)


def save_checkpoints(
    connection: Connection, until: int, seen: int, packed: Iterable[Packed], enough: Mapping[int, int]
) -> None:
    """Keeps states as they were at a time. seen: the transaction up to which events are in them.

    enough: for each device, the latest time from which it may have to be judged again: what is older than needed for
    that is forgotten. Times in microseconds.
    """
    rows = [
        {"device": d, "until": moment(until), "detector": n, "version": v, "seen": seen, "state": s}
        for d, n, v, s in packed
    ]
    connection.cursor().executemany(_SQL["save_checkpoint"], rows)
    values = {"devices": list(enough), "enough": [moment(at) for at in enough.values()]}
    connection.execute(_SQL["prune_checkpoints"], values)


def save_health(
    connection: Connection, devices: Sequence[int], components: Sequence[str], health: Floats, at: Sequence[datetime]
) -> None:
    """Stores the condition of the components [C] of devices [D] at a time of each. health: [D, C], NaN is not known."""
    values = {
        "devices": np.repeat(devices, len(components)).tolist(),
        "components": list(components) * len(devices),
        "health": [None if np.isnan(h) else h for h in health.ravel().tolist()],
        "at": [time for time in at for _ in components],
    }
    connection.execute(_SQL["save_health"], values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What was known of a device. until: in microseconds. states: `(name, version, packed state)`."""

    until: int
    seen: int
    states: list[tuple[str, str, bytes]]


def checkpoints(connection: Connection, since: Mapping[int, int]) -> dict[int, Checkpoint]:
    """Of each device the newest checkpoint that is no later than its own time, in microseconds; where there is one."""
    found: dict[int, Checkpoint] = {}
    values = {"devices": list(since), "since": [moment(at) for at in since.values()]}
    for row in connection.execute(_SQL["checkpoints"], values):
        own = found.setdefault(row["device_id"], Checkpoint(until=micros(row["until"]), seen=row["seen"], states=[]))
        own.states.append((row["detector"], row["version"], bytes(row["state"])))
    return found


def apply(connection: Connection, changes: Iterable[FindingChange], now: datetime) -> None:
    """Writes what changed in findings. `now` is the server's time."""
    cursor = connection.cursor()
    # In their order, those of one kind together: thousands of findings go on at once where a cause is shared.
    for what, same in groupby(changes, key=lambda change: change.change):
        cursor.executemany(_SQL[_BY_CHANGE[what]], [_values(change, now) | {"closed_at": None} for change in same])


def _values(change: FindingChange, now: datetime) -> dict[str, object]:
    return {
        "device": change.device,
        "kind": change.kind,
        "component": change.component,
        "failure_mode": change.failure_mode,
        "severity": change.severity,
        "detector": change.detector,
        "version": change.version,
        "began_at": change.began_at,
        "at": change.at,
        "score": change.score,
        "because": change.because,
        "evidence": _evidence(change),
        "now": now,
        **_remaining(change.prognosis),
    }


def _evidence(change: FindingChange) -> Jsonb | None:
    """None where a finding goes on and its evidence was not renewed: what was seen before stands."""
    if change.change is Change.EXTENDED and not change.evidence:
        return None
    return Jsonb({"signals": [asdict(e) for e in change.evidence]})


def _remaining(prognosis: Prognosis | None) -> dict[str, float | None]:
    if prognosis is None:
        return {"p10": None, "p50": None, "p90": None}
    day = timedelta(days=1)
    return {"p10": prognosis.p10 / day, "p50": prognosis.p50 / day, "p90": prognosis.p90 / day}


def open_findings(connection: Connection, ids: Sequence[int], at: Mapping[int, datetime]) -> list[FindingChange]:
    """What is open of some devices, as if it closed at a time of each."""
    rows = connection.execute(_SQL["open_findings"], {"devices": list(ids)}).fetchall()
    return [
        FindingChange(**(row | {"device": device}), change=Change.CLOSED, at=at[device], score=0.0)
        for row in rows
        for device in [row.pop("device_id")]
    ]


def told_since(connection: Connection, since: Mapping[int, int]) -> dict[Key, list[Told]]:
    """What was found of each device and was open or came after its own time (microseconds), oldest first."""
    found: dict[Key, list[Told]] = {}
    values = {"devices": list(since), "since": [moment(at) for at in since.values()]}
    for row in connection.execute(_SQL["findings_since"], values):
        told = Told(id=row["id"], opened_at=row["opened_at"], closed_at=row["closed_at"])
        found.setdefault((row["device_id"], row["component"], row["failure_mode"]), []).append(told)
    return found


def revise(connection: Connection, revisions: Sequence[Revision], at: datetime, now: datetime) -> int:
    """Writes what a second look changed in the findings of one device, component and failure mode; returns how many changed.

    at: until when the device is judged; what does not hold and is open closes then.
    """
    changed = 0
    # What closes goes before what opens: only one may be open at a time.
    for one in sorted(revisions, key=lambda r: (r.seen is not None, r.seen is not None and r.seen.closed is None)):
        if one.seen is None:
            assert one.told is not None
            values = {"id": one.told.id, "at": at, "why": WITHDRAWN, "now": now}
            changed += connection.execute(_SQL["withdraw_finding"], values).rowcount
            continue
        closed = one.seen.closed.at if one.seen.closed else None
        if one.told is None:
            assert one.seen.opened is not None
            values = _values(one.seen.opened, now) | {"closed_at": closed}
            changed += connection.execute(_SQL["open_finding"], values).rowcount
            continue
        moved = connection.execute(
            _SQL["reopen_finding"], {"id": one.told.id, "closed_at": closed, "now": now}
        ).rowcount
        if one.seen.opened is not None:
            values = _values(one.seen.opened, now) | {"id": one.told.id}
            moved = connection.execute(_SQL["retell_finding"], values).rowcount or moved
        changed += moved
    return changed


def revise_shadow(
    connection: Connection, model: int, since: Mapping[int, int], changes: Iterable[FindingChange], now: datetime
) -> None:
    """Takes back what a shadow would have found of each device after its own time (microseconds), and tells it anew."""
    for device, at in since.items():
        values = {"model": model, "device": device, "since": moment(at)}
        connection.execute(_SQL["forget_shadow"], values)
        connection.execute(_SQL["reopen_shadow"], values)
    apply_shadow(connection, model, changes, now)


def apply_shadow(connection: Connection, model: int, changes: Iterable[FindingChange], now: datetime) -> None:
    """Writes what a shadow found. `now` is the server's time."""
    for change in changes:
        if change.change is not Change.EXTENDED:
            name = "open_shadow" if change.change is Change.OPENED else "close_shadow"
            values = {
                "model": model,
                "device": change.device,
                "component": change.component,
                "failure_mode": change.failure_mode,
                "began_at": change.began_at,
                "at": change.at,
                "score": change.score,
                "because": change.because,
                "now": now,
            }
            connection.execute(_SQL[name], values)


def listening(connection: Connection, quiet_since: datetime) -> list[tuple[int, str, silence.Listening]]:
    """`(device, profile, listening)` of devices that were not heard since a time, or whose silence is open."""
    values = {"component": silence.COMPONENT, "failure_mode": silence.FAILURE_MODE, "quiet_since": quiet_since}
    rows = connection.execute(_SQL["listening"], values)
    return [
        (row["id"], row["profile"], silence.Listening(heard_at=row["heard_at"], silent=row["silent"])) for row in rows
    ]
