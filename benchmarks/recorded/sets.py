"""The recorded sets, by which rules each is judged, and what figures are asked for.

What differs between the sets stands in their profiles; here are only the rules of judging, as they were published with them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from anomaly.backtest import Outcome
from anomaly.judgement.failures import BUDGETS, Row
from anomaly.judgement.rules import Rules, duration, length
from benchmarks.recorded.conditions import six
from core.profile import SHIPPED
from telemetry.recorded import Recording

_HERE = Path(__file__).parent


Outcomes = Sequence[Outcome]
"""What a set gave: one outcome, or several where each part of the devices was judged by what was learnt from the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """One figure that is asked for: how it is read from the outcomes, and what it should be."""

    name: str
    figure: Callable[[Outcomes], float | None]
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
    """A recorded set: folder, profile, rules, what it is judged against. devices: only those whose names begin so.

    learn: `others`, each part of the devices by models of the others; or a part of the names of those to learn from.
    windows: more telemetry that is only learnt from. eventful: there is no telemetry but events alone. over: what is made of the
    recording before it is judged. detectors: a section that is added to the profile.
    """

    folder: str
    profile: Path
    rules: Rules
    goals: tuple[Goal, ...]
    failures: bool = False
    anomalies: bool = False
    life: bool = False
    events: bool = False
    attributes: str = ""
    devices: str = ""
    learn: str = ""
    windows: str = ""
    eventful: bool = False
    over: Callable[[Recording], Recording] | None = None
    detectors: str = ""


def _pooled(rows: Sequence[Row], months: Sequence[float], field: str) -> float | None:
    """One figure of several groups of devices."""
    failures = sum(row.failures for row in rows)
    foreseen = sum(row.foreseen for row in rows)
    false = sum(row.false for row in rows)
    if field == "recall":
        return foreseen / failures if failures else None
    if field == "false_per_device_month":
        return false / sum(months) if sum(months) else None
    if len(rows) == 1:
        found: float | None = getattr(rows[0], field)
        return found
    if field == "precision":
        # A foreseen failure has one alarm, but for a few.
        return foreseen / (foreseen + false) if foreseen + false else None
    # How many healthy devices were flagged is a share of devices, all else that is left one of failures.
    weights = months if field == "healthy_flagged" else [row.failures for row in rows]
    told = [(getattr(row, field), n) for row, n in zip(rows, weights, strict=True) if getattr(row, field) is not None]
    weight = sum(n for _, n in told)
    return sum(value * n for value, n in told) / weight if weight else None


def _row(
    rows_of: Callable[[Outcome], Sequence[Row]], budget: float | None, field: str
) -> Callable[[Outcomes], float | None]:
    def figure(outcomes: Outcomes) -> float | None:
        rows = [next((row for row in rows_of(o) if row.budget == budget), None) for o in outcomes]
        known = [row for row in rows if row is not None]
        return _pooled(known, [o.months for o in outcomes], field) if len(known) == len(rows) else None

    return figure


def _budget(budget: float, field: str = "recall") -> Callable[[Outcomes], float | None]:
    return _row(lambda o: o.budgets, budget, field)


def _live(field: str) -> Callable[[Outcomes], float | None]:
    return _row(lambda o: o.live, None, field)


def _flagged(share: float, field: str) -> Callable[[Outcomes], float | None]:
    return _row(lambda o: o.flagged, share, field)


def _of(part: str, field: str) -> Callable[[Outcomes], float | None]:
    """A figure of a part of the one outcome."""

    def figure(outcomes: Outcomes) -> float | None:
        (outcome,) = outcomes
        found = getattr(outcome, part)
        return None if found is None else found[field] if isinstance(found, dict) else getattr(found, field)

    return figure


def _engines(devices: str, rmse: float) -> Set:
    return Set(
        folder="cmapss",
        profile=_HERE / "cmapss.yaml",
        rules=Rules(horizon=length("125h", ""), leads=(duration("10h", ""),), life_cap=125.0),
        failures=True,
        life=True,
        devices=devices,
        learn="-train-",
        goals=(
            Goal(name="RMSE", figure=_of("life", "rmse"), most=rmse),
            Goal(name="inside P10..P90", figure=_of("life", "inside_p10_p90"), least=0.75, most=0.85),
            Goal(name="RMSE by age alone", figure=_of("life_by_age", "rmse")),
        ),
    )


_AZURE = Set(
    folder="azure_pdm",
    profile=_HERE / "azure_pdm.yaml",
    rules=Rules(budgets=tuple(sorted({*BUDGETS, 0.08}))),
    failures=True,
    goals=(),
)

_DRIVES = Rules(horizon=length("30d", ""), leads=(duration("1d", ""),), flagged=(0.02, 0.03, 0.04))

_NO_LABELS = replace(
    _engines("FD001-train-", 0.0),
    learn="",
    life=False,
    detectors="detectors: {baseline: {warm_up: 40h, smooth: 12h}}",
    goals=(
        Goal(name="warned, at a budget of 0.25", figure=_budget(0.25)),
        Goal(name="false a device-month", figure=_budget(0.25, "false_per_device_month")),
    ),
)

SETS: Mapping[str, Set] = {
    "azure_pdm": replace(
        _AZURE,
        goals=(
            Goal(name="recall at a budget of 0.5", figure=_budget(0.5), least=0.5),
            Goal(name="recall at a budget of 1", figure=_budget(1.0)),
            Goal(name="recall as configured", figure=_live("recall")),
            Goal(name="false a device-month as configured", figure=_live("false_per_device_month")),
            Goal(name="component right as configured", figure=_live("component_right")),
        ),
    ),
    "azure_pdm_models": replace(
        _AZURE,
        events=True,
        attributes="devices.csv",
        learn="others",
        windows="telemetry_windows.csv.gz",
        goals=(
            Goal(name="recall at a budget of 0.1", figure=_budget(0.1), least=0.98),
            Goal(name="precision", figure=_budget(0.1, "precision"), least=0.95),
            Goal(name="component right", figure=_budget(0.1, "component_right"), least=0.99),
            Goal(name="false a device-month", figure=_budget(0.1, "false_per_device_month")),
            Goal(name="recall at a budget of 0.25", figure=_budget(0.25)),
        ),
    ),
    "azure_pdm_events": replace(
        _AZURE,
        events=True,
        attributes="devices.csv",
        learn="others",
        eventful=True,
        goals=(
            Goal(name="recall at a budget of 0.08", figure=_budget(0.08), least=0.95),
            Goal(name="false a device-month", figure=_budget(0.08, "false_per_device_month"), most=0.08),
            Goal(name="precision", figure=_budget(0.08, "precision")),
            Goal(name="component right", figure=_budget(0.08, "component_right")),
            Goal(name="recall at a budget of 0.05", figure=_budget(0.05)),
            Goal(name="false a device-month at a budget of 0.05", figure=_budget(0.05, "false_per_device_month")),
        ),
    ),
    "backblaze": Set(
        folder="backblaze",
        profile=_HERE / "backblaze.yaml",
        rules=_DRIVES,
        failures=True,
        attributes="devices.csv.gz",
        learn="others",
        goals=(
            Goal(name="recall at 2 % of healthy drives", figure=_flagged(0.02, "recall"), least=0.6),
            Goal(name="healthy drives flagged", figure=_flagged(0.02, "healthy_flagged")),
            Goal(name="recall at 3 %", figure=_flagged(0.03, "recall")),
            Goal(name="recall at 4 %", figure=_flagged(0.04, "recall")),
        ),
    ),
    "backblaze_no_labels": Set(
        folder="backblaze",
        profile=_HERE / "backblaze.yaml",
        rules=_DRIVES,
        failures=True,
        goals=(
            Goal(name="recall at 2 % of healthy drives", figure=_flagged(0.02, "recall")),
            Goal(name="recall at 4 %", figure=_flagged(0.04, "recall")),
            Goal(name="recall as configured", figure=_live("recall")),
            Goal(name="false a device-month as configured", figure=_live("false_per_device_month")),
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
            Goal(name="F1", figure=_of("intervals", "f1"), least=0.82),
            Goal(name="FAR", figure=_of("intervals", "far"), most=0.15),
            Goal(name="F1 of the runs with a fault", figure=_of("intervals_labelled", "f1")),
            Goal(name="FAR of the runs with a fault", figure=_of("intervals_labelled", "far")),
            Goal(name="delay, s", figure=_of("intervals", "delay_median_s")),
        ),
    ),
    "nab": Set(
        folder="nab",
        profile=_HERE / "nab.yaml",
        rules=Rules(healthy_first=length("15%", ""), nab=True),
        anomalies=True,
        goals=(
            Goal(name="standard", figure=_of("nab", "standard"), least=60),
            Goal(name="reward low FP", figure=_of("nab", "low_fp"), least=50),
            Goal(name="reward low FN", figure=_of("nab", "low_fn")),
        ),
    ),
    "cmapss_fd001": _engines("FD001", 10.5),
    "cmapss_fd003": _engines("FD003", 10.0),
    "cmapss_six_conditions": replace(
        _engines("FD001", 10.5),
        over=six,
        goals=(
            Goal(name="RMSE, in six conditions", figure=_of("life", "rmse")),
            Goal(name="inside P10..P90", figure=_of("life", "inside_p10_p90")),
        ),
    ),
    "cmapss_no_labels": _NO_LABELS,
    "cmapss_no_labels_six_conditions": replace(_NO_LABELS, over=six),
}
