"""`forewarn simulate`: a fleet of devices with known faults, to files and over MQTT."""

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from core.clock import utc_now
from core.errors import Conflict, InvalidInput, Temporary
from core.settings import Settings
from simulator.catalogue import PRODUCTS
from simulator.feed import BATCH, Feed, Sent, publish_history, publish_live
from simulator.files import Numbers, OtherPlan, TelemetryFile, plan_in, write_errors
from simulator.fleet import Fleet
from simulator.plan import Plan, on_grid
from simulator.product import Event
from simulator.publisher import Broker, Publisher, PublishFailed


@click.command()
@click.option(
    "--product",
    type=click.Choice(list(PRODUCTS)),
    default="fridge",
    show_default=True,
    help="What the fleet consists of, named as its device profile.",
)
@click.option("--devices", default=50, show_default=True, type=click.IntRange(1), help="Size of the fleet.")
@click.option("--days", default=30.0, show_default=True, type=click.FloatRange(0.1), help="Length of the history.")
@click.option("--failing", default=8, show_default=True, type=click.IntRange(0), help="Devices with a growing fault.")
@click.option("--seed", default=7, show_default=True, type=click.IntRange(0), help="The same seed, the same fleet.")
@click.option("--end", type=click.DateTime(), help="End of the history, UTC. [default: now]")
@click.option(
    "--as-of",
    type=click.DateTime(["%Y-%m-%d"]),
    help="Take the history that ends with the beginning of this day, UTC, and move it to today: the same seed makes the same"
    " fleet on every day.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default="simulated",
    show_default=True,
    help="Folder for devices.csv, truth.csv, oddities.csv and, where parts are renewed, maintenance.csv. A plan that it holds already is continued.",
)
@click.option("--plan-only", is_flag=True, help="Write the files and stop, so that the devices can be registered.")
@click.option(
    "--csv",
    "csv_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the telemetry here, and error codes to OUT/errors.csv, not to MQTT.",
)
@click.option("--mqtt/--no-mqtt", default=True, show_default=True, help="Publish the history.")
@click.option("--live/--no-live", default=False, show_default=True, help="Go on publishing after the history.")
@click.option(
    "--live-days",
    default=0.0,
    type=click.FloatRange(0),
    help="So many of the last days are not sent in batches but played as live, at --speed.",
)
@click.option(
    "--speed", default=1.0, show_default=True, type=click.FloatRange(0, min_open=True), help="Of --live-days."
)
@click.option("--host", help="Host of the broker. [default: FOREWARN_MQTT_HOST]")
@click.option("--port", type=click.IntRange(1, 65535), help="Port of the broker. [default: FOREWARN_MQTT_PORT]")
@click.option("--user", help="User name at the broker; its password is FOREWARN_MQTT_PASSWORD.")
@click.option("--connections", default=1, show_default=True, type=click.IntRange(1, 64), help="MQTT connections.")
@click.pass_obj
def simulate(
    settings: Settings,
    *,
    product: str,
    devices: int,
    days: float,
    failing: int,
    seed: int,
    end: datetime | None,
    as_of: datetime | None,
    out: Path,
    plan_only: bool,
    csv_file: Path | None,
    mqtt: bool,
    live: bool,
    live_days: float,
    speed: float,
    host: str | None,
    port: int | None,
    user: str | None,
    connections: int,
) -> None:
    """Simulate a fleet of devices, some of which fail. The ground truth stands in OUT/truth.csv."""
    numbers = Numbers(
        product=product,
        seed=seed,
        devices=devices,
        days=days,
        failing=failing,
        as_of=as_of.date() if as_of else None,
    )
    now = utc_now()
    usual = now.replace(hour=0, minute=0, second=0, microsecond=0) if as_of else on_grid(now)
    try:
        plan = plan_in(out, numbers, end.replace(tzinfo=UTC) if end else None, usual)
    except OtherPlan as error:
        raise Conflict(str(error)) from None
    except ValueError as error:
        raise InvalidInput(str(error)) from None
    except OSError as error:
        raise InvalidInput(f"--out {out} cannot be written: {error}") from None
    click.echo(f"{devices} devices, {len(plan.faults)} with a fault, {len(plan.oddities)} oddities: see {out}/")
    if plan_only:
        return
    if csv_file:
        try:
            _record(plan, csv_file, out)
        except OSError as error:
            raise InvalidInput(f"--csv {csv_file} cannot be written: {error}") from None
    elif mqtt:
        broker = broker_of(settings, host=host, port=port, user=user)
        with translated(), Publisher(broker, connections=connections) as publisher:
            # A plan of an earlier run is continued to the present, unless its end was asked for.
            until = plan.end if end else max(plan.end, on_grid(now))
            _publish(plan, publisher, until=until, live=live, live_days=live_days, speed=speed)


def broker_of(settings: Settings, *, host: str | None, port: int | None, user: str | None) -> Broker:
    """The broker of the settings, with what the command line overrides."""
    return Broker(
        host=host or settings.mqtt_host,
        port=port or settings.mqtt_port,
        username=settings.mqtt_username if user is None else user,
        password=settings.mqtt_password.get_secret_value(),
        version=settings.mqtt_version,
        tls=settings.mqtt_tls,
        ca_file=settings.mqtt_ca_file,
    )


@contextmanager
def translated() -> Iterator[None]:
    """Errors of the publisher become Forewarn's: a broker that is away may come back."""
    try:
        yield
    except PublishFailed as error:
        raise Temporary(str(error)) from error


@contextmanager
def until_interrupted() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set, so that a live fleet says goodbye; a second Ctrl-C ends it at once."""
    stop = threading.Event()
    kept = {which: signal.getsignal(which) for which in (signal.SIGINT, signal.SIGTERM)}

    def interrupted(which: int, _frame: object) -> None:
        stop.set()
        signal.signal(which, kept[signal.Signals(which)])

    for which in kept:
        signal.signal(which, interrupted)
    try:
        yield stop
    finally:
        for which, handler in kept.items():
            signal.signal(which, handler)


def _publish(plan: Plan, publisher: Publisher, *, until: datetime, live: bool, live_days: float, speed: float) -> None:
    run, feed, sent = Fleet(plan).run(), Feed(), Sent()
    until = max(plan.start, until - timedelta(days=live_days) if live else until)
    began = time.monotonic()
    with _progress("publishing history", plan.start, until) as progress:
        publish_history(run, until, publisher, feed=feed, sent=sent, progress=progress)
        publisher.flush()
    click.echo(
        f"history: {sent.messages} messages, {sent.readings} readings of {len(plan.devices)} devices"
        f" up to {run.now:%Y-%m-%d %H:%M} UTC in {time.monotonic() - began:.1f} s"
    )
    if live:
        with until_interrupted() as stop:
            click.echo("live: Ctrl-C ends it")
            publish_live(
                run, publisher, feed=feed, sent=sent, speed=speed, clock=utc_now, stop=stop, progress=lambda _: None
            )
        publisher.flush()
        click.echo(f"live: ended at {run.now:%Y-%m-%d %H:%M} UTC, {sent.messages} messages in all")


def _record(plan: Plan, file: Path, out: Path) -> None:
    rows, events = 0, list[Event]()
    with (
        TelemetryFile(file, PRODUCTS[plan.product].signals) as recording,
        _progress("writing telemetry", plan.start, plan.end) as progress,
    ):
        for chunk in Fleet(plan).history(chunk=BATCH):
            rows += recording.write(chunk)
            events += chunk.events
            progress(datetime.fromtimestamp(int(chunk.times[-1]) / 1000, tz=UTC))
    write_errors(out / "errors.csv", plan, events)
    click.echo(f"{file}: {rows} rows; error codes: {out / 'errors.csv'}")


@contextmanager
def _progress(title: str, start: datetime, end: datetime) -> Iterator[Callable[[datetime], None]]:
    """A bar on a terminal, about ten plain lines elsewhere."""
    total = max((end - start).total_seconds(), 1)
    bar = Progress(TextColumn(title), BarColumn(), TextColumn("{task.fields[day]}"), TimeRemainingColumn())
    terminal = sys.stdout.isatty()
    task = bar.add_task(title, total=total, day="")
    tenth = 0

    def advanced(now: datetime) -> None:
        nonlocal tenth
        done = (now - start).total_seconds()
        bar.update(task, completed=done, day=f"{now:%Y-%m-%d}")
        if not terminal and int(done / total * 10) > tenth:
            tenth = int(done / total * 10)
            click.echo(f"{title}: {tenth * 10} %, {now:%Y-%m-%d}")

    with bar if terminal else nullcontext():
        yield advanced
