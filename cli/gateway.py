"""Commands `gateway` and `dead-letters`."""

import gc
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from types import FrameType

import click
from prometheus_client import start_http_server

from cli.workers import work
from core.clock import utc_now
from core.database import Database
from core.errors import InvalidInput, InvalidSettings
from core.heartbeat import Heartbeat
from core.profile import Profiles
from core.settings import Settings
from device_gateway.decoder import Request
from device_gateway.formats import available, choose
from device_gateway.gateway import Gateway
from device_gateway.inbox import Inbox
from device_gateway.intake import Pace
from device_gateway.metrics import Metrics
from device_gateway.mqtt import Subscriber
from device_gateway.readings import Message
from device_gateway.wire import Link
from device_gateway.workers import Workers
from telemetry.accepting import accepting
from telemetry.accepting import replay as replay_letters
from telemetry.store import DeadLetterStore, Rows, TelemetryWriter, Which

Acknowledge = Callable[[Sequence[Message]], None]
Publish = Callable[[Sequence[Request]], None]


def _database(settings: Settings) -> Database:
    return Database(settings.database_url.get_secret_value(), size=settings.database_pool, name="forewarn-gateway")


@click.command()
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes that store.")
@click.option(
    "--retire", is_flag=True, help="Store what the broker still holds for this client id, end its session, exit."
)
@click.option("--worker", is_flag=True, hidden=True, help="Be one of the processes that `--workers` starts.")
@click.pass_obj
def gateway(settings: Settings, *, workers: int, retire: bool, worker: bool) -> None:
    """Store what devices publish. Runs until SIGTERM or Ctrl-C; several may run, see docs/gateway.md."""
    if settings.mqtt_share and settings.mqtt_version != "5":
        raise InvalidSettings(
            "FOREWARN_MQTT_SHARE: shared subscriptions came with MQTT 5; set FOREWARN_MQTT_VERSION=5 if the broker"
            " speaks it, or run one gateway, with --workers for more processes"
        )
    _check_formats(settings, workers)
    # Each batch makes tens of thousands of objects and no cycles among them: looking for some took a tenth of the time.
    gc.freeze()
    gc.set_threshold(200_000, 20, 50)
    # Part of what may be under way for each process, so that the broker sends on while batches are stored.
    pace = Pace(most=max(1, settings.mqtt_receive_maximum // (workers + 1)))
    with _database(settings) as database:
        if worker:
            work(lambda *parts: _storing(settings, database, replace(pace, linger=0.0), *parts))
            return
        _receive(settings, database, pace, workers=workers, retire=retire)


def _check_formats(settings: Settings, workers: int) -> None:
    if choose(settings.formats, available()).stateful and (workers > 1 or settings.mqtt_share):
        raise InvalidSettings(
            "FOREWARN_FORMATS: sparkplug_b cannot be shared among processes: an alias means nothing to one that did not see"
            " the birth. Run a gateway of its own for it, with one worker and without FOREWARN_MQTT_SHARE"
        )


def _storing(
    settings: Settings,
    database: Database,
    pace: Pace,
    inbox: Inbox,
    metrics: Metrics,
    acknowledge: Acknowledge,
    publish: Publish = lambda _: None,
) -> Gateway[Rows]:
    acceptance, registry = accepting(settings, database, Profiles(settings.profile_dir))
    return Gateway(
        inbox=inbox,
        acceptance=acceptance,
        registry=registry,
        store=TelemetryWriter(database, utc_now),
        acknowledge=acknowledge,
        publish=publish,
        metrics=metrics,
        pace=pace,
    )


def _receive(settings: Settings, database: Database, pace: Pace, *, workers: int, retire: bool) -> None:
    formats = available()
    filters = choose(settings.formats, formats).filters
    everything = choose(",".join(formats), formats).filters
    link = Link(
        host=settings.mqtt_host,
        port=settings.mqtt_port,
        username=settings.mqtt_username,
        password=settings.mqtt_password.get_secret_value(),
        version=settings.mqtt_version,
        tls=settings.mqtt_tls,
        ca_file=settings.mqtt_ca_file,
        client_id=settings.mqtt_client_id,
        receive_maximum=settings.mqtt_receive_maximum,
        share=settings.mqtt_share,
        filters=filters,
        others=tuple(one for one in everything if one not in filters),
        retire=retire,
    )
    # Twice the messages that a broker may have under way: after a reconnect it sends the unacknowledged ones again.
    inbox = Inbox(most=2 * settings.mqtt_receive_maximum)
    metrics = Metrics(inbox)
    subscriber = Subscriber(link, inbox, metrics, max_payload=settings.max_payload)
    loop: Gateway[Rows] | Workers
    if workers == 1:
        loop = _storing(settings, database, pace, inbox, metrics, subscriber.acknowledge, subscriber.publish)
    else:
        loop = Workers(
            command=[sys.executable, "-m", "cli", "gateway", "--worker"],
            environment=os.environ,
            count=workers,
            inbox=inbox,
            acknowledge=subscriber.acknowledge,
            metrics=metrics,
            pace=pace,
        )

    def stop(_signal: int, _frame: FrameType | None) -> None:
        subscriber.pause()
        loop.stop()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    if settings.metrics_port:
        start_http_server(settings.metrics_port, registry=metrics.registry)
    with Heartbeat(database, part="gateway", instance=link.client_id, now=utc_now, detail=metrics.state):
        subscriber.start()
        try:
            loop.run()
        finally:
            subscriber.close()
    subscriber.check()


@click.group("dead-letters")
def dead_letters() -> None:
    """Dead letters: messages, or parts of them, that could not be used."""


@dead_letters.command("list")
@click.option("--reason", help="Only those of this reason.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1))
@click.pass_obj
def list_letters(settings: Settings, reason: str | None, limit: int) -> None:
    """Print the newest dead letters, and how many there are of each reason."""
    with _database(settings) as database:
        store = DeadLetterStore(database)
        for row in store.newest(reason=reason, limit=limit):
            received = row["received_at"].isoformat(timespec="seconds")
            click.echo(f"{row['id']}\t{received}\t{row['reason']}\t{row['topic']!r}\t{row['detail']}")
        for row in store.counts():
            click.echo(f"{row['letters']} {row['reason']}", err=True)


@dead_letters.command("show")
@click.argument("number", type=int)
@click.pass_obj
def show(settings: Settings, number: int) -> None:
    """Print the dead letter NUMBER with its payload."""
    with _database(settings) as database:
        letter = DeadLetterStore(database).get(number)
    kept = "" if letter.complete else f", of which the first {len(letter.payload)} were kept"
    click.echo(f"received: {letter.received_at.isoformat()}")
    click.echo(f"topic:    {letter.topic!r}")
    click.echo(f"reason:   {letter.reason}")
    click.echo(f"detail:   {letter.detail}")
    if letter.left_because:
        click.echo(f"left:     {letter.left_because}")
    click.echo(f"payload:  {letter.size} bytes{kept}")
    click.echo(letter.payload.decode("utf-8", "backslashreplace"))


@dead_letters.command("replay")
@click.argument("numbers", nargs=-1, type=int)
@click.option("--reason", help="All of this reason.")
@click.option("--all", "everything", is_flag=True, help="All there are.")
@click.pass_obj
def replay(settings: Settings, numbers: tuple[int, ...], reason: str | None, everything: bool) -> None:
    """Decode dead letters again, as when they were received; one that can be stored now is stored and taken away.

    Give their NUMBERS, or --reason, or --all.
    """
    if bool(numbers) + bool(reason) + everything != 1:
        raise InvalidInput("say which: numbers of dead letters, --reason or --all")
    with _database(settings) as database:
        store = DeadLetterStore(database)
        letters = [store.get(number) for number in numbers] if numbers else store.each(Which(reason=reason))
        done = replay_letters(settings, database, Profiles(settings.profile_dir), letters, clock=utc_now)
    click.echo(f"{done.stored} stored, {done.kept} are still dead letters")
    for why, many in done.why.items():
        click.echo(f"{many} {why.reason}: {why.detail}", err=True)


@dead_letters.command("purge")
@click.option("--older-than", default="0d", help="Age like 30d, 12h or 45min; all without it.")
@click.option("--reason", help="Only those of this reason.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def purge(settings: Settings, older_than: str, reason: str | None, yes: bool) -> None:
    """Delete dead letters for good."""
    before = utc_now() - _age(older_than)
    if not yes:
        click.confirm(f"Delete dead letters received before {before.isoformat(timespec='seconds')}?", abort=True)
    with _database(settings) as database:
        click.echo(f"{DeadLetterStore(database).purge(Which(before=before, reason=reason))} deleted")


def _age(text: str) -> timedelta:
    for unit, seconds in (("min", 60), ("s", 1), ("h", 3600), ("d", 86400)):
        number = text.removesuffix(unit)
        if number != text and number.strip().isdigit():
            return timedelta(seconds=int(number) * seconds)
    raise InvalidInput(f"--older-than: {text!r} is no age; write a number and s, min, h or d, like 30d")
