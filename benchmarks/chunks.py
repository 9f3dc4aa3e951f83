"""How long a chunk of readings should be: `python -m benchmarks.chunks`. A year of data, the two queries that matter.

Latest of many devices: every page of the console asks for it. One device's signals over a range: charts, detection.
Some devices have been silent for most of the year, because that is where many small chunks cost.
"""

import statistics
import sys
from typing import Any

import psycopg

from benchmarks.services import Timescale, connected
from migrations.runner import migrate

SERIES, DAYS, EVERY_MIN, SILENT = 500, 365, 60, 50
_FILL = """
INSERT INTO reading SELECT series, time, time, extract(epoch FROM time)::bigint %% 100, 0
  FROM generate_series(%(first)s::timestamptz, %(first)s::timestamptz + %(days)s, %(every)s) AS time,
       generate_series(1, %(series)s) AS series
 WHERE series > %(silent)s OR time < %(first)s::timestamptz + interval '30 days'
"""
_LATEST = """
SELECT s.id, last.* FROM generate_series(%s, %s) AS s (id)
 CROSS JOIN LATERAL (SELECT r.time, r.value FROM reading r WHERE r.series_id = s.id ORDER BY r.time DESC LIMIT 1) last
"""
_RANGE = (
    "SELECT time, value FROM reading WHERE series_id = ANY(%s) AND time >= %s AND time < %s ORDER BY series_id, time"
)


def main() -> None:
    """Prints planning and execution times by length of a chunk."""
    if why := Timescale.missing():
        sys.exit(why)
    print(f"{SERIES} series, {SILENT} of them silent for 11 months, a reading each {EVERY_MIN} min, {DAYS} days; ms")
    print(
        f"{'chunk':>8} {'chunks':>7} {'latest of 50':>14} {'of 50 silent':>14} {'5 for a day':>14} {'5 for 90 days':>14}"
    )
    with Timescale() as database:
        for days in (1, 7, 30):
            name = f"chunks_{days}"
            with connected(database.url) as admin:
                admin.execute(f"CREATE DATABASE {name}".encode())
            migrate(database.url_of(name), timescaledb=True)
            with connected(database.url_of(name)) as c:
                print(f"{days:>6} d {_measure(c, days)}", flush=True)


def _measure(c: psycopg.Connection[tuple[Any, ...]], days: int) -> str:
    c.execute("SELECT set_chunk_time_interval('reading', make_interval(days => %s))", [days])
    first = "2025-01-01Z"
    c.execute(
        _FILL,
        {
            "first": first,
            "days": f"{DAYS} days",
            "every": f"{EVERY_MIN} min",
            "series": SERIES,
            "silent": SILENT,
        },
    )
    c.execute("VACUUM ANALYZE reading")
    chunks = c.execute("SELECT count(*) FROM timescaledb_information.chunks").fetchone()
    assert chunks
    five = list(range(SILENT + 1, SILENT + 6))
    asked: list[tuple[str, list[Any]]] = [
        (_LATEST, [SILENT + 1, SILENT + 50]),
        (_LATEST, [1, SILENT]),
        (_RANGE, [five, "2025-11-01Z", "2025-11-02Z"]),
        (_RANGE, [five, "2025-08-01Z", "2025-10-30Z"]),
    ]
    return f"{chunks[0]:>7} " + " ".join(f"{_time(c, query, values):>14.1f}" for query, values in asked)


def _time(c: psycopg.Connection[tuple[Any, ...]], query: str, values: list[Any]) -> float:
    """Median of planning and execution together."""
    taken = []
    for _ in range(7):
        row = c.execute(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {query}".encode(), values).fetchone()
        assert row
        taken.append(row[0][0]["Planning Time"] + row[0][0]["Execution Time"])
    return float(statistics.median(taken))


if __name__ == "__main__":
    main()
