"""The backtest's report: one HTML file that needs no network and no script."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from anomaly.backtest import Outcome
from anomaly.finding import Change, FindingChange, moment
from anomaly.judgement.failures import Row, Verdict
from anomaly.judgement.rules import span
from cli import backtest_plots as plots
from cli.backtest_plots import Line, Mark
from core.profile import Profile
from telemetry.window import Bools, Ints

_MOST_DEVICES = 300
_HOUR = 3_600_000_000
_KINDS = {
    Verdict.HIT: ("hit", "hit"),
    Verdict.FALSE: ("false", "false alarm"),
    Verdict.WRONG_COMPONENT: ("false", "false: another component failed"),
    Verdict.LATE: ("late", "too late to count"),
}
_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Item:
    """A line of a device's list: kind is a CSS class, what in words, why where an alarm said it."""

    kind: str
    time: str
    what: str
    component: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Device:
    name: str
    picture: Markup
    since: str
    until: str
    summary: str
    items: Sequence[_Item]
    missed: int
    false: int
    foreseen: int


def report(outcome: Outcome, profile: Profile) -> str:
    """The report as HTML."""
    devices = _devices(outcome, profile)
    # What went wrong is what one wants to see first.
    devices.sort(key=lambda d: (-d.missed, -d.false, -d.foreseen, d.name))
    told = [d for d in devices if d.items]
    lead = outcome.rules.leads[0]
    beside = {name: _of_lead(rows, lead) for name, rows in outcome.baselines.items()}
    return _TEMPLATES.get_template("backtest.html").render(
        outcome=outcome,
        title=str(profile.title),
        judged_time=_judged_time(outcome.months),
        horizon=str(outcome.rules.horizon),
        visited=outcome.labels.began is not None,
        lead=span(lead),
        cooldown=span(outcome.rules.cooldown),
        begin=f"{moment(int(outcome.first.min())):%Y-%m-%d}",
        end=f"{moment(int(outcome.last.max())):%Y-%m-%d}",
        budget_curve=_budget_curve(outcome, beside, lead) if outcome.budgets else None,
        leads_plot=_leads(outcome),
        interval_plot=_interval_plot(outcome),
        beside=beside,
        devices=told[:_MOST_DEVICES],
        left_out=max(len(told) - _MOST_DEVICES, 0),
        quiet=len(devices) - len(told),
    )


def _judged_time(months: float) -> str:
    return f"{months:.1f} device-months" if months >= 0.1 else f"{months * 720:.1f} device-hours"


def _of_lead(rows: Sequence[Row], lead: int) -> list[Row]:
    return [row for row in rows if row.lead_hours == lead / _HOUR]


def _budget_curve(outcome: Outcome, beside: dict[str, list[Row]], lead: int) -> Markup:
    rows = _of_lead(outcome.budgets, lead)

    def points(found: Sequence[Row]) -> list[tuple[float, float]]:
        return [(r.budget, r.recall) for r in found if r.budget is not None and r.recall is not None]

    bounds = [
        (r.budget, r.recall_low, r.recall_high)
        for r in rows
        if r.budget is not None and r.recall_low is not None and r.recall_high is not None
    ]
    lines = [
        Line(name="random", kind="random", points=points(beside["random"])),
        Line(name="simple rule", kind="simple", points=points(beside["simple_rule"])),
        Line(name="this profile", kind="ours", points=points(rows), bounds=bounds),
    ]
    ticks = [r.budget for r in rows if r.budget is not None]
    return plots.curve(lines, ticks=ticks, x_title="false alarms a device-month", y_title="failures foreseen")


def _leads(outcome: Outcome) -> Markup | None:
    if outcome.failures is None or outcome.known is None:
        return None
    judged = outcome.known & outcome.judged.holds(outcome.failures.device, outcome.failures.time)
    found = outcome.leads[judged & (outcome.leads >= 0)] / _HOUR
    if not len(found):
        return None
    most = float(outcome.failures.horizon.max()) / _HOUR
    if most > 96:
        return plots.histogram((found / 24).tolist(), most=most / 24, x_title="days before the failure")
    return plots.histogram(found.tolist(), most=most, x_title="hours before the failure")


def _interval_plot(outcome: Outcome) -> Markup | None:
    if outcome.intervals is None or outcome.intervals.f1 is None:
        return None
    points = [
        (found.far, found.f1, f"threshold x {factor:.2f}: F1 {found.f1:.2f} at FAR {found.far:.1%}")
        for factor, found in outcome.interval_curve
        if found.far is not None and found.f1 is not None
    ]
    chosen = (outcome.intervals.far or 0.0, outcome.intervals.f1)
    return plots.scatter(points, chosen, "normal ticks under alarm (FAR)", "F1")


def _devices(outcome: Outcome, profile: Profile) -> list[_Device]:
    """All judged devices, each with what happened to it and what was said."""
    told = _findings(outcome.findings)
    return [_device(outcome, profile, at, told) for at in np.nonzero(outcome.judged.devices)[0].tolist()]


def _findings(changes: Sequence[FindingChange]) -> dict[tuple[int, str, int], str]:
    """Why, by device, component and time of opening."""
    return {
        (c.device, c.component, round(c.at.timestamp() * 1e6)): c.because for c in changes if c.change is Change.OPENED
    }


def _device(outcome: Outcome, profile: Profile, device: int, told: dict[tuple[int, str, int], str]) -> _Device:
    spans: list[Mark] = []
    moments: list[Mark] = []
    items: list[tuple[int, _Item]] = []
    counts = {"hit": 0, "false": 0, "late": 0, "missed": 0, "foreseen": 0}
    labels = outcome.labels.anomalies
    if labels is not None:
        for start, end in _pairs(labels.starts, labels.ends, labels.device == device):
            spans.append(Mark(kind="label", start=start, end=end, title=f"labelled {_time(start)} to {_time(end)}"))
            items.append((start, _item("label", start, f"labelled, to {_time(end)}", "", "")))
    alarms = outcome.alarms
    for at in np.nonzero(alarms.device == device)[0].tolist():
        start, end, component = int(alarms.start[at]), int(alarms.end[at]), outcome.components[alarms.component[at]]
        if outcome.failures is None:
            kind, words = _beside_labels(outcome, device, start, end)
        else:
            kind, words = _KINDS[Verdict(int(outcome.verdicts[at]))]
        if start < outcome.judged.since[device]:
            kind, words = "late", "before the judged time"
        counts[kind] = counts.get(kind, 0) + 1
        title = str(profile.components[component].title)
        spans.append(Mark(kind=kind, start=start, end=end, title=f"{words}: {title}, {_time(start)}"))
        items.append((start, _item(kind, start, words, title, told.get((device, component, start), ""))))
    failures = outcome.failures
    if failures is not None and outcome.known is not None:
        judged = outcome.known & outcome.judged.holds(failures.device, failures.time)
        for at in np.nonzero(failures.device == device)[0].tolist():
            time, title = (
                int(failures.time[at]),
                str(profile.components[outcome.components[failures.component[at]]].title),
            )
            lead = int(outcome.leads[at])
            if not judged[at]:
                kind, words = "other", "failure that could not be judged"
            elif lead >= 0:
                kind, words = "foreseen", f"failure, foreseen {lead / _HOUR:.0f} h before"
            else:
                kind, words = "missed", "failure, missed"
            counts[kind] = counts.get(kind, 0) + 1
            moments.append(Mark(kind=kind, start=time, end=time, title=f"{words}: {title}, {_time(time)}"))
            items.append((time, _item(kind, time, words, title, "")))
    first, last = int(outcome.first[device]), int(outcome.last[device])
    last = max([last, *(mark.start for mark in moments)])
    return _Device(
        name=outcome.devices[device],
        picture=plots.timeline(first, last, spans, moments),
        since=_time(first),
        until=_time(last),
        summary=_summary(counts, outcome),
        items=[item for _, item in sorted(items, key=lambda pair: pair[0])],
        missed=counts["missed"],
        false=counts["false"],
        foreseen=counts["foreseen"],
    )


def _beside_labels(outcome: Outcome, device: int, start: int, end: int) -> tuple[str, str]:
    labels = outcome.labels.anomalies
    if labels is None:
        return "alarm", "alarm"
    near = (labels.device == device) & (labels.starts < end) & (labels.ends >= start)
    return ("hit", "alarm in a labelled interval") if near.any() else ("false", "false alarm")


def _summary(counts: dict[str, int], outcome: Outcome) -> str:
    if outcome.failures is None:
        alarms = counts["hit"] + counts["false"] + counts["late"] + counts.get("alarm", 0)
        return f"{alarms} {'alarm' if alarms == 1 else 'alarms'}"
    named = {"foreseen": "foreseen", "missed": "missed", "false": "false"}
    return ", ".join(f"{counts[key]} {word}" for key, word in named.items() if counts[key]) or "nothing to judge"


def _item(kind: str, time: int, what: str, component: str, why: str) -> _Item:
    return _Item(kind=kind, time=_time(time), what=what, component=component, why=why)


def _pairs(starts: Ints, ends: Ints, where: Bools) -> list[tuple[int, int]]:
    return list(zip(starts[where].tolist(), ends[where].tolist(), strict=True))


def _time(time: int) -> str:
    return f"{moment(time):%Y-%m-%d %H:%M}"
