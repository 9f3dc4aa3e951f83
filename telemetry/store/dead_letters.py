"""Dead letters in the database: seen, replayed, purged."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from core.database import Database, Row
from core.errors import NotFound
from device_gateway.readings import Batch, Message, microseconds
from telemetry.store.copying import rows_of
from telemetry.store.sql import SQL
from telemetry.store.writer import translated, write_batch

_PAGE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredLetter:
    """One dead letter; `payload` may be only the beginning of what had `size` bytes. reason, detail: why it became one.
    left_because: why it was left when it was last tried again; None: never tried.
    """

    id: int
    received_at: datetime
    topic: str
    payload: bytes
    size: int
    reason: str
    detail: str
    left_because: str | None = None

    @property
    def complete(self) -> bool:
        """Whether the whole payload was kept, so that it can be decoded again."""
        return len(self.payload) == self.size

    def message(self) -> Message:
        """The message as it was received."""
        return Message(self.topic, self.payload, self.size, microseconds(self.received_at))


@dataclass(frozen=True, slots=True, kw_only=True)
class Which:
    """Which dead letters; None is any. Received from `since` on, and before `before`."""

    ids: Sequence[int] | None = None
    reason: str | None = None
    since: datetime | None = None
    before: datetime | None = None

    @property
    def values(self) -> dict[str, object]:
        """The values of the queries that take this choice."""
        ids = None if self.ids is None else list(self.ids)
        return {"ids": ids, "reason": self.reason, "since": self.since, "before": self.before}


class DeadLetterStore:
    """Reads and removes dead letters."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def newest(self, *, reason: str | None = None, limit: int = 50) -> list[Row]:
        """The newest dead letters, without payloads."""
        with translated(), self._database.transaction() as connection:
            return connection.execute(SQL["list_dead_letters"], {"reason": reason, "limit": limit}).fetchall()

    def counts(self) -> list[Row]:
        """By reason: how many there are, and the first and last time of receipt."""
        with translated(), self._database.transaction() as connection:
            return connection.execute(SQL["count_dead_letters"]).fetchall()

    def get(self, number: int) -> StoredLetter:
        """One dead letter. Raises NotFound."""
        with translated(), self._database.transaction() as connection:
            row = connection.execute(SQL["find_dead_letter"], {"id": number}).fetchone()
        if row is None:
            raise NotFound("dead letter", number)
        return _letter(row)

    def each(self, which: Which) -> Iterator[StoredLetter]:
        """Dead letters, oldest first, a page at a time."""
        after = 0
        while True:
            with translated(), self._database.transaction() as connection:
                rows = connection.execute(
                    SQL["next_dead_letters"], {**which.values, "after": after, "limit": _PAGE}
                ).fetchall()
            if not rows:
                return
            after = rows[-1]["id"]
            yield from map(_letter, rows)

    def resolve(self, letter: StoredLetter, batch: Batch, *, stored_at: datetime) -> int:
        """Stores what a dead letter was decoded to and takes the letter away, in one transaction.

        Returns how many readings are new. What is stored already stays as it is.
        """
        with translated(), self._database.transaction() as connection:
            new = write_batch(connection, batch, rows_of(batch.readings), stored_at=stored_at, merge=True)
            connection.execute(SQL["delete_dead_letter"], {"id": letter.id})
        return new

    def leave(self, letter: StoredLetter, because: str, *, tried_at: datetime) -> None:
        """Says when a dead letter was tried again, and why it is left."""
        with translated(), self._database.transaction() as connection:
            values = {"id": letter.id, "because": because, "tried_at": tried_at}
            connection.execute(SQL["leave_dead_letter"], values)

    def purge(self, which: Which) -> int:
        """Deletes dead letters; returns how many."""
        with translated(), self._database.transaction() as connection:
            return connection.execute(SQL["purge_dead_letters"], which.values).rowcount


def _letter(row: Row) -> StoredLetter:
    return StoredLetter(
        id=row["id"],
        received_at=row["received_at"],
        topic=row["topic"],
        payload=bytes(row["payload"]),
        size=row["payload_bytes"],
        reason=row["reason"],
        detail=row["detail"],
        left_because=row["left_because"],
    )
