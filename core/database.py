"""PostgreSQL for all stages: a pool, named queries from `queries.sql`, and the border where psycopg's errors stop."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from typing import Any, LiteralString, Self

import psycopg
from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool, PoolTimeout

from core.errors import DatabaseAway

Connection = psycopg.Connection[DictRow]
"""A connection whose rows are dicts by column name."""

_HEADING = re.compile(r"^-- (?P<name>[a-z_0-9]+): (?P<description>.+)$", re.MULTILINE)


class Queries:
    """The named queries of one package's SQL file. A query starts with a line `-- name: what it does`."""

    def __init__(self, package: str, file: str = "queries.sql") -> None:
        text = resources.files(package).joinpath(file).read_text(encoding="utf-8")
        headings = list(_HEADING.finditer(text))
        ends = [h.start() for h in headings[1:]] + [len(text)]
        self._texts = {
            h["name"]: text[h.end() : end].strip().rstrip(";") for h, end in zip(headings, ends, strict=True)
        }
        if len(self._texts) != len(headings):
            raise ValueError(f"{package}/{file}: a query name stands twice")

    def __getitem__(self, name: str) -> LiteralString:
        # The text is a file of this package, never input: that is what LiteralString asks for.
        return self._texts[name]

    def names(self) -> list[str]:
        """Names of all queries, in the order of the file."""
        return list(self._texts)


_NOTICE_SILENCE = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 25_000}
"""A server behind a network that fell silent counts as away after about 25 s, not when the system gives up: in hours."""


class Database:
    """A pool of connections to one database. Opens on first use; `close` when done.

    wait: seconds to wait for a free connection before the database counts as away.
    """

    def __init__(self, url: str, *, size: int = 4, name: str = "forewarn", wait: float = 10.0) -> None:
        self._pool: ConnectionPool[Connection] = ConnectionPool(
            url,
            min_size=0,
            max_size=size,
            open=False,
            timeout=wait,
            reconnect_timeout=5.0,
            check=ConnectionPool.check_connection,
            kwargs={"row_factory": dict_row, "application_name": name, "connect_timeout": 5, **_NOTICE_SILENCE},
            connection_class=psycopg.Connection[DictRow],
        )

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One transaction: committed at the end of the block, rolled back by an exception.

        Raises DatabaseAway when the server cannot be reached or goes away in the middle.
        """
        self._pool.open()
        try:
            with self._pool.connection() as connection:
                # `transaction` also covers a caller that swallowed an error inside a savepoint.
                with connection.transaction():
                    yield connection
        except (PoolTimeout, psycopg.OperationalError) as error:
            raise DatabaseAway(_sentence(error)) from error

    def ping(self) -> None:
        """Returns when the database answers, else raises DatabaseAway."""
        with self.transaction() as connection:
            connection.execute("SELECT 1")

    def close(self) -> None:
        """Closes all connections."""
        self._pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def connect(url: str, *, name: str = "forewarn", autocommit: bool = False) -> Iterator[Connection]:
    """One connection outside a pool, for work that holds it long (COPY writer, locks, migration)."""
    try:
        with psycopg.connect(
            url, row_factory=dict_row, application_name=name, autocommit=autocommit, connect_timeout=5
        ) as connection:
            yield connection
    except psycopg.OperationalError as error:
        raise DatabaseAway(_sentence(error)) from error


def _sentence(error: BaseException) -> str:
    """The first line of a driver's message: the rest repeats it for each address tried."""
    return str(error).strip().split("\n")[0] or type(error).__name__


Row = dict[str, Any]
"""One row of a result by column name."""
