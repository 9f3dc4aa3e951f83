"""How fast the gateway stores, against the bare parts it is made of: `python -m benchmarks.ingest [--json OUT] [--quick]`.

The load is no part of what is measured: messages wait in the broker's queue, acknowledged, before a consumer starts,
and every consumer finds the same backlog. Latency is measured with a live load at half of the rate found before.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg

from benchmarks.bare import subscribe
from benchmarks.services import DEVICES, SIGNALS, Command, Mosquitto, Timescale, connected, cpu_seconds, peak_mb, until

EVERYTHING = "forewarn/v1/#"
VALUES = len(SIGNALS)
BATCHED = 20
"""Samples of 5 values in a payload of 100 readings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is measured: messages of one sample, messages of 100 readings, rounds, seconds of live load."""

    single: int
    batched: int
    rounds: int
    live_s: float


FULL = Size(single=200_000, batched=20_000, rounds=5, live_s=30)
QUICK = Size(single=60_000, batched=6_000, rounds=1, live_s=6)


@dataclass(slots=True, kw_only=True)
class Drain:
    """What one consumer did with a backlog."""

    readings_per_s: float
    batches: int
    cores: dict[str, float] = field(default_factory=dict)
    rss_mb: float = 0.0


def main() -> None:
    """Runs everything and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--json", type=Path, metavar="OUT", help="also write the figures to a file")
    parser.add_argument("--quick", action="store_true", help="within 60 s; one round, small backlogs")
    given = parser.parse_args()
    if why := Timescale.missing():
        sys.exit(why)
    began = time.monotonic()
    with Timescale() as database:
        database.prepare()
        figures = measure(database, QUICK if given.quick else FULL)
    figures["seconds"] = round(time.monotonic() - began, 1)
    show(figures)
    if given.json:
        given.json.write_text(json.dumps(figures, indent=2) + "\n")


def measure(database: Timescale, size: Size) -> dict[str, Any]:
    """All figures."""
    bare: list[float] = []
    one: list[Drain] = []
    two: list[Drain] = []
    batched: list[Drain] = []
    copied: list[float] = []
    on_disk = 0.0
    for _ in range(size.rounds):
        # One after the other in each round, so that a machine that slows down does so for all of them.
        with backlog(size.single, 1, {"bare": EVERYTHING, "one": EVERYTHING, "two": EVERYTHING}) as broker:
            bare.append(_bare(broker, size.single))
            for name, workers, drains in (("one", 1, one), ("two", 2, two)):
                drains.append(drain(database, broker, client_id=name, workers=workers, messages=size.single))
                on_disk = bytes_per_reading(database)
        with backlog(size.batched, BATCHED, {"many": EVERYTHING}) as broker:
            batched.append(drain(database, broker, client_id="many", workers=1, messages=size.batched, samples=BATCHED))
            copied.append(copy_same_rows(database))
    rates = {
        "paho_bare_msgs_per_s": bare,
        "gateway_1_msgs_per_s": [d.readings_per_s / VALUES for d in one],
        "gateway_2_msgs_per_s": [d.readings_per_s / VALUES for d in two],
        "gateway_batched_readings_per_s": [d.readings_per_s for d in batched],
        "copy_readings_per_s": copied,
    }
    middle = {name: statistics.median(values) for name, values in rates.items()}
    half = middle["gateway_1_msgs_per_s"] / 2
    visible, live = latency(database, rate=half, seconds=size.live_s)
    return {
        **{name: round(value) for name, value in middle.items()},
        "visible_p50_ms": round(statistics.median(visible), 1),
        "visible_p99_ms": round(statistics.quantiles(visible, n=100)[98], 1),
        "peak_rss_mb": round(max(d.rss_mb for d in [*one, *two, *batched, live]), 1),
        "bytes_per_reading": round(on_disk, 1),
        "gateway_1_readings_per_s": round(middle["gateway_1_msgs_per_s"] * VALUES),
        "visible_max_ms": round(max(visible), 1),
        "visible_rate_msgs_per_s": round(half),
        "visible_samples": len(visible),
        "ratios": {
            "gateway_1_to_paho_bare": _ratio(rates["gateway_1_msgs_per_s"], bare),
            "gateway_2_to_gateway_1": _ratio(rates["gateway_2_msgs_per_s"], rates["gateway_1_msgs_per_s"]),
            "gateway_batched_to_copy": _ratio(rates["gateway_batched_readings_per_s"], copied),
        },
        "spread": {name: [round(min(values)), round(max(values))] for name, values in rates.items()},
        "cores_used": {
            "gateway_1": _middle_cores(one),
            "gateway_2": _middle_cores(two),
            "gateway_batched": _middle_cores(batched),
            "half_rate": live.cores,
        },
        "batches": {"gateway_1": one[-1].batches, "gateway_2": two[-1].batches, "batched": batched[-1].batches},
        "rounds": size.rounds,
        "cores": os.cpu_count(),
        "machine": platform.platform(),
    }


def _ratio(of: Sequence[float], to: Sequence[float]) -> float:
    """The median of the ratios within each round."""
    return round(statistics.median(a / b for a, b in zip(of, to, strict=True)), 3)


def _middle_cores(drains: Sequence[Drain]) -> dict[str, float]:
    return {name: round(statistics.median(d.cores[name] for d in drains), 2) for name in drains[0].cores}


@contextmanager
def backlog(messages: int, samples: int, sessions: dict[str, str]) -> Iterator[Mosquitto]:
    """A broker in which each of `sessions` (client id: topic filter) has the same messages waiting."""
    with Mosquitto() as broker:
        for client_id, to in sessions.items():
            subscribe(broker.port, client_id, to)
        # Device times of the last days, none ahead of the clock, so that a run touches as many chunks as real life.
        start = time.time() - 3 * 86_400
        load("fill", broker, messages=messages, samples=samples, start=start)
        yield broker


def load(what: str, broker: Mosquitto, **options: object) -> float:
    """Runs the load generator to its end; returns what it printed."""
    done = load_process(what, broker, **options).communicate()[0]
    return float(done)


def load_process(what: str, broker: Mosquitto, **options: object) -> "subprocess.Popen[str]":
    """The load generator as a process."""
    words = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    command = [sys.executable, "-m", "benchmarks.load", what, f"--port={broker.port}", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _bare(broker: Mosquitto, messages: int) -> float:
    command = [sys.executable, "-m", "benchmarks.bare", f"--port={broker.port}", "--client-id=bare"]
    done = subprocess.run([*command, f"--messages={messages}"], stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout)


def gateway(database: Timescale, broker: Mosquitto, *, client_id: str, workers: int = 1) -> Command:
    """The gateway, not started yet."""
    return Command(
        "gateway",
        *([f"--workers={workers}"] if workers > 1 else []),
        FOREWARN_DATABASE_URL=database.url,
        FOREWARN_MQTT_PORT=str(broker.port),
        FOREWARN_MQTT_CLIENT_ID=client_id,
    )


def drain(
    database: Timescale, broker: Mosquitto, *, client_id: str, workers: int, messages: int, samples: int = 1
) -> Drain:
    """Lets the gateway store a backlog; the time goes from its first batch to its last."""
    wanted = messages * samples * VALUES
    with connected(database.url) as c:
        c.execute("TRUNCATE reading, batch, dead_letter")
        c.execute("CHECKPOINT")
        before = _cpu(database, broker)
        with gateway(database, broker, client_id=client_id, workers=workers) as running:
            began = time.monotonic()
            until(lambda: running.said("") and _stored(c) >= wanted, within=300, what=f"{wanted} readings are stored")
            took = time.monotonic() - began
            cores = {name: (used - before[name]) / took for name, used in _cpu(database, broker).items()}
            processes = running.processes()
            cores["gateway"] = cpu_seconds(processes) / took
            rss = max(map(peak_mb, processes))
        row = c.execute(
            "SELECT count(*), sum(readings), extract(epoch FROM max(stored_at) - min(stored_at))::float8,"
            " (SELECT readings FROM batch ORDER BY stored_at LIMIT 1), (SELECT count(*) FROM dead_letter) FROM batch"
        ).fetchone()
    assert row
    batches, stored, seconds, first, dead = row
    if stored != wanted or dead:
        raise RuntimeError(f"{wanted} readings were sent, {stored} stored, {dead} messages refused")
    return Drain(readings_per_s=(stored - first) / seconds, batches=batches, cores=cores, rss_mb=rss)


def _stored(c: psycopg.Connection[tuple[Any, ...]]) -> int:
    row = c.execute("SELECT coalesce(sum(readings), 0) FROM batch").fetchone()
    assert row
    return int(row[0])


def _cpu(database: Timescale, broker: Mosquitto) -> dict[str, float]:
    # A backend that ended counts no more; that of a gateway lives as long as the gateway.
    return {"broker": cpu_seconds(broker.processes()), "database": cpu_seconds(database.processes())}


def copy_same_rows(database: Timescale, *, rows: int = 50_000) -> float:
    """Readings a second when the rows of the last drain are copied by themselves, `rows` a transaction."""
    fields = "series_id, time, received_at, value, quality"
    with connected(database.url) as c:
        c.execute(f"CREATE TEMPORARY TABLE same AS SELECT {fields} FROM reading".encode())
        found = c.execute("SELECT count(*) FROM same").fetchone()
        assert found
        total = int(found[0])
        c.execute("ALTER TABLE same ADD number bigint GENERATED ALWAYS AS IDENTITY")
        c.execute("CREATE INDEX ON same (number)")
        blocks = []
        for at in range(0, total, rows):
            # As the gateway writes them: what came together, sorted by key.
            query = f"SELECT {fields} FROM same WHERE number > {at} AND number <= {at + rows} ORDER BY series_id, time"
            with c.cursor() as cursor, cursor.copy(f"COPY ({query}) TO STDOUT (FORMAT binary)".encode()) as copy:
                blocks.append(b"".join(bytes(block) for block in copy))
        c.execute("TRUNCATE reading")
        c.execute("CHECKPOINT")
        began = time.perf_counter()
        for block in blocks:
            with c.transaction(), c.cursor() as cursor:
                with cursor.copy(f"COPY reading ({fields}) FROM STDIN (FORMAT binary)".encode()) as copy:
                    copy.write(block)
        took = time.perf_counter() - began
        check = c.execute("SELECT count(*) FROM reading").fetchone()
        assert check == (total,)
    return total / took


def bytes_per_reading(database: Timescale) -> float:
    """Bytes on disk, index included, for each stored reading."""
    with connected(database.url) as c:
        row = c.execute("SELECT hypertable_size('reading')::float8 / count(*) FROM reading").fetchone()
    assert row
    return float(row[0])


def latency(database: Timescale, *, rate: float, seconds: float) -> tuple[list[float], Drain]:
    """Milliseconds from when a message was due to be published until SQL shows it, for one in a hundred messages."""
    messages = int(rate * seconds)
    with connected(database.url) as c, Mosquitto() as broker:
        c.execute("TRUNCATE reading, batch, dead_letter")
        with gateway(database, broker, client_id="live") as running:
            until(lambda: running.said("subscribed"), within=30, what="the gateway is subscribed")
            # Before the first message of each device it is looked up: no part of a steady state.
            load("paced", broker, messages=2000, rate=1000, start=time.time() + 1.5, probe_every=100)
            until(lambda: _stored(c) >= 2000 * VALUES, within=60, what="the first messages are stored")
            start = time.time() + 2 + messages / 50_000
            sender = load_process("paced", broker, messages=messages, rate=rate, start=start, probe_every=100)
            before = _cpu(database, broker) | {"gateway": cpu_seconds(running.processes())}
            began = time.monotonic()
            seen = list(_watch(c, start, count=(messages + 99) // 100, alive=lambda: running.said("")))
            took = time.monotonic() - began
            after = _cpu(database, broker) | {"gateway": cpu_seconds(running.processes())}
            cores = {name: round((used - before[name]) / took, 2) for name, used in after.items()}
            rss = max(map(peak_mb, running.processes()))
            late = float(sender.communicate()[0])
            if late > 0.5:
                print(f"the load fell behind by {late:.2f} s: the rate is too high for this machine", file=sys.stderr)
            until(lambda: _stored(c) >= (messages + 2000) * VALUES, within=60, what="all is stored")
    drained = Drain(readings_per_s=rate * VALUES, batches=0, cores=cores, rss_mb=rss)
    return seen, drained


def _watch(
    c: psycopg.Connection[tuple[Any, ...]], start: float, *, count: int, alive: Callable[[], bool]
) -> Iterator[float]:
    row = c.execute(
        "SELECT series.id FROM series JOIN device ON device.id = device_id WHERE name = 'probe' AND signal = %s",
        [SIGNALS[0]],
    ).fetchone()
    assert row
    series, last, left = row[0], start - 0.001, count
    deadline = time.monotonic() + 300
    while left:
        found = c.execute(
            "SELECT extract(epoch FROM time)::float8 FROM reading"
            " WHERE series_id = %s AND time > to_timestamp(%s) ORDER BY time",
            (series, last + 1e-6),
            prepare=True,
        ).fetchall()
        now = time.time()
        for (due,) in found:
            yield (now - due) * 1000
        if found:
            last, left = found[-1][0], left - len(found)
        elif time.monotonic() > deadline or not alive():
            raise RuntimeError(f"{left} of {count} messages were never seen")
        time.sleep(0.003)


def show(figures: dict[str, Any]) -> None:
    """Prints the table."""
    ratios, spread = figures["ratios"], figures["spread"]
    print(
        f"\n{figures['cores']} cores, {figures['rounds']} rounds, {figures['seconds']} s; medians (least to greatest)"
    )
    rows = [
        ("paho's bare loop, QoS 1", "paho_bare_msgs_per_s", "messages/s", ""),
        ("gateway, 1 worker", "gateway_1_msgs_per_s", "messages/s", f"{ratios['gateway_1_to_paho_bare']} of bare paho"),
        ("gateway, 2 workers", "gateway_2_msgs_per_s", "messages/s", f"{ratios['gateway_2_to_gateway_1']} of 1 worker"),
        ("gateway, 100 a payload", "gateway_batched_readings_per_s", "readings/s", f"{ratios['gateway_batched_to_copy']} of raw COPY"),
        ("raw COPY of the same rows", "copy_readings_per_s", "readings/s", ""),
    ]  # fmt: skip
    for title, name, unit, note in rows:
        least, most = spread[name]
        print(f"{title:27}{figures[name]:>9,} {unit:11} ({least:,} to {most:,}) {note}")
    print(f"{'readings stored, 1 worker':27}{figures['gateway_1_readings_per_s']:>9,} readings/s")
    print(
        f"{'publish to visible in SQL':27}p50 {figures['visible_p50_ms']} ms, p99 {figures['visible_p99_ms']} ms, greatest"
        f" {figures['visible_max_ms']} ms at {figures['visible_rate_msgs_per_s']:,} messages/s ({figures['visible_samples']} seen)"
    )
    print(f"{'peak memory of a process':27}{figures['peak_rss_mb']:>9} MB")
    print(f"{'on disk, index included':27}{figures['bytes_per_reading']:>9} bytes a reading")
    for phase, cores in figures["cores_used"].items():
        print(f"{'cores, ' + phase:27}" + ", ".join(f"{name} {used}" for name, used in sorted(cores.items())))
    print(
        f"load: a backlog of {DEVICES} devices in the broker's queue; {psutil.cpu_count()} cores for all parts together"
    )


if __name__ == "__main__":
    main()
