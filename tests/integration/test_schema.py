"""The schema on both database servers."""

import psycopg
import pytest

from core.errors import Conflict
from migrations import runner
from tests.conftest import Server


def test_a_second_run_changes_nothing(database_url: str, server: Server) -> None:
    assert runner.migrate(database_url, timescaledb=server.kind == "timescaledb") == []


def test_a_changed_frozen_file_is_refused(database_url: str) -> None:
    with psycopg.connect(database_url) as c:
        c.execute("UPDATE schema_version SET sha256 = 'other'")
    with pytest.raises(Conflict, match="was changed after it had been run"):
        runner.migrate(database_url, timescaledb=False)


def test_readings_are_a_hypertable_where_timescaledb_is(database_url: str, server: Server) -> None:
    with psycopg.connect(database_url) as c:
        row = c.execute("SELECT count(*) FROM pg_class WHERE relname = 'reading'").fetchone()
        assert row == (1,)
        if server.kind == "timescaledb":
            row = c.execute("SELECT hypertable_name FROM timescaledb_information.hypertables").fetchone()
            assert row == ("reading",)
