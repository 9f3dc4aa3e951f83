"""`python -m benchmarks.recorded DATA_DIR`: judges all recorded sets and prints one table beside the goals.

DATA_DIR holds a folder for each set with `telemetry.csv.gz` and its labels in the format of docs/backtest.md. What
differs between the sets stands in their profiles; here are only the rules of judging, as they were published with them.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel
from rich.console import Console
from rich.table import Table

from anomaly.backtest import Outcome, run
from anomaly.judgement.failures import Row
from anomaly.judgement.rules import Rules, duration, length
from cli.backtest import show
from cli.history import labels_of
from core.profile import SHIPPED, Profile, load
from telemetry import recorded

_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """One figure that is asked for: how it is read from the outcome, and what it should be."""

    name: str
    figure: Callable[[Outcome], float | None]
    least: float | None = None
    most: float | None = None

    def asked(self) -> str:
        """The goal in words."""
        return f">= {self.least:g}" if self.least is not None else f"<= {self.most:g}" if self.most else ""

    def met(self, value: float | None) -> bool | None:
        """Whether a value meets it; None where no goal is set."""
        if self.least is None and self.most is None:
            return None
        if value is None:
            return False
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)


@dataclass(frozen=True, slots=True, kw_only=True)
class Set:
    """A recorded set: folder, profile, rules, what it is judged against. devices: only those whose names begin so."""

    folder: str
    profile: Path
    rules: Rules
    goals: tuple[Goal, ...]
    failures: bool = False
    anomalies: bool = False
    life: bool = False
    devices: str = ""


def _row(rows: tuple[Row, ...], budget: float | None, field: str) -> float | None:
    return next((getattr(row, field) for row in rows if row.budget == budget), None)


def _budget(budget: float, field: str = "recall") -> Callable[[Outcome], float | None]:
    return lambda outcome: _row(outcome.budgets, budget, field)


def _live(field: str) -> Callable[[Outcome], float | None]:
    return lambda outcome: _row(outcome.live, None, field)


def _interval(field: str) -> Callable[[Outcome], float | None]:
    return lambda outcome: getattr(outcome.intervals, field) if outcome.intervals else None


def _labelled(field: str) -> Callable[[Outcome], float | None]:
    return lambda outcome: getattr(outcome.intervals_labelled, field) if outcome.intervals_labelled else None


def _nab(name: str) -> Callable[[Outcome], float | None]:
    return lambda outcome: outcome.nab[name] if outcome.nab else None


def _life(field: str) -> Callable[[Outcome], float | None]:
    return lambda outcome: getattr(outcome.life, field) if outcome.life else None


def _engines(devices: str, rmse: float) -> Set:
    return Set(
        folder="cmapss",
        profile=_HERE / "cmapss.yaml",
        rules=Rules(horizon=length("125h", ""), leads=(duration("10h", ""),), life_cap=125.0),
        failures=True,
        life=True,
        devices=devices,
        goals=(
            Goal(name="RMSE", figure=_life("rmse"), most=rmse),
            Goal(name="inside P10..P90", figure=_life("inside_p10_p90"), least=0.75, most=0.85),
            Goal(
                name="RMSE by age alone",
                figure=lambda outcome: outcome.life_by_age.rmse if outcome.life_by_age else None,
            ),
        ),
    )


SETS: Mapping[str, Set] = {
    "azure_pdm": Set(
        folder="azure_pdm",
        profile=_HERE / "azure_pdm.yaml",
        rules=Rules(),
        failures=True,
        goals=(
            Goal(name="recall at a budget of 0.5", figure=_budget(0.5), least=0.5),
            Goal(name="recall at a budget of 1", figure=_budget(1.0)),
            Goal(name="recall as configured", figure=_live("recall")),
            Goal(name="false a device-month as configured", figure=_live("false_per_device_month")),
            Goal(name="component right as configured", figure=_live("component_right")),
        ),
    ),
    "backblaze": Set(
        folder="backblaze",
        profile=_HERE / "backblaze.yaml",
        rules=Rules(horizon=length("30d", ""), leads=(duration("1d", ""),), flagged=(0.02,)),
        failures=True,
        goals=(
            Goal(name="recall at 2 % of healthy drives", figure=lambda o: _row(o.flagged, 0.02, "recall"), least=0.6),
            Goal(name="healthy drives flagged", figure=lambda o: _row(o.flagged, 0.02, "healthy_flagged")),
        ),
    ),
    "pronostia": Set(
        folder="pronostia",
        profile=_HERE / "pronostia.yaml",
        rules=Rules(horizon=length("50%", ""), leads=(duration("10min", ""),), healthy_first=length("15min", "")),
        failures=True,
        goals=(
            Goal(name="warned 10 min before, as configured", figure=_live("recall"), least=0.8),
            Goal(name="too early, as configured", figure=_live("too_early"), most=0.15),
        ),
    ),
    "skab": Set(
        folder="skab",
        profile=SHIPPED / "water_pump.yaml",
        rules=Rules(healthy_first=length("400", "", rows=True)),
        anomalies=True,
        goals=(
            Goal(name="F1", figure=_interval("f1"), least=0.82),
            Goal(name="FAR", figure=_interval("far"), most=0.15),
            Goal(name="F1 of the runs with a fault", figure=_labelled("f1")),
            Goal(name="FAR of the runs with a fault", figure=_labelled("far")),
            Goal(name="delay, s", figure=_interval("delay_median_s")),
        ),
    ),
    "nab": Set(
        folder="nab",
        profile=_HERE / "nab.yaml",
        rules=Rules(healthy_first=length("15%", ""), nab=True),
        anomalies=True,
        goals=(
            Goal(name="standard", figure=_nab("standard"), least=60),
            Goal(name="reward low FP", figure=_nab("low_fp"), least=50),
            Goal(name="reward low FN", figure=_nab("low_fn")),
        ),
    ),
    "cmapss_fd001": _engines("FD001", 10.5),
    "cmapss_fd003": _engines("FD003", 10.0),
}


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


def judge(one: Set, data: Path) -> tuple[Outcome, Profile, float]:
    """The outcome of one set, its profile, and the seconds it took from file to figures."""
    began = time.perf_counter()
    profile = load(one.profile)
    folder = data / one.folder
    history = recorded.telemetry(folder / "telemetry.csv.gz", profile)
    if one.devices:
        history = history.of([name for name in history.devices if name.startswith(one.devices)])
    labels = labels_of(
        profile,
        history,
        failures=folder / "failures.csv" if one.failures else None,
        anomalies=folder / "anomalies.csv" if one.anomalies else None,
        remaining_life=folder / "remaining_life.csv" if one.life else None,
    )
    return run(profile, history, labels, one.rules), profile, time.perf_counter() - began


@click.command()
@click.argument("data", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--set", "names", multiple=True, type=click.Choice(list(SETS)), help="Only this set; may be repeated.")
@click.option("--tables", is_flag=True, help="Print each set's judged tables too.")
@click.option("--json", "json_out", type=click.Path(path_type=Path, dir_okay=False), help="Write the figures here.")
def main(data: Path, *, names: tuple[str, ...], tables: bool, json_out: Path | None) -> None:
    """Judge the recorded sets in DATA and print the figures beside the goals."""
    console = Console()
    table = Table(title="recorded sets", title_justify="left")
    for column in ("set", "figure", "", "goal", "met", "hand-set values", "seconds"):
        table.add_column(column, justify="left" if column in {"set", "figure"} else "right")
    written: dict[str, Any] = {}
    for name in names or SETS:
        outcome, profile, seconds = judge(SETS[name], data)
        if tables:
            show(outcome, console)
        values = hand_set(profile)
        figures = {}
        for at, goal in enumerate(SETS[name].goals):
            value = goal.figure(outcome)
            met = goal.met(value)
            figures[goal.name] = {"value": value, "least": goal.least, "most": goal.most, "met": met}
            first = [name, str(values), f"{seconds:.1f}"] if at == 0 else ["", "", ""]
            shown = "–" if value is None else f"{value:.3f}"
            said = "" if met is None else "yes" if met else "no"
            table.add_row(first[0], goal.name, shown, goal.asked(), said, *first[1:])
        written[name] = {"figures": figures, "hand_set_values": values, "seconds": round(seconds, 1)}
        written[name]["budgets"] = [asdict(row) for row in outcome.budgets]
        console.print(f"{name}: {seconds:.1f} s", highlight=False)
    console.print(table)
    if json_out:
        json_out.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
