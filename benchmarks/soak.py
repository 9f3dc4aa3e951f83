"""Half of full load while everything fails in turn: `python -m benchmarks.soak [--minutes 10] [--rate N]`.

Devices publish; a gateway with two workers stores. Database and broker are stopped, the gateway and its workers killed,
the network between them cut in the middle of a batch or silent, the database's disk fills up, and for a while a second
gateway stores everything too. At the end it is counted: what was sent is stored, each once, and memory stayed flat.

`--database-away 10min` is one long outage instead: the database crashes after a quarter of the minutes that are left,
and is started again so much later.
"""

import argparse
import json
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import psycopg

from benchmarks.ingest import EVERYTHING, backlog, drain
from benchmarks.proxy import Proxy
from benchmarks.services import DEVICES, SIGNALS, Command, Mosquitto, Timescale, connected, until

VALUES = len(SIGNALS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something that fails, and how it is mended `share` of its turn later."""

    name: str
    begin: Callable[[], object]
    end: Callable[[], object] = lambda: None
    share: float = 0.4


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What fails when: seconds before the first fault, then each fault for `share` of its turn of so many seconds."""

    warm_up: float
    turn: float
    faults: Sequence[Fault]


@dataclass(slots=True, kw_only=True)
class Seen:
    """What was seen each second."""

    at: list[float] = field(default_factory=list)
    rss_mb: dict[str, list[float]] = field(default_factory=dict)
    backlog: list[int] = field(default_factory=list)
    broker_mb: float = 0.0


class Soak:
    """The parts under load, their faults, and what is seen of them."""

    def __init__(self, stack: ExitStack, *, disk_mb: int) -> None:
        self.database = stack.enter_context(Timescale(disk_mb=disk_mb))
        self.database.prepare()
        self.broker = stack.enter_context(Mosquitto())
        self.to_database = stack.enter_context(Proxy(self.database.port))
        self.to_broker = stack.enter_context(Proxy(self.broker.port))
        settings = {
            "FOREWARN_DATABASE_URL": self.database.url_of("postgres", port=self.to_database.port),
            "FOREWARN_MQTT_PORT": str(self.to_broker.port),
        }
        self.two = stack.enter_context(Command("gateway", "--workers=2", FOREWARN_MQTT_CLIENT_ID="a", **settings))
        self.second = Command("gateway", FOREWARN_MQTT_CLIENT_ID="b", **settings)
        self.retiring = Command("gateway", "--retire", FOREWARN_MQTT_CLIENT_ID="b", **settings)
        stack.callback(self.second.end)
        stack.callback(self.retiring.end)
        until(lambda: self.two.said("subscribed"), within=60, what="the gateway is subscribed")
        self.sent = 0
        self.seen = Seen()
        self._began = time.monotonic()
        self._stored = 0

    def faults(self) -> list[Fault]:
        """All of them, in the order in which they are tried."""
        return [
            Fault(name="database stopped", begin=self.database.stop, end=self.database.start),
            Fault(name="broker restarted", begin=self.broker.stop, end=self.broker.start, share=0.1),
            Fault(name="a worker killed", begin=self._kill_worker),
            Fault(
                name="database cut off in a batch",
                begin=partial(self.to_database.cut_after, 100_000),
                end=self.to_database.cut,
                share=0.2,
            ),
            Fault(name="broker cut off", begin=self.to_broker.down, end=self.to_broker.up, share=0.2),
            Fault(name="the gateway killed", begin=self._kill_gateway),
            Fault(name="two gateways at once", begin=self.second.start, end=self._retire_second, share=0.5),
            Fault(name="disk of the database full", begin=self.database.fill_disk, end=self.database.free_disk),
            Fault(name="network to the database silent", begin=self.to_database.stall, end=self._unstall, share=0.3),
            Fault(name="network to the broker silent", begin=self.to_broker.stall, end=self.to_broker.up, share=0.3),
        ]

    def each_once(self, seconds: float) -> Plan:
        """Every fault once, each with the same share of so many seconds."""
        faults = self.faults()
        turn = seconds / (len(faults) + 1)
        return Plan(warm_up=turn, turn=turn, faults=faults)

    def one_outage(self, seconds: float, away: float) -> Plan:
        """Nothing but the database, crashed and `away` for so long out of so many seconds."""
        warm_up = (seconds - away) / 4
        turn = seconds - warm_up
        fault = Fault(name="database stopped", begin=self.database.stop, end=self.database.start, share=away / turn)
        return Plan(warm_up=warm_up, turn=turn, faults=[fault])

    def run(self, plan: Plan, *, rate: float) -> dict[str, Any]:
        """Publishes while what is planned fails; returns the counts."""
        command = [sys.executable, "-m", "benchmarks.load", "steady", f"--port={self.broker.port}", f"--rate={rate}"]
        sender = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        assert sender.stdin
        assert sender.stdout
        self._until_told(sender.stdout, plan.warm_up, "warm up")
        for fault in plan.faults:
            fault.begin()
            self._until_told(sender.stdout, fault.share * plan.turn, fault.name)
            fault.end()
            self._until_told(sender.stdout, (1 - fault.share) * plan.turn, "mended")
        sender.stdin.close()
        for line in sender.stdout:
            self.sent = int(line)
        sender.wait(120)
        ended = time.monotonic()
        with connected(self.database.url) as c:
            until(lambda: _told(c) >= self.sent * VALUES, within=300, what="everything that was sent is stored")
            caught_up = time.monotonic() - ended
            counts = self._counts(c)
        codes = [self.two.stop(), *([self.retiring.wait()] if self.retiring.started else [])]
        return counts | {"caught_up_s": round(caught_up, 1), "exit_codes": codes} | self._memory()

    def _until_told(self, lines: Any, seconds: float, what: str) -> None:
        """Looks on for some seconds; the load tells each second what it sent."""
        until_at = time.monotonic() + seconds
        while time.monotonic() < until_at:
            self.sent = int(lines.readline())
            self._look()
        rss = {name: round(values[-1]) for name, values in self.seen.rss_mb.items()}
        print(
            f"{self.seen.at[-1]:5.0f} s  {what:34} sent {self.sent:>9,}  waiting {self.seen.backlog[-1]:>9,}  MB {rss}",
            flush=True,
        )

    def _look(self) -> None:
        try:
            with psycopg.connect(self.database.url, autocommit=True, connect_timeout=2) as c:
                self._stored = _told(c)
        except psycopg.Error:
            pass  # It is away on purpose: what was stored last stays what is known.
        self.seen.at.append(time.monotonic() - self._began)
        self.seen.backlog.append(self.sent - self._stored // VALUES)
        for broker in self.broker.processes():
            self.seen.broker_mb = max(self.seen.broker_mb, broker.memory_info().rss / 1_048_576)
        processes = [p for command in (self.two, self.second) for p in command.processes()]
        for process in processes:
            name = _name(process)
            if name:
                self.seen.rss_mb.setdefault(name, []).append(process.memory_info().rss / 1_048_576)

    def _kill_worker(self) -> None:
        _, *workers = self.two.processes()
        workers[0].kill()

    def _kill_gateway(self) -> None:
        # The parent alone: its workers have to notice.
        self.two.stop(signal.SIGKILL)
        self.two.start()

    def _retire_second(self) -> None:
        self.second.stop()
        self.retiring.start()

    def _unstall(self) -> None:
        self.to_database.up()
        self.to_database.cut()

    def _counts(self, c: psycopg.Connection[tuple[Any, ...]]) -> dict[str, Any]:
        row = c.execute(
            "SELECT count(*), coalesce(sum(value::bigint), 0)::text, (SELECT count(*) FROM dead_letter) FROM reading"
        ).fetchone()
        assert row
        wanted = sum(8 * n * VALUES + sum(range(VALUES)) for n in range(self.sent))
        return {
            "sent_messages": self.sent,
            "sent_readings": self.sent * VALUES,
            "stored_readings": row[0],
            "told_readings": _told(c),
            "same_values": int(row[1]) == wanted,
            "dead_letters": row[2],
            "database_cuts": self.to_database.cuts,
            "broker_cuts": self.to_broker.cuts,
        }

    def _memory(self) -> dict[str, Any]:
        """By process: the median of the second and of the last quarter of the run, and the most."""
        told = {}
        for name, values in self.seen.rss_mb.items():
            quarter = max(1, len(values) // 4)
            second, last = values[quarter : 2 * quarter] or values, values[-quarter:]
            told[name] = {
                "early_mb": round(statistics.median(second), 1),
                "late_mb": round(statistics.median(last), 1),
                "most_mb": round(max(values), 1),
            }
        return {
            "memory": told,
            "most_waiting": max(self.seen.backlog),
            "broker_most_mb": round(self.seen.broker_mb, 1),
        }


def _name(process: psutil.Process) -> str:
    try:
        words, client_id = process.cmdline(), process.environ().get("FOREWARN_MQTT_CLIENT_ID", "")
        number = process.parent().children().index(process) + 1 if "--worker" in words else 0  # type: ignore[union-attr]
    except (psutil.Error, ValueError, AttributeError):
        return ""  # It has just ended.
    return f"{client_id}, worker {number}" if number else client_id


def _told(c: psycopg.Connection[tuple[Any, ...]]) -> int:
    row = c.execute("SELECT coalesce(sum(readings), 0)::bigint FROM batch").fetchone()
    assert row
    return int(row[0])


def failures(counts: dict[str, Any]) -> list[str]:
    """What of the promises was not kept."""
    sent = counts["sent_readings"]
    wrong = []
    if not counts["stored_readings"] == counts["told_readings"] == sent or not counts["same_values"]:
        wrong.append(f"sent {sent}, stored {counts['stored_readings']}, told to detection {counts['told_readings']}")
    if counts["dead_letters"]:
        wrong.append(f"{counts['dead_letters']} dead letters")
    if any(counts["exit_codes"]):
        wrong.append(f"exit codes {counts['exit_codes']}")
    for name, memory in counts["memory"].items():
        if memory["late_mb"] > 1.3 * memory["early_mb"] + 10:
            wrong.append(f"the memory of {name} grew from {memory['early_mb']} to {memory['late_mb']} MB")
    return wrong


def half_rate() -> float:
    """Half of what one gateway stores, messages a second."""
    with Timescale() as database:
        database.prepare()
        with backlog(60_000, 1, {"half": EVERYTHING}) as broker:
            return drain(database, broker, client_id="half", workers=1, messages=60_000).readings_per_s / VALUES / 2


def _duration(text: str) -> float:
    """Seconds of a time like `90s` or `10min`."""
    for unit, seconds in (("min", 60.0), ("s", 1.0)):
        number = text.removesuffix(unit)
        if number != text and number.isdigit() and int(number):
            return int(number) * seconds
    raise argparse.ArgumentTypeError(f"{text!r} is no time; write one like 90s or 10min")


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs it and prints the counts; exit code 1 when a promise was not kept."""
    parser = argparse.ArgumentParser(description="Half of full load while everything fails in turn.")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument(
        "--rate", type=float, default=0.0, help="messages a second; 0 takes half of what one gateway does"
    )
    parser.add_argument(
        "--database-away", type=_duration, metavar="10min", help="instead of all faults, one outage of so long"
    )
    parser.add_argument("--disk-mb", type=int, default=20_000, help="size of the database's file system (sparse)")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    seconds, away = 60 * given.minutes, given.database_away
    if away and away >= seconds:
        parser.error(f"--database-away: {away:g} s leave nothing of --minutes {given.minutes:g}; give more minutes")
    if why := Timescale.missing():
        sys.exit(why)
    rate = given.rate or half_rate()
    print(
        f"{rate:,.0f} messages a second of {VALUES} readings, {DEVICES} devices, {given.minutes:g} minutes", flush=True
    )
    with ExitStack() as stack:
        soak = Soak(stack, disk_mb=given.disk_mb)
        counts = soak.run(soak.one_outage(seconds, away) if away else soak.each_once(seconds), rate=rate)
    counts["rate"] = round(rate)
    print(json.dumps(counts, indent=2))
    if given.json:
        given.json.write_text(json.dumps(counts, indent=2) + "\n")
    if wrong := failures(counts):
        sys.exit("NOT KEPT: " + "; ".join(wrong))
    print(f"kept: sent {counts['sent_readings']:,} readings = stored, duplicates 0, dead letters 0, memory flat")


if __name__ == "__main__":
    main()
