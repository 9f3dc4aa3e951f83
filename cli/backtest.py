"""`forewarn backtest`: what a profile would have said about recorded history, judged against what happened."""

import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from anomaly import backtest as engine
from anomaly.backtest import History, Labels, Outcome
from anomaly.judgement.failures import Row
from anomaly.judgement.rules import Length, Rules, duration, length
from cli.backtest_report import report
from core.clock import utc_now
from core.database import Database
from core.errors import InvalidInput
from core.profile import Profile, Profiles, load
from core.settings import Settings
from proactive.store import TicketStore
from telemetry import recorded
from telemetry.history import micros
from telemetry.recorded import Recording
from telemetry.stored import StoredHistory
from telemetry.window import Ints

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
    if from_database and (telemetry or events or maintenance or devices):
        raise InvalidInput(
            "--from-database takes telemetry, events, maintenance and attributes from the database alone"
        )
    if not (telemetry or events or from_database):
        raise InvalidInput("give --telemetry FILE, --events FILE of devices that only send events, or --from-database")
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
        if from_database:
            url = settings.database_url.get_secret_value()
            database = stack.enter_context(Database(url, name="forewarn-backtest"))
            history: History = StoredHistory(database, profile, _date(since, "--since") if since else None)
            if not history.devices:
                raise InvalidInput(f"nothing is stored of devices of the profile {profile.name}")
        else:
            others = [file for file in (failures, remaining_life) if file]
            history = recorded_of(profile, telemetry, others, events=events, maintenance=maintenance, devices=devices)
        labels = labels_of(profile, history, failures=failures, anomalies=anomalies, remaining_life=remaining_life)
        if from_database and labels.failed is None:
            labels = replace(labels, failed=_confirmed(database, profile, history.devices))
        trained = recorded.positions(_names(train_devices, more), history.devices)
        rules = Rules(
            horizon=length(horizon, "--horizon")
            if horizon
            else Length(time=profile.horizon // timedelta(microseconds=1)),
            leads=tuple(duration(text, "--lead") for text in leads or ("12h",)),
            flagged=(_share(flagged, "--flagged"),) if flagged else (),
            cooldown=duration(cooldown, "--cooldown"),
            healthy_first=length(healthy_first, "--healthy-first", rows=True) if healthy_first else None,
            train_until=micros(_date(train_until, "--train-until")) if train_until else None,
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


def profile_of(settings: Settings, name: str) -> Profile:
    """A profile by its name, or from its file."""
    path = Path(name)
    return load(path) if path.suffix in {".yaml", ".yml"} else Profiles(settings.profile_dir)[name]


def recorded_of(
    profile: Profile,
    telemetry: Sequence[Path],
    others: Sequence[Path] = (),
    *,
    events: Path | None = None,
    maintenance: Path | None = None,
    devices: Path | None = None,
) -> Recording:
    """History from files. Without telemetry the devices are those that stand in `events` and in `others`."""
    if telemetry:
        history = recorded.combined([recorded.telemetry(file, profile) for file in telemetry])
    else:
        assert events is not None
        history = recorded.eventful(profile, [events, *others])
    if events:
        history = replace(history, events=recorded.happenings(events, history.devices, "code"))
    if maintenance:
        replaced = recorded.happenings(maintenance, history.devices, "component")
        recorded.components(maintenance, replaced, profile)
        history = replace(history, replaced=replaced)
    if devices:
        history = replace(history, attributes=recorded.attributes(devices, history.devices))
    return history


def labels_of(
    profile: Profile,
    history: History,
    *,
    failures: Path | None = None,
    anomalies: Path | None = None,
    remaining_life: Path | None = None,
) -> Labels:
    """What really happened, from files."""
    failed = None
    if failures:
        found = recorded.happenings(failures, history.devices, "component")
        failed = (found.device, recorded.components(failures, found, profile), found.times)
    return Labels(
        failed=failed,
        anomalies=recorded.intervals(anomalies, history.devices) if anomalies else None,
        life=recorded.remaining_life(remaining_life, history.devices, profile) if remaining_life else None,
    )


def judged(
    profile: Profile, history: History, labels: Labels, rules: Rules, console: Console, *, jobs: int = 1
) -> Outcome:
    """Runs the backtest under a progress bar of the history's time; where a part is to be learnt from, learns first."""
    if rules.horizon.time is not None:
        profile = profile.model_copy(update={"horizon": timedelta(microseconds=rules.horizon.time)})
    first, last = history.spans()
    total = int(last.max() - first.min()) if len(last) else 0
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[day]}"))
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as progress:

        def bar(what: str) -> Callable[[int], None]:
            task = progress.add_task(f"{what} {profile.name}", total=total, day="")

            def told(time: int) -> None:
                day = f"{datetime.fromtimestamp(time / 1e6, tz=UTC):%Y-%m-%d}"
                progress.update(task, completed=time - int(first.min()), day=day)

            return told

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


def _confirmed(database: Database, profile: Profile, devices: tuple[str, ...]) -> tuple[Ints, Ints, Ints]:
    """Failures as far as the database knows them: what a visit confirmed, at the time it was solved."""
    place = {name: at for at, name in enumerate(devices)}
    components = list(profile.components)
    rows = [
        (place[device], components.index(component), micros(at))
        for device, component, at in TicketStore(database, utc_now).confirmed_faults(profile.name)
        if device in place and component in components
    ]
    table = np.array(rows, dtype=np.int64).reshape(len(rows), 3)
    return table[:, 0], table[:, 1], table[:, 2]


def _names(texts: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...]:
    """Device names, given one by one or joined by commas."""
    return tuple(name.strip() for text in (*texts, *more) for name in text.split(",") if name.strip())


def _share(text: str, option: str) -> float:
    share = length(text, option).share
    if share is None:
        raise InvalidInput(f"{option} {text}: write a share like 2%")
    return share


def _date(text: str, option: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(f"{option} {text}: write a date like 2026-01-31, or with a time") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
