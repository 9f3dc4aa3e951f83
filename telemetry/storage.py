"""Keeps what is stored from growing without end: hours as one row each, old readings dropped, notes of batches pruned.

What differs between TimescaleDB and plain PostgreSQL when data are dropped stands here and nowhere else. Buckets of time
need no difference: `date_bin` is the same on both.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from core.database import Connection, Database, Queries
from core.profile import Profile
from telemetry.history import Span, stored_since
from telemetry.ranges import mode_signals
from telemetry.store.writer import translated

_SQL = Queries("telemetry", "storage.sql")
_HOUR = 3_600_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_READINGS_A_TURN = 2_000_000
_SERIES_A_STEP = 200
_BATCHES_KEPT = timedelta(days=1)
"""How long a note of what was stored is kept after everyone has read it: for somebody who looks into what happened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tidied:
    """What a round of tidying did. `dropped` are chunks on TimescaleDB and readings on PostgreSQL."""

    hours: int
    dropped: int
    of: str
    batches: int


def roll_up(database: Database, profiles: Mapping[str, Profile]) -> int:
    """Brings the hours up to what is committed; returns how many were made. None of it while another process does it.

    An hour is made anew from its readings whenever some were stored for it, however late, so that doing it twice or
    in any order gives the same. profiles: by name, they tell which signals are modes.
    """
    modes = mode_signals(profiles)
    made = 0
    while True:
        with translated(), database.transaction() as connection:
            cursor = connection.execute(_SQL["take_rollup"]).fetchone()
            if cursor is None:
                return made
            stored = stored_since(connection, cursor["xact"], most_readings=_READINGS_A_TURN)
            if stored.cursor == cursor["xact"]:
                return made
            spans = sorted(stored.spans.items())
            made += connection.execute(
                _SQL["roll_up"],
                {
                    "devices": [device for device, _ in spans],
                    "starts": [_hours(span)[0] for _, span in spans],
                    "ends": [_hours(span)[1] for _, span in spans],
                    "profiles": [profile for profile, _ in modes],
                    "signals": [signal for _, signal in modes],
                    "kept": cursor["kept"],
                },
            ).rowcount
            connection.execute(_SQL["move_rollup"], {"xact": stored.cursor})


def _hours(span: Span) -> tuple[datetime, datetime]:
    """The whole hours that hold a span."""
    first, end = span.first // _HOUR, span.last // _HOUR + 1
    return _EPOCH + timedelta(hours=first), _EPOCH + timedelta(hours=end)


def tidy(database: Database, profiles: Mapping[str, Profile], *, now: datetime, retention: timedelta | None) -> Tidied:
    """Makes the hours, drops readings measured more than `retention` ago (None: none), and prunes notes of batches."""
    hours = roll_up(database, profiles)
    dropped, of = 0, "readings"
    if retention is not None:
        # Whole hours: of an hour that is kept as one row, no part stays behind.
        cutoff = _EPOCH + timedelta(hours=(now - retention - _EPOCH) // timedelta(hours=1))
        with translated(), database.transaction() as connection:
            connection.execute(_SQL["keep_from"], {"cutoff": cutoff})
            chunks = _has_chunks(connection)
        if chunks:
            of = "chunks"
            with translated(), database.transaction() as connection:
                row = connection.execute(_SQL["drop_chunks"], {"cutoff": cutoff}).fetchone()
            assert row
            dropped = row["dropped"]
        else:
            dropped = _delete(database, cutoff)
    with translated(), database.transaction() as connection:
        batches = connection.execute(_SQL["prune_batches"], {"before": now - _BATCHES_KEPT}).rowcount
        connection.execute(_SQL["prune_heartbeats"], {"before": now - _BATCHES_KEPT})
    return Tidied(hours=hours, dropped=dropped, of=of, batches=batches)


def _has_chunks(connection: Connection) -> bool:
    row = connection.execute(_SQL["has_chunks"]).fetchone()
    assert row
    return bool(row["chunks"])


def _delete(database: Database, cutoff: datetime) -> int:
    """Deletes a few series at a time, so that no transaction is long."""
    after, deleted = 0, 0
    while True:
        with translated(), database.transaction() as connection:
            rows = connection.execute(_SQL["all_series"], {"after": after, "most": _SERIES_A_STEP}).fetchall()
            if not rows:
                return deleted
            series = [row["id"] for row in rows]
            after = series[-1]
            deleted += connection.execute(_SQL["delete_readings"], {"series": series, "cutoff": cutoff}).rowcount
