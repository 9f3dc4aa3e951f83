"""Brings a database to the current schema; safe to run from several processes and as often as one likes."""

import hashlib
from importlib import resources
from typing import LiteralString

from core.database import Connection, connect
from core.errors import Conflict

_LOCK = 6_734_921  # Any number that only this program takes as an advisory lock.


def migrate(url: str, *, timescaledb: bool | None = None) -> list[str]:
    """Runs what is missing; returns the names of the numbered files that it ran.

    timescaledb: True demands the extension, False leaves it out, None takes it where the server offers it.
    Raises Conflict when a frozen file no longer is what was run, DatabaseAway when the server does not answer.
    """
    with connect(url, name="forewarn-migrate") as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_version"
            " (name text PRIMARY KEY, sha256 text NOT NULL, run_at timestamptz NOT NULL DEFAULT now())"
        )
        if timescaledb is None:
            timescaledb = _offered(connection)
        if timescaledb:
            connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
        done = {r["name"]: r["sha256"] for r in connection.execute("SELECT name, sha256 FROM schema_version")}
        ran = []
        for name, text in versions():
            digest = hashlib.sha256(text.encode()).hexdigest()
            if name in done:
                if done[name] != digest:
                    raise Conflict(f"migration {name} was changed after it had been run; add a new file instead")
                continue
            connection.execute(text)
            connection.execute("INSERT INTO schema_version (name, sha256) VALUES (%s, %s)", (name, digest))
            ran.append(name)
        if timescaledb:
            connection.execute(_text("idempotent", "timescaledb.sql"))
            if _community(connection):
                connection.execute(_text("idempotent", "timescaledb_community.sql"))
        return ran


def versions() -> list[tuple[str, LiteralString]]:
    """The numbered files in order: name, text."""
    folder = resources.files("migrations").joinpath("versions")
    names = sorted(f.name for f in folder.iterdir() if f.name.endswith(".sql"))
    return [(name, _text("versions", name)) for name in names]


def _text(folder: str, name: str) -> LiteralString:
    # A file of this package, never input.
    return resources.files("migrations").joinpath(folder, name).read_text(encoding="utf-8")


def _offered(connection: Connection) -> bool:
    row = connection.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'timescaledb'").fetchone()
    return row is not None


def _community(connection: Connection) -> bool:
    """Whether the licence allows compression; Debian's packages do not."""
    row = connection.execute("SELECT current_setting('timescaledb.license', true) AS license").fetchone()
    return row is not None and row["license"] == "timescale"
