"""`forewarn replay`: publishes recorded telemetry as if its devices measured it, by a device profile."""

import json
import math
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from cli.simulate import broker_of, translated, until_interrupted
from core.clock import utc_now
from core.database import Database
from core.errors import Conflict, InvalidInput, NotFound, Temporary
from core.profile import Profile, Profiles, load
from core.settings import Settings
from simulator.publisher import Broker, Publisher
from simulator.recording import BadRecording, Layout, Recorded, Row
from telemetry.store import DeviceStore

_COLUMN = re.compile(r"^(?P<column>.+)=(?P<signal>[a-z][a-z0-9_]*)(?:\*(?P<factor>[^*]+))?$")
_BATCH_AT_MAX = 200


@dataclass(slots=True)
class Replayed:
    """What was published so far. Times are those that were sent, ms since the epoch."""

    messages: int = 0
    readings: int = 0
    devices: set[str] = field(default_factory=set)
    first: int | None = None
    last: int | None = None

    def __str__(self) -> str:
        text = f"{self.messages} messages, {self.readings} readings of {len(self.devices)} devices"
        if self.first is not None and self.last is not None:
            text += f", from {_iso(self.first)} to {_iso(self.last)}"
        return text


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--profile", "profile_name", required=True, help="Name of a profile, or a profile's file.")
@click.option("--device", "devices", multiple=True, help="Replay only this device of the file; may be repeated.")
@click.option("--as", "name", help="Publish under this name; the file or --device must be of one device.")
@click.option("--column", "columns", multiple=True, help="CSVCOL=SIGNAL[*FACTOR], before the profile's own columns.")
@click.option("--time-column", default="time", show_default=True, help="Column of the time.")
@click.option("--device-column", default="device", show_default=True, help="Column of the device's name.")
@click.option("--speed", default="max", show_default=True, help="How much faster than recorded: 1, 100, or max.")
@click.option("--shift-to-now", is_flag=True, help="Move all times so that the last reading is measured as it is sent.")
@click.option("--batch", type=click.IntRange(1), help="Rows a message. [default: 200 at --speed max, else 1]")
@click.option("--host", help="Host of the broker. [default: FOREWARN_MQTT_HOST]")
@click.option("--port", type=click.IntRange(1, 65535), help="Port of the broker. [default: FOREWARN_MQTT_PORT]")
@click.option("--user", help="User name at the broker; its password is FOREWARN_MQTT_PASSWORD.")
@click.option("--register/--no-register", default=True, show_default=True, help="Register devices not known yet.")
@click.pass_obj
def replay(
    settings: Settings,
    *,
    file: Path,
    profile_name: str,
    devices: tuple[str, ...],
    name: str | None,
    columns: tuple[str, ...],
    time_column: str,
    device_column: str,
    speed: str,
    shift_to_now: bool,
    batch: int | None,
    host: str | None,
    port: int | None,
    user: str | None,
    register: bool,
) -> None:
    """Publish the recorded telemetry in FILE (.csv or .csv.gz) over MQTT."""
    path = Path(profile_name)
    profile = load(path) if path.suffix in {".yaml", ".yml"} else Profiles(settings.profile_dir)[profile_name]
    factor = speed_of(speed)
    layout = layout_of(profile, columns, time_column=time_column, device_column=device_column, device=name or "")
    with ExitStack() as stack:
        stop = stack.enter_context(until_interrupted())
        announce = stack.enter_context(_registration(settings, profile)) if register else None
        done = replay_file(
            file,
            layout,
            broker_of(settings, host=host, port=port, user=user),
            devices=devices,
            name=name,
            speed=factor,
            shift_to_now=shift_to_now,
            batch=batch or (_BATCH_AT_MAX if math.isinf(factor) else 1),
            max_payload=settings.max_payload,
            stop=stop,
            tell=click.echo,
            register=announce,
        )
    click.echo(f"published {done}")


@contextmanager
def _registration(settings: Settings, profile: Profile) -> Iterator[Callable[[str], None]]:
    """A callable that registers a device with `profile` unless it is known already."""
    if profile.name not in Profiles(settings.profile_dir):
        raise InvalidInput(
            f"the gateway would not know profile {profile.name!r}: put its file into FOREWARN_PROFILE_DIR,"
            " or use --no-register"
        )
    url = settings.database_url.get_secret_value()
    with Database(url, size=1, name="forewarn-replay") as database:
        devices = DeviceStore(database)

        def register(name: str) -> None:
            try:
                known = devices.by_name(name)["profile"]
            except NotFound:
                devices.register(name=name, profile=profile.name)
                click.echo(f"device {name} is registered with profile {profile.name}")
                return
            if known != profile.name:
                raise Conflict(f"device {name} is registered with profile {known!r}; replay it with --as another name")

        yield register


def speed_of(text: str) -> float:
    """The factor of `--speed`; infinite for max."""
    try:
        speed = math.inf if text == "max" else float(text)
    except ValueError:
        speed = 0
    if not speed >= 1:
        raise InvalidInput(f"--speed {text}: write max, or a number from 1 on")
    return speed


def layout_of(
    profile: Profile, columns: tuple[str, ...], *, time_column: str, device_column: str, device: str
) -> Layout:
    """How a file of `profile` is read: signals by their names, the profile's columns, then `CSVCOL=SIGNAL[*FACTOR]`."""
    mapping = {signal: (signal, 1.0) for signal in profile.signals}
    mapping |= {column: (found.signal, found.factor) for column, found in profile.columns.items()}
    chosen: dict[str, tuple[str, float]] = {}
    for text in columns:
        match = _COLUMN.match(text)
        if not match:
            raise InvalidInput(f"--column {text}: write CSVCOL=SIGNAL or CSVCOL=SIGNAL*FACTOR")
        if match["signal"] not in profile.signals:
            known = ", ".join(profile.signals)
            raise InvalidInput(f"--column {text}: {profile.name} has no signal {match['signal']!r}; it has {known}")
        try:
            factor = float(match["factor"] or 1)
        except ValueError:
            factor = math.nan
        if not math.isfinite(factor) or factor == 0:
            raise InvalidInput(f"--column {text}: the factor {match['factor']!r} is not a number other than 0")
        chosen[match["column"]] = (match["signal"], factor)
    # A signal that is chosen here comes from no other column.
    taken = {signal for signal, _ in chosen.values()}
    mapping = {column: found for column, found in mapping.items() if found[0] not in taken} | chosen
    return Layout(
        columns=mapping, required=tuple(chosen), time_column=time_column, device_column=device_column, device=device
    )


def replay_file(
    file: Path,
    layout: Layout,
    broker: Broker,
    *,
    devices: tuple[str, ...] = (),
    name: str | None = None,
    speed: float = math.inf,
    shift_to_now: bool = False,
    batch: int = _BATCH_AT_MAX,
    max_payload: int = 1_048_576,
    stop: threading.Event | None = None,
    tell: Callable[[str], None] = lambda _: None,
    register: Callable[[str], None] | None = None,
) -> Replayed:
    """Publishes `file` and returns what was published; `register` is called once for each device, before its first
    message. Times of a file may go back (one device after the other): the pace then starts anew there.

    Raises InvalidInput with the place of what cannot be used, Temporary when the broker is away; both say how much had
    been published by then.
    """
    done = Replayed()
    try:
        recorded = Recorded(file, layout)
        if name and recorded.has_devices and len(devices) != 1:
            raise InvalidInput(f"--as {name}: {file} may hold several devices; choose one by --device")
        if recorded.skipped:
            tell(f"skipped columns, which are no signals: {', '.join(recorded.skipped)}")
        shift = _shift(recorded, devices, speed, utc_now()) if shift_to_now else 0
        with translated(), Publisher(broker) as publisher:
            outlet = _Outlet(publisher, done, batch=batch, max_payload=max_payload, register=register)
            try:
                for row in _paced(_chosen(recorded, devices), speed, stop or threading.Event()):
                    outlet.add(name or row.device, row.time + shift, row.values)
            except (BadRecording, InvalidInput):
                # What stands before a bad row is published, so that the count in the error is the truth.
                outlet.flush()
                publisher.flush()
                raise
            outlet.flush()
    except BadRecording as error:
        raise InvalidInput(f"{error} (published before it: {done})") from None
    except Temporary as error:
        raise Temporary(f"{error} (handed to it before: {done})") from error
    return done


class _Outlet:
    """Gathers rows of each device into messages and sends them."""

    def __init__(
        self,
        publisher: Publisher,
        done: Replayed,
        *,
        batch: int,
        max_payload: int,
        register: Callable[[str], None] | None,
    ) -> None:
        self._publisher = publisher
        self._done = done
        self._batch = batch
        self._max_payload = max_payload
        self._register = register
        self._waiting: dict[str, list[dict[str, Any]]] = {}

    def add(self, device: str, time_ms: int, values: dict[str, float]) -> None:
        rows = self._waiting.setdefault(device, [])
        rows.append({"ts": time_ms, "values": values})
        if len(rows) >= self._batch:
            self._send(device)

    def flush(self) -> None:
        for device in list(self._waiting):
            self._send(device)

    def _send(self, device: str) -> None:
        rows = self._waiting.pop(device)
        payload = json.dumps(rows if len(rows) > 1 else rows[0], separators=(",", ":")).encode()
        if len(payload) > self._max_payload:
            raise InvalidInput(
                f"a message of {len(rows)} rows has {len(payload)} bytes, more than FOREWARN_MAX_PAYLOAD,"
                f" {self._max_payload}: give a smaller --batch"
            )
        done = self._done
        if device not in done.devices:
            if self._register:
                self._register(device)
            done.devices.add(device)
        self._publisher.send(f"forewarn/v1/{device}/telemetry", payload)
        times = [row["ts"] for row in rows]
        done.messages += 1
        done.readings += sum(len(row["values"]) for row in rows)
        done.first = min(times) if done.first is None else min(done.first, *times)
        done.last = max(times) if done.last is None else max(done.last, *times)


def _chosen(recorded: Recorded, devices: tuple[str, ...]) -> Iterator[Row]:
    """The rows of `devices`, all if none is named. Raises InvalidInput at the end for a device that had no row."""
    missing = set(devices)
    for row in recorded.rows():
        if not devices or row.device in devices:
            missing.discard(row.device)
            yield row
    if missing:
        raise InvalidInput(f"{recorded.file} has no readings of {', '.join(sorted(missing))}")


def _paced(rows: Iterator[Row], speed: float, stop: threading.Event) -> Iterator[Row]:
    """Each row when it is due, until `stop`."""
    began, origin, last = 0.0, 0, None
    for row in rows:
        if last is None or row.time < last:
            began, origin = time.monotonic(), row.time
        last = row.time
        rest = began + (row.time - origin) / 1000 / speed - time.monotonic()
        if stop.wait(rest) if rest > 0 else stop.is_set():
            return
        yield row


def _shift(recorded: Recorded, devices: tuple[str, ...], speed: float, now: datetime) -> int:
    """What is added to each time, ms, so that no reading is ever ahead of the clock and the last one is on it.

    Reads the whole file, so a bad row is found before anything is published.
    """
    first, last = math.inf, -math.inf
    for row in _chosen(recorded, devices):
        first, last = min(first, row.time), max(last, row.time)
    if first > last:
        return 0
    return int(now.timestamp() * 1000 + (last - first) / speed - last)


def _iso(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, tz=UTC).isoformat().replace("+00:00", "Z")
