"""`forewarn train`: learns a model of a profile from its history, and lays it beside what judges now, as a shadow."""

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
import joblib
import numpy as np
from rich.console import Console
from rich.table import Table

from anomaly import backtest as engine
from anomaly import registry
from anomaly.backtest import History, Labels, Outcome
from anomaly.finding import moment
from anomaly.judgement.alarms import FACTORS, MONTH
from anomaly.judgement.failures import BUDGETS, Row
from anomaly.judgement.rules import Length, Rules, duration
from anomaly.learning.features import Features, Vocabulary
from anomaly.learning.model import Model, hash_of
from cli.history import Files, bars, opened, profile_of
from core import log
from core.clock import utc_now
from core.database import Database
from core.errors import InvalidInput
from core.profile import Profile, Profiles
from core.settings import Settings
from proactive.learning import Learning, due
from proactive.store import TicketStore
from telemetry.history import device_time

_log = log.get(__name__)

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command()
@click.option("--profile", "profile_name", help="Name of a profile, or a profile's file.")
@click.option("--when-due", is_flag=True, help="From the database, all profiles for which enough new was confirmed.")
@click.option("--from-database", is_flag=True, help="Learn from what is stored, and from tickets solved as confirmed.")
@click.option("--since", help="With --from-database: from this date on. [default: all that is stored]")
@click.option("--telemetry", multiple=True, type=_FILE, help="CSV or Parquet: device, time, a column for each signal.")
@click.option("--events", type=_FILE, help="Device events: device, time, code.")
@click.option("--maintenance", type=_FILE, help="Replaced components: device, time, component.")
@click.option("--devices", type=_FILE, help="Attributes of devices: device, a column for each.")
@click.option("--failures", type=_FILE, help="Failures: device, time, component.")
@click.option("--lead", help="How long before a failure it must be told. [default: a quarter of the profile's horizon]")
@click.option("--jobs", default=-1, show_default="all cores", help="Fits at the same time.")
@click.option("--dask", metavar="ADDRESS", help="Fit on a Dask cluster, by the address of its scheduler.")
@click.option("--dry-run", is_flag=True, help="Show what would be stored, and store nothing.")
@click.pass_obj
def train(
    settings: Settings,
    *,
    profile_name: str | None,
    when_due: bool,
    from_database: bool,
    since: str | None,
    telemetry: tuple[Path, ...],
    events: Path | None,
    maintenance: Path | None,
    devices: Path | None,
    failures: Path | None,
    lead: str | None,
    jobs: int,
    dask: str | None,
    dry_run: bool,
) -> None:
    """Learn thresholds and models from history; what comes out only watches until a person promotes it."""
    if (profile_name is None) != when_due:
        raise InvalidInput("give either --profile NAME or --when-due")
    ahead = duration(lead, "--lead") if lead else None
    with _cluster(dask):
        if profile_name is not None:
            files = Files(
                telemetry=telemetry, events=events, maintenance=maintenance, devices=devices, failures=failures
            )
            profile = profile_of(settings, profile_name)
            _train(settings, profile, files, ahead, "trained", since, jobs, from_database=from_database, dry=dry_run)
            return
        for profile, why in _due(settings):
            _train(settings, profile, Files(), ahead, str(why), since, jobs, from_database=True, dry=dry_run)


def _due(settings: Settings) -> Iterator[tuple[Profile, Learning]]:
    """The profiles for which a model is to be learnt anew, and why."""
    url = settings.database_url.get_secret_value()
    with Database(url, name="forewarn-train") as database:
        tickets = TicketStore(database, utc_now)
        for profile in Profiles(settings.profile_dir).values():
            confirmed = Counter(component for _, component, _, _ in tickets.confirmed_faults(profile.name))
            with database.transaction() as connection:
                newest = next(iter(registry.entries(connection, profile.name)), None)
                months = device_time(connection, profile.name) / timedelta(microseconds=MONTH)
            same = newest is not None and newest.profile_hash == hash_of(profile)
            why = due(confirmed, months, profile.false_alarms, newest.card if newest else None, same_profile=same)
            _log.info("models", profile=profile.name, decision=why.name.lower(), because=str(why))
            if why.acts:
                yield profile, why


def _train(
    settings: Settings,
    profile: Profile,
    files: Files,
    lead: int | None,
    reason: str,
    since: str | None,
    jobs: int,
    *,
    from_database: bool,
    dry: bool,
) -> None:
    console = Console(stderr=True)
    ahead = lead if lead is not None else round(profile.horizon.total_seconds() * 1e6) // 4
    with ExitStack() as stack:
        history, labels = opened(stack, settings, profile, files, from_database=from_database, since=since)
        model = trained(profile, history, labels, ahead, console, jobs=jobs)
    show(model, Console())
    if dry:
        return
    url = settings.database_url.get_secret_value()
    with Database(url, name="forewarn-train") as database, database.transaction() as connection:
        entry = registry.add(connection, model, actor="forewarn train", reason=reason, now=utc_now())
    click.echo(
        f"{entry.profile} {entry.version} is stored and watches as a shadow: it opens no ticket."
        f" `forewarn model promote {entry.profile} {entry.version} --reason WHY` lets it judge."
    )


def trained(profile: Profile, history: History, labels: Labels, lead: int, console: Console, *, jobs: int) -> Model:
    """A model with its thresholds at the profile's budget of false alarms; its card holds what it would have said of devices that
    it did not know.
    """
    none = np.empty(0, dtype=np.int64)
    labels = labels if labels.failed is not None else replace(labels, failed=(none, none, none))
    budgets = tuple(sorted({profile.false_alarms, *BUDGETS}))
    horizon = Length(time=round(profile.horizon.total_seconds() * 1e6))
    rules = Rules(horizon=horizon, leads=(lead,), budgets=budgets)
    with bars(profile, history, console) as bar:
        outcome = engine.run(profile, history, labels, rules, bar("judging without labels"))
        factor = _factor(outcome, profile.false_alarms)
        learnt = engine.learn(profile, history, labels, rules, jobs=jobs, progress=bar("learning"))
        if learnt is None:
            model = _thresholds_alone(profile, history, factor)
        else:
            known = replace(
                learnt,
                model=replace(learnt.model, factor=factor),
                folds=tuple(replace(fold, factor=factor) for fold in learnt.folds),
            )
            outcome = engine.run(profile, history, labels, rules, bar("judging by others' models"), known)
            more = _factor(outcome, profile.false_alarms)
            model = replace(known.model.limited(more), factor=factor * more)
    return replace(model, card=_card(profile, history, outcome, model))


def _factor(outcome: Outcome, budget: float) -> float:
    """The threshold that healthy history crosses seldom enough; the highest there is where none does."""
    row = _at(outcome, budget)
    return row.factor if row is not None and row.factor is not None else FACTORS[-1]


def _at(outcome: Outcome, budget: float) -> Row | None:
    return next((row for row in outcome.budgets if row.budget == budget), None)


def _thresholds_alone(profile: Profile, history: History, factor: float) -> Model:
    codes, attributes = history.vocabulary()
    vocabulary = Vocabulary.of(codes, attributes)
    return Model(
        version="",
        profile=profile.name,
        profile_hash=hash_of(profile),
        horizon=profile.horizon / profile.tick,
        vocabulary=vocabulary,
        usual=np.full((3, len(Features(profile, vocabulary).names)), np.nan, dtype=np.float32),
        components={},
        card={},
        factor=factor,
    )


def _card(profile: Profile, history: History, outcome: Outcome, model: Model) -> dict[str, Any]:
    first, last = history.spans()
    row = _at(outcome, profile.false_alarms)
    failed = outcome.labels.failed
    return {
        "since": moment(int(first.min())).isoformat(),
        "until": moment(int(last.max())).isoformat(),
        "devices": len(history.devices),
        "device_months": outcome.months,
        "span_months": float((last - first).sum() / MONTH),
        "failures": 0 if failed is None else int((failed[0] >= 0).sum()),
        "budget": profile.false_alarms,
        "threshold_factor": model.factor,
        "findings": None if model.components else _costs(outcome, row),
        "components": dict(model.card),
        "features": list(Features(profile, model.vocabulary).names),
        "corrected": None
        if model.conditions is None
        else {"by": list(model.conditions.contexts), "signals": list(model.conditions.signals)},
        "figures": None
        if row is None or not row.failures
        else {
            name: getattr(row, name)
            for name in ("recall", "precision", "false_per_device_month", "lead_median_hours", "component_right")
        },
    }


def _costs(outcome: Outcome, row: Row | None) -> dict[str, float | None]:
    """What is found a device-month in healthy time, by the thresholds that were set and by those of the profile."""
    return {
        "by_thresholds": row.false_per_device_month if row else None,
        "as_configured": outcome.live[0].false_per_device_month,
    }


def show(model: Model, console: Console) -> None:
    """What was learnt, in words and figures."""
    card = model.card
    console.print(
        f"{model.profile}: {card['devices']} devices, {card['device_months']:.3g} device-months,"
        f" {card['failures']} failures; thresholds for {card['budget']:g} false alarms a device-month",
        soft_wrap=True,
    )
    if not model.components:
        console.print(
            "Too few failures are known for a model, or too little healthy time beside them: only the thresholds were learnt.",
            soft_wrap=True,
        )
        console.print(
            f"They are {model.factor:.2g} times those of the profile. By them {_rate(card['findings']['by_thresholds'])} would"
            f" have been found a device-month, as configured {_rate(card['findings']['as_configured'])}.",
            soft_wrap=True,
        )
        return
    table = Table("component", "failures", "remaining time")
    for name, own in model.components.items():
        table.add_row(name, str(card["components"][name]["failures"]), "yes" if own.remaining else "too few lives")
    console.print(table)
    show_corrected(card, console)


def show_corrected(card: Mapping[str, Any], console: Console) -> None:
    """Which signals a model sees as in usual conditions, if any; older cards do not say."""
    if corrected := card.get("corrected"):
        by, signals = ", ".join(corrected["by"]), ", ".join(corrected["signals"])
        console.print(f"Seen in usual conditions, by {by}: {signals}", soft_wrap=True)


def _rate(found: float | None) -> str:
    return "nothing known" if found is None else f"{found:.2g}"


def _cluster(address: str | None) -> contextlib.AbstractContextManager[object]:
    """Where joblib runs the fits."""
    if address is None:
        return contextlib.nullcontext()
    try:
        from distributed import Client  # noqa: PLC0415 — an extra, needed for a cluster alone
    except ImportError:
        raise InvalidInput("--dask needs the extra: pip install 'forewarn[dask]'") from None
    stack = ExitStack()
    try:
        stack.enter_context(Client(address, timeout="5s"))
    except (OSError, ValueError) as error:
        raise InvalidInput(f"--dask {address}: no scheduler answers there: {error}") from None
    stack.enter_context(joblib.parallel_config(backend="dask"))
    return stack
