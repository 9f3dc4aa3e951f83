"""Detection's side of the database: the cursor, detector states, findings."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from psycopg.types.json import Jsonb

from anomaly import silence
from anomaly.detector import Prognosis
from anomaly.finding import Change, FindingChange
from core.database import Connection, Queries

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


def devices(connection: Connection, ids: Sequence[int]) -> list[tuple[int, str, datetime | None, int]]:
    """`(id, profile, judged until, transaction up to which its events were seen)` of some devices."""
    rows = connection.execute(_SQL["devices"], {"devices": list(ids)})
    return [(row["id"], row["profile"], row["until"], row["seen"]) for row in rows]


def states(connection: Connection, ids: Sequence[int]) -> list[tuple[int, str, str, bytes]]:
    """`(device, detector, version, packed state)` of some devices."""
    rows = connection.execute(_SQL["states"], {"devices": list(ids)})
    return [(row["device_id"], row["detector"], row["version"], bytes(row["state"])) for row in rows]


def save_states(connection: Connection, packed: Iterable[tuple[int, str, str, bytes]]) -> None:
    """Stores states as `states` gives them."""
    rows = [{"device": d, "detector": n, "version": v, "state": s} for d, n, v, s in packed]
    connection.cursor().executemany(_SQL["save_state"], rows)


def save_judged(connection: Connection, judged: Iterable[tuple[int, datetime, datetime, int]]) -> None:
    """Stores `(device, judged until, last heard at, transaction up to which its events were seen)`."""
    rows = [{"device": d, "until": u, "heard_at": h, "seen": s} for d, u, h, s in judged]
    connection.cursor().executemany(_SQL["save_judged"], rows)


def apply(connection: Connection, changes: Iterable[FindingChange], now: datetime) -> None:
    """Writes what changed in findings. `now` is the server's time."""
    for change in changes:
        connection.execute(
            _SQL[_BY_CHANGE[change.change]],
            {
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
                "evidence": Jsonb({"signals": [asdict(e) for e in change.evidence]}),
                "now": now,
                **_remaining(change.prognosis),
            },
        )


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
