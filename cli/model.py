"""`forewarn model`: which models judge and watch, what became of their findings, and a person's decisions about them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import click
from rich import box
from rich.console import Console
from rich.table import Table

from anomaly import watch
from anomaly.drift import Drift
from anomaly.registry import Entry
from cli.engine import model_store
from cli.train import show_corrected
from core import units
from core.clock import utc_now
from core.database import Database
from core.profile import Profiles
from core.settings import Settings
from proactive.models import ModelStore, Standing
from proactive.record import Comparison, Record

_BY = click.option("--by", default=lambda: os.environ.get("USER", "command line"), help="Who decides. [default: you]")
_WHY = click.option("--reason", required=True, help="Why; it stays in the model's history.")


@click.group()
def model() -> None:
    """Models that were learnt: list, compare, promote and retire them."""


@model.command("list")
@click.option("--profile", help="Only those of this profile.")
@click.pass_obj
def list_models(settings: Settings, profile: str | None) -> None:
    """Print all models, newest first."""
    with _opened(settings) as models:
        found = models.entries(profile)
    if not found:
        click.echo("no model is stored; `forewarn train` learns one, until then detectors without labels judge")
        return
    table = _table("profile", "version", "stage", "since", "by", "failures", "recall", "precision", "false/month")
    for entry in found:
        figures = entry.card.get("figures") or {}
        table.add_row(
            entry.profile,
            entry.version,
            entry.stage,
            _moment(entry.staged_at),
            entry.staged_by,
            str(entry.card.get("failures", "")),
            *(_figure(figures.get(name)) for name in ("recall", "precision", "false_per_device_month")),
        )
    _console().print(table)


@model.command("show")
@click.argument("profile")
@click.argument("version")
@click.pass_obj
def show(settings: Settings, profile: str, version: str) -> None:
    """Print the card of PROFILE's model VERSION: what it was learnt from, its figures, its history."""
    with _opened(settings) as models:
        standing = models.standing(profile, version)
    console = _console()
    _show_card(console, standing.entry)
    if not standing.fits:
        console.print(
            "Learnt for another state of its profile, or by another release: it judges nothing. Train a new one."
        )
    if standing.record is not None:
        console.print(f"since it went live: {_told(standing.record)}")
    if standing.decision is not None:
        console.print(f"by the rules: {standing.decision}")
    _show_drift(console, standing)
    history = _table("when", "stage", "by", "in place of", "why")
    for change in standing.changes:
        history.add_row(_moment(change.at), change.stage, change.actor, change.instead_of or "", change.reason)
    console.print(history)
    if features := standing.entry.card.get("features"):
        console.print(f"its {len(features)} features: {', '.join(features)}")


@model.command("compare")
@click.argument("profile")
@click.pass_obj
def compare(settings: Settings, profile: str) -> None:
    """Print the shadow of PROFILE beside what is live, over the time that both judged."""
    with _opened(settings) as models:
        shadow, found = models.comparison(profile)
    console = _console()
    console.print(
        f"{profile}: shadow {shadow.version} beside what is live, {_moment(found.since)} to {_moment(found.until)}"
    )
    table = _table(
        "", "findings", "only it", "earlier", "confirmed", "no fault found", "precision", "false/month", "at most"
    )
    for name, record, alone, first in (
        ("live", found.live, found.only_live, found.live_first),
        ("shadow", found.shadow, found.only_shadow, found.shadow_first),
    ):
        table.add_row(
            name,
            *(str(n) for n in (record.findings, alone, first, record.confirmed, record.no_fault_found)),
            *(_figure(figure) for figure in (record.precision, record.false_alarms, record.unconfirmed)),
        )
    console.print(table)
    console.print(f"found by both: {found.both}{_ahead(found)}; {found.live.months:.3g} device-months")


@model.command("promote")
@click.argument("profile")
@click.argument("version")
@_WHY
@_BY
@click.pass_obj
def promote(settings: Settings, profile: str, version: str, reason: str, by: str) -> None:
    """Let PROFILE's model VERSION judge; what was live is retired."""
    with _opened(settings) as models:
        entry = models.promote(profile, version, actor=by, reason=reason)
    click.echo(f"{entry.profile} {entry.version} is live: `forewarn detect` judges by it from its next turn on")


@model.command("retire")
@click.argument("profile")
@click.argument("version")
@_WHY
@_BY
@click.pass_obj
def retire(settings: Settings, profile: str, version: str, reason: str, by: str) -> None:
    """Take PROFILE's model VERSION out of use; nothing takes its place."""
    with _opened(settings) as models:
        entry = models.retire(profile, version, actor=by, reason=reason)
    click.echo(f"{entry.profile} {entry.version} is retired")


@model.command("drift")
@click.pass_obj
def drift(settings: Settings) -> None:
    """Look now whether devices still send what the models in use were learnt from."""
    with Database(settings.database_url.get_secret_value(), size=1, name="forewarn-model") as database:
        looked = watch.look(database, Profiles(settings.profile_dir), utc_now(), older_than=timedelta(0))
    click.echo(f"looked for {looked} {'model' if looked == 1 else 'models'}; `forewarn model show` tells what was seen")


@contextmanager
def _opened(settings: Settings) -> Iterator[ModelStore]:
    with Database(settings.database_url.get_secret_value(), size=1, name="forewarn-model") as database:
        yield model_store(settings, database)


def _show_card(console: Console, entry: Entry) -> None:
    card = entry.card
    console.print(
        f"{entry.profile} {entry.version}: {entry.stage} since {_moment(entry.staged_at)} by {entry.staged_by}"
    )
    if "since" in card and "until" in card:
        console.print(f"learnt from {card['since']} to {card['until']}: {card.get('devices', '?')} devices,"
            f" {_figure(card.get('device_months'))} device-months, {card.get('failures', '?')} failures")  # fmt: skip
    for name, value in (card.get("figures") or {}).items():
        console.print(f"  {name.replace('_', ' ')}: {_figure(value)}")
    if (costs := card.get("findings")) is not None:
        console.print(f"  thresholds: {_figure(card['threshold_factor'])} times the profile's")
        for name, value in costs.items():
            console.print(f"  findings a device-month {name.replace('_', ' ')}: {_figure(value)}")
    for name, own in (card.get("components") or {}).items():
        console.print(f"  {name}: {own.get('failures', '?')} failures")
    show_corrected(card, console)


def _show_drift(console: Console, standing: Standing) -> None:
    if standing.drift is None:
        console.print("drift: not looked at yet; `forewarn model drift` does it now")
        return
    at, seen = standing.drift
    console.print(f"drift: {drift_line(seen)} ({_moment(at)})")
    if seen.enough:
        table = _table("signal", "usual", "index", "devices outside", "")
        for one in sorted(seen.signals, key=lambda s: -s.index):
            usual = f"{one.low:.4g} to {one.high:.4g} {units.shown(one.unit)}"
            table.add_row(one.signal, usual, f"{one.index:.2f}", f"{one.outside:.0%}", "shifted" if one.shifted else "")
        console.print(table)


def drift_line(seen: Drift) -> str:
    """What a look came to, in a sentence."""
    codes = f"; error codes it never met: {', '.join(seen.unknown_codes)}" if seen.unknown_codes else ""
    if not seen.enough:
        return f"too few devices sent something ({seen.devices}) to say anything{codes}"
    return f"{len(seen.shifted)} of {len(seen.signals)} signals no longer look as they did{codes}"


def _told(record: Record) -> str:
    return (
        f"{record.findings} tickets, {record.confirmed} confirmed, {record.no_fault_found} no fault found,"
        f" in {record.months:.3g} device-months"
    )


def _ahead(found: Comparison) -> str:
    if found.ahead is None:
        return ""
    hours = found.ahead / timedelta(hours=1)
    return f", the shadow {abs(hours):.3g} h {'earlier' if hours >= 0 else 'later'} (median)"


def _console() -> Console:
    # A pipe has no width: lines are then as long as they are.
    console = Console()
    return console if console.is_terminal else Console(width=200)


def _table(*columns: str) -> Table:
    return Table(*columns, box=box.SIMPLE_HEAD)


def _moment(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"


def _figure(value: object) -> str:
    if not isinstance(value, int | float):
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
