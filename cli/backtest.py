"""`forewarn backtest`: what a profile would have said about recorded history, judged against what happened."""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table

from anomaly import backtest as engine
from anomaly.backtest import History, Labels, Outcome
from anomaly.judgement.failures import Row
from anomaly.judgement.rules import Length, Rules, duration, length
from cli.backtest_report import report
from cli.history import Files, bars, date, opened, profile_of
from core.errors import InvalidInput
from core.profile import Profile
from core.settings import Settings
from telemetry import recorded
from telemetry.history import micros

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_OUT = click.Path(path_type=Path, dir_okay=False, writable=True)


@click.command()
@click.option("--profile", "profile_name", required=True, help="Name of a profile, or a profile's file.")
@click.option("--telemetry", multiple=True, type=_FILE, help="CSV or Parquet: device, time, a column for each signal.")
@click.option("--from-database", is_flag=True, help="Judge the stored telemetry of the profile's devices instead.")
@click.option("--since", help="With --from-database: from this date on. [default: all that is stored]")
@click.option("--events", type=_FILE, help="Device events: device, time, code.")
@click.option("--maintenance", type=_FILE, help="Replaced components: device, time, component.")
@click.option("--failures", type=_FILE, help="Failures: device, time, component.")
@click.option("--anomalies", type=_FILE, help="Labelled intervals: device, start, end.")
@click.option("--remaining-life", type=_FILE, help="True remaining lives: device, time, remaining_cycles.")
@click.option("--remaining-cap", type=click.FloatRange(min=0), help="Remaining lives beyond so many ticks count as it.")
@click.option("--devices", type=_FILE, help="Attributes of devices: device, a column for each.")
@click.option("--train-until", help="Learn and set thresholds before this date, judge from it on.")
@click.option("--train-devices", multiple=True, help="Learn on these devices, judge the others: names, also by commas.")
@click.argument("more", nargs=-1, metavar="[NAME...]")
@click.option("--horizon", help="How long before a failure an alarm may start. [default: the profile's]")
@click.option("--lead", "leads", multiple=True, help="How long before a failure it must start. [default: 12h]")
@click.option("--flagged", help="Judge too with thresholds that flag so many devices that never fail, as 2%.")
@click.option("--cooldown", default="24h", show_default=True, help="Episodes nearer to each other are one.")
@click.option("--healthy-first", help="Known as healthy and not judged, for each device: 15min, 15% or 400 (rows).")
@click.option("--jobs", default=-1, show_default="all cores", help="Models that are learnt at the same time.")
@click.option("--nab", is_flag=True, help="Score --anomalies by the Numenta Anomaly Benchmark's rule too.")
@click.option("--json", "json_out", type=_OUT, help="Write all figures here.")
@click.option("--html", "html_out", type=_OUT, help="Write a report with plots here.")
@click.pass_obj
def backtest(
    settings: Settings,
    *,
    profile_name: str,
    telemetry: tuple[Path, ...],
    from_database: bool,
    since: str | None,
    events: Path | None,
    maintenance: Path | None,
    failures: Path | None,
    anomalies: Path | None,
    remaining_life: Path | None,
    remaining_cap: float | None,
    devices: Path | None,
    train_until: str | None,
    train_devices: tuple[str, ...],
    more: tuple[str, ...],
    horizon: str | None,
    jobs: int,
    leads: tuple[str, ...],
    flagged: str | None,
    cooldown: str,
    healthy_first: str | None,
    nab: bool,
    json_out: Path | None,
    html_out: Path | None,
) -> None:
    """Judge recorded history with the live code: would this profile have warned, how early, at what cost?"""
    if train_until and train_devices:
        raise InvalidInput("give either --train-until or --train-devices")
    if more and not train_devices:
        raise InvalidInput(f"{more[0]}: names of devices may only follow --train-devices")
    if nab and not anomalies:
        raise InvalidInput("--nab needs --anomalies")
    profile = profile_of(settings, profile_name)
    console = Console(stderr=True)
    if not from_database and not (failures or anomalies or remaining_life):
        raise InvalidInput("nothing to judge against: give --failures, --anomalies or --remaining-life")
    with ExitStack() as stack:
        files = Files(
            telemetry=telemetry,
            events=events,
            maintenance=maintenance,
            devices=devices,
            failures=failures,
            anomalies=anomalies,
            remaining_life=remaining_life,
        )
        history, labels = opened(stack, settings, profile, files, from_database=from_database, since=since)
        trained = recorded.positions(_names(train_devices, more), history.devices)
        rules = Rules(
            horizon=length(horizon, "--horizon")
            if horizon
            else Length(time=profile.horizon // timedelta(microseconds=1)),
            leads=tuple(duration(text, "--lead") for text in leads or ("12h",)),
            flagged=(_share(flagged, "--flagged"),) if flagged else (),
            cooldown=duration(cooldown, "--cooldown"),
            healthy_first=length(healthy_first, "--healthy-first", rows=True) if healthy_first else None,
            train_until=micros(date(train_until, "--train-until")) if train_until else None,
            train_devices=tuple(trained.tolist()),
            life_cap=remaining_cap,
            nab=nab,
        )
        outcome = judged(profile, history, labels, rules, console, jobs=jobs)
    show(outcome, Console())
    if json_out:
        json_out.write_text(json.dumps(as_json(outcome), indent=1, allow_nan=False) + "\n", encoding="utf-8")
    if html_out:
        html_out.write_text(report(outcome, profile), encoding="utf-8")


def judged(
    profile: Profile, history: History, labels: Labels, rules: Rules, console: Console, *, jobs: int = 1
) -> Outcome:
    """Runs the backtest under a progress bar of the history's time; where a part is to be learnt from, learns first."""
    if rules.horizon.time is not None:
        profile = profile.model_copy(update={"horizon": timedelta(microseconds=rules.horizon.time)})
    with bars(profile, history, console) as bar:
        learnt = None
        if rules.train_devices or rules.train_until is not None:
            learnt = engine.learn(profile, history, labels, rules, jobs=jobs, progress=bar("learning"))
        return engine.run(profile, history, labels, rules, bar("judging"), learnt)


def as_json(outcome: Outcome) -> dict[str, Any]:
    """All figures. Where nothing can be said a value is null."""
    return {
        "profile": outcome.profile,
        "devices": len(outcome.devices),
        "device_months": outcome.months,
        "healthy_reference_months": outcome.reference_months,
        "configured": [asdict(row) for row in outcome.live],
        "budgets": [asdict(row) for row in outcome.budgets],
        "intervals": asdict(outcome.intervals) if outcome.intervals else None,
        "intervals_labelled": asdict(outcome.intervals_labelled) if outcome.intervals_labelled else None,
        "remaining_life": asdict(outcome.life) if outcome.life else None,
        "healthy_flagged": [asdict(row) for row in outcome.flagged],
        "baselines": {name: [asdict(row) for row in rows] for name, rows in outcome.baselines.items()},
        "simple_rule": outcome.rule,
        "interval_baselines": {name: asdict(found) for name, found in outcome.interval_baselines.items()},
        "remaining_life_by_age": asdict(outcome.life_by_age) if outcome.life_by_age else None,
        "nab": outcome.nab,
    }


def show(outcome: Outcome, console: Console) -> None:
    """Prints the judged tables."""
    console.print(
        f"{outcome.profile}: {len(outcome.devices)} devices, {outcome.months:.3g} device-months judged,"
        f" thresholds from {outcome.reference_months:.3g} healthy ones",
        soft_wrap=True,
    )
    if outcome.live:
        console.print(_rows("as configured, and by false-alarm budget", (*outcome.live, *outcome.budgets)))
        if outcome.flagged:
            console.print(_rows("with a budget of flagged devices that never fail", outcome.flagged))
        console.print(_beside(outcome))
    if outcome.intervals:
        table = _table("labelled intervals, tick by tick", "", "F1", "FAR", "MAR", "delay (median)", "detected")
        own = {"as configured": outcome.intervals}
        if outcome.intervals_labelled and outcome.intervals_labelled.ticks != outcome.intervals.ticks:
            own["only devices with labels"] = outcome.intervals_labelled
        for name, found in {**own, **outcome.interval_baselines}.items():
            delay = f"{found.delay_median_s:.0f} s" if found.delay_median_s is not None else "–"
            shares = [_percent(found.far), _percent(found.mar)]
            table.add_row(name.replace("_", " "), _number(found.f1), *shares, delay, _percent(found.detected))
        console.print(table)
    if outcome.nab:
        console.print("NAB: " + ", ".join(f"{name} {_number(value, 1)}" for name, value in outcome.nab.items()))
    for name, life in (("remaining life", outcome.life), ("beside it: by age alone", outcome.life_by_age)):
        if life:
            inside = _percent(life.inside_p10_p90)
            told = f"{life.predicted} of {life.devices} devices"
            console.print(f"{name}: RMSE {_number(life.rmse, 1)} ticks, {inside} inside P10..P90, {told}")
    if outcome.labels.life is not None and outcome.life is None:
        console.print("remaining life: no model of this profile predicts it")


def _rows(title: str, rows: Sequence[Row]) -> Table:
    table = _table(title, "budget", "lead", "recall", "95 %", "prec.", "false/mo", "median h", "p10 h", "comp.", "at")
    for row in rows:
        table.add_row(
            "as is" if row.budget is None else f"{row.budget:g}",
            f"{row.lead_hours:.3g} h",
            _number(row.recall),
            f"{_number(row.recall_low)}-{_number(row.recall_high)}",
            _number(row.precision),
            _number(row.false_per_device_month),
            _number(row.lead_median_hours, 1),
            _number(row.lead_p10_hours, 1),
            _number(row.component_right),
            _number(row.factor),
        )
    return table


def _beside(outcome: Outcome) -> Table:
    """What any detector must beat: recall, and the false alarms it took, at each budget."""
    names = list(outcome.baselines)
    table = _table("beside it: recall (false a device-month)", "budget", "lead", *(n.replace("_", " ") for n in names))
    for at, row in enumerate(outcome.budgets):
        found = [outcome.baselines[name][at] for name in names]
        cells = [f"{_number(x.recall)} ({_number(x.false_per_device_month)})" for x in found]
        table.add_row(f"{row.budget:g}", f"{row.lead_hours:.3g} h", *cells)
    table.caption = f"the simple rule is the one that did best, in hindsight: {outcome.rule}"
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _number(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _names(texts: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...]:
    """Device names, given one by one or joined by commas."""
    return tuple(name.strip() for text in (*texts, *more) for name in text.split(",") if name.strip())


def _share(text: str, option: str) -> float:
    share = length(text, option).share
    if share is None:
        raise InvalidInput(f"{option} {text}: write a share like 2%")
    return share
