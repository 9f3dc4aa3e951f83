"""`python -m benchmarks.recorded DATA_DIR`: judges all recorded sets and prints one table beside the goals.

DATA_DIR holds a folder for each set with `telemetry.csv.gz` and its labels in the format of docs/backtest.md.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
from pydantic import BaseModel
from rich.console import Console
from rich.table import Table

from anomaly.backtest import Outcome
from benchmarks.recorded.sets import SETS, Set
from cli.backtest import judged, show
from cli.history import labels_of, recorded_of
from core.profile import Profile, parse
from telemetry import recorded


def hand_set(profile: Profile) -> int:
    """How many values of a profile somebody chose for detection: all that detectors were given, each symptom, and a tick
    that is not simply the interval of the readings.
    """
    symptoms = sum(len(mode.symptoms) + len(mode.consequences) for mode in profile.failure_modes.values())
    given = _given(profile.detectors) if "detectors" in profile.model_fields_set else 0
    coarse = profile.tick != min(signal.interval for signal in profile.signals.values())
    return symptoms + given + int(coarse)


def _given(value: Any) -> int:
    if isinstance(value, BaseModel):
        # To switch a detector on without a single setting was a choice too.
        return max(1, sum(_given(getattr(value, name)) for name in value.model_fields_set))
    if isinstance(value, tuple | list):
        return sum(_given(part) for part in value)
    return 0 if value is None else 1


def judge(one: Set, data: Path, parts: int = 2, deal: int = 0) -> tuple[list[Outcome], Profile, float]:
    """The outcomes of one set, its profile, and the seconds it took from files to figures. parts, deal: see `learnt`."""
    began = time.perf_counter()
    profile = parse(one.profile.read_text(encoding="utf-8") + one.detectors, one.profile)
    folder = data / one.folder
    events = folder / "events.csv" if one.events else None
    maintenance = folder / "maintenance.csv" if one.events else None
    attributes = folder / one.attributes if one.attributes else None
    files = [] if one.eventful else [folder / "telemetry.csv.gz", *([folder / one.windows] if one.windows else [])]
    history = recorded_of(
        profile, files, [folder / "failures.csv"], events=events, maintenance=maintenance, devices=attributes
    )
    if one.devices:
        history = history.of([name for name in history.devices if name.startswith(one.devices)])
    if one.over is not None:
        history = one.over(history)
    labels = labels_of(
        profile,
        history,
        failures=folder / "failures.csv" if one.failures else None,
        anomalies=folder / "anomalies.csv" if one.anomalies else None,
        remaining_life=folder / "remaining_life.csv" if one.life else None,
    )
    quiet = Console(quiet=True)
    outcomes = [
        judged(profile, history, labels, replace(one.rules, train_devices=known), quiet, jobs=-1)
        for known in learnt(one, folder, history.devices, parts, deal)
    ]
    return outcomes, profile, time.perf_counter() - began


def learnt(one: Set, folder: Path, devices: Sequence[str], parts: int = 2, deal: int = 0) -> list[tuple[int, ...]]:
    """The positions of the devices to learn from, for each run. parts: where devices are judged by what was learnt from others, so
    many parts of them, each judged by all others. deal: 0 deals them out in their order, any other number by lot.
    """
    if not one.learn:
        return [()]
    if one.learn != "others":
        return [tuple(at for at, name in enumerate(devices) if one.learn in name)]
    # What is only learnt from stands in no part.
    judged = set(recorded.devices(folder / "telemetry.csv.gz")) if one.windows else set(devices)
    parts = min(parts, len(judged))
    names = [name for name in devices if name in judged]
    if deal:
        np.random.default_rng(deal).shuffle(names)
    part = {name: at % parts for at, name in enumerate(names)}
    return [tuple(at for at, name in enumerate(devices) if part.get(name) != own) for own in range(parts)]


@click.command()
@click.argument("data", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--set", "names", multiple=True, type=click.Choice(list(SETS)), help="Only this set; may be repeated.")
@click.option(
    "--parts",
    default=2,
    show_default=True,
    type=click.IntRange(min=2),
    help="Where devices are judged by what was learnt from others: of so many parts each by all others.",
)
@click.option(
    "--deal",
    default=0,
    show_default=True,
    type=click.IntRange(min=0),
    help="Deal them into parts by this lot; 0: in their order. How much a figure owes to who learns from whom.",
)
@click.option("--tables", is_flag=True, help="Print each set's judged tables too.")
@click.option("--json", "json_out", type=click.Path(path_type=Path, dir_okay=False), help="Write the figures here.")
def main(data: Path, *, names: tuple[str, ...], parts: int, deal: int, tables: bool, json_out: Path | None) -> None:
    """Judge the recorded sets in DATA and print the figures beside the goals."""
    console = Console()
    table = Table(title="recorded sets", title_justify="left")
    for column in ("set", "figure", "", "goal", "met", "hand-set values", "seconds"):
        table.add_column(column, justify="left" if column in {"set", "figure"} else "right")
    written: dict[str, Any] = {}
    for name in names or SETS:
        outcomes, profile, seconds = judge(SETS[name], data, parts, deal)
        if tables:
            for outcome in outcomes:
                show(outcome, console)
        values = hand_set(profile)
        figures = {}
        for at, goal in enumerate(SETS[name].goals):
            value = goal.figure(outcomes)
            met = goal.met(value)
            figures[goal.name] = {"value": value, "least": goal.least, "most": goal.most, "met": met}
            first = [name, str(values), f"{seconds:.1f}"] if at == 0 else ["", "", ""]
            shown = "–" if value is None else f"{value:.3f}"
            said = "" if met is None else "yes" if met else "no"
            table.add_row(first[0], goal.name, shown, goal.asked(), said, *first[1:])
        written[name] = {"figures": figures, "hand_set_values": values, "seconds": round(seconds, 1)}
        written[name]["budgets"] = [[asdict(row) for row in outcome.budgets] for outcome in outcomes]
        # A set may take minutes: what is known is said, and kept, at once.
        said = ", ".join(f"{n} {'–' if f['value'] is None else format(f['value'], '.3f')}" for n, f in figures.items())
        console.print(f"{name} ({seconds:.0f} s): {said}", highlight=False, soft_wrap=True)
        if json_out:
            json_out.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
    console.print(table)


if __name__ == "__main__":
    main()
