"""The files of a simulation: devices to register, the ground truth, the plan's own numbers, recorded telemetry."""

import csv
import gzip
import io
import json
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import asdict, astuple, dataclass, fields
from datetime import UTC, date, datetime
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

import numpy as np

from simulator.catalogue import PRODUCTS
from simulator.customers import Device
from simulator.fleet import Chunk
from simulator.plan import Plan
from simulator.planning import make
from simulator.product import Event

_PLAN = "plan.json"


class OtherPlan(Exception):
    """The folder holds the plan of another fleet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """What a plan is made from, beside its end."""

    product: str = "fridge"
    seed: int
    devices: int
    days: float
    failing: int
    as_of: date | None = None


def plan_in(folder: Path, numbers: Numbers, end: datetime | None, now: datetime) -> Plan:
    """The plan of `folder`, made and written if there is none yet, so that a later run continues the same fleet.

    A new plan ends at `end`, else at `now`. Raises OtherPlan if the folder holds one made from other numbers, and
    ValueError for numbers that make no fleet.
    """
    file = folder / _PLAN
    if file.exists():
        try:
            kept = json.loads(file.read_text(encoding="utf-8"))
            kept_end = datetime.fromisoformat(kept.pop("end"))
            as_of = kept.pop("as_of", None)
            kept_numbers = Numbers(**kept, as_of=date.fromisoformat(as_of) if as_of else None)
        except (ValueError, TypeError, KeyError, AttributeError):
            raise OtherPlan(f"{file} cannot be read; delete it or choose another folder") from None
        if kept_numbers != numbers or (end is not None and end != kept_end):
            raise OtherPlan(
                f"{file} holds another fleet: {kept_numbers}, end {kept_end.isoformat()}."
                " Give its numbers, delete the folder or choose another one"
            )
        plan_end = kept_end
    else:
        plan_end = end or now
    plan = make(**asdict(numbers), end=plan_end.astimezone(UTC))
    folder.mkdir(parents=True, exist_ok=True)
    names = [device.device for device in plan.devices]
    components = PRODUCTS[plan.product].components
    _write(folder / "devices.csv", [f.name for f in fields(Device)], (astuple(device) for device in plan.devices))
    _write(
        folder / "truth.csv",
        ["device", "component", "failure_mode", "onset", "failure_time", "growth"],
        (
            (names[f.at], components[f.failure_mode], f.failure_mode, _iso(f.onset), _iso(f.failure_time), f.growth)
            for f in plan.faults
        ),
    )
    _write(
        folder / "oddities.csv",
        ["device", "kind", "start", "end"],
        ((names[o.at], o.kind, _iso(o.start), _iso(o.end)) for o in plan.oddities),
    )
    if plan.services:
        _write(
            folder / "maintenance.csv",
            ["device", "time", "component"],
            ((names[s.at], _iso(s.time), s.component) for s in plan.services),
        )
    as_of = numbers.as_of.isoformat() if numbers.as_of else None
    record = asdict(numbers) | {"as_of": as_of, "end": plan_end.isoformat()}
    file.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return plan


class TelemetryFile:
    """Telemetry as CSV: device, time, one column a signal; empty where nothing was measured. `.gz` compresses it."""

    def __init__(self, file: Path, signals: tuple[str, ...]) -> None:
        self._path = file
        self._signals = signals
        self._file: TextIO
        self._opened: ExitStack

    def __enter__(self) -> Self:
        with ExitStack() as opened:
            if self._path.suffix == ".gz":
                raw = opened.enter_context(self._path.open("wb"))
                # No name and no time in the header: the same seed gives the same bytes.
                packed = gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=6, mtime=0)
                opened.enter_context(packed)
                self._file = opened.enter_context(io.TextIOWrapper(packed, encoding="utf-8", newline=""))
            else:
                self._file = opened.enter_context(self._path.open("w", encoding="utf-8", newline=""))
            self._opened = opened.pop_all()
        self._file.write(",".join(("device", "time", *self._signals)) + "\n")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()

    def write(self, chunk: Chunk) -> int:
        """Appends a chunk in time order, all devices of one time together; the number of rows written."""
        there = np.asarray(np.isfinite(chunk.values).any(axis=2))
        written = 0
        for n, ms in enumerate(chunk.times.tolist()):
            time = _iso(datetime.fromtimestamp(ms / 1000, tz=UTC))
            rows = chunk.values[:, n].tolist()
            for at in np.flatnonzero(there[:, n]).tolist():
                cells = ("" if value != value else f"{value:g}" for value in rows[at])  # noqa: PLR0124 — NaN is not itself
                self._file.write(f"{chunk.devices[at]},{time},{','.join(cells)}\n")
                written += 1
        return written


def write_errors(file: Path, plan: Plan, events: Iterable[Event]) -> None:
    """The error codes among a history's events as CSV, for backtests: device, time, code."""
    errors = ((plan.devices[e.at].device, _iso(e.time), e.code) for e in events if e.kind == "error")
    _write(file, ["device", "time", "code"], errors)


def _write(file: Path, header: list[str], rows: Iterable[Iterable[object]]) -> None:
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _iso(time: datetime) -> str:
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")
