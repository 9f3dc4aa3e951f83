"""The simulator and replay against a real Mosquitto: every reading arrives, also when the broker goes away."""

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import paho.mqtt.client as mqtt
import pytest
from click.testing import CliRunner
from paho.mqtt.enums import CallbackAPIVersion

from cli.main import forewarn
from cli.replay import layout_of, replay_file
from core.errors import ForewarnError, InvalidInput, Temporary
from core.profile import Profiles
from simulator.feed import Feed, Sent, publish_history, publish_live
from simulator.files import TelemetryFile
from simulator.fleet import Fleet
from simulator.fridge.homes import Harmless
from simulator.fridge.refrigerators import SIGNALS
from simulator.plan import INTERVAL, Oddity, Plan
from simulator.planning import make
from simulator.publisher import Broker, Publisher, PublishFailed
from tests.conftest import Mosquitto, wait_for

END = datetime(2026, 3, 1, tzinfo=UTC)


class Listener:
    """Counts what arrives; its session outlives the broker's restart."""

    def __init__(self, port: int) -> None:
        self.messages: list[tuple[str, bytes, bool]] = []
        self._subscribed = threading.Event()
        self.client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id="listener", clean_session=False, protocol=mqtt.MQTTv311
        )
        self.client.on_connect = lambda client, *_: client.subscribe("forewarn/v1/#", qos=1)
        self.client.on_subscribe = lambda *_: self._subscribed.set()
        self.client.on_message = lambda _c, _u, m: self.messages.append((m.topic, bytes(m.payload), m.retain))
        self.client.reconnect_delay_set(min_delay=1, max_delay=1)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        assert self._subscribed.wait(10)

    def readings(self) -> Counter[tuple[str, int]]:
        """How often each (device, ts) came."""
        count: Counter[tuple[str, int]] = Counter()
        for topic, payload, _ in list(self.messages):
            _, _, device, kind = topic.split("/")
            if kind == "telemetry":
                body = json.loads(payload)
                count.update((device, one["ts"]) for one in (body if isinstance(body, list) else [body]))
        return count


@contextmanager
def listening(port: int) -> Iterator[Listener]:
    listener = Listener(port)
    try:
        yield listener
    finally:
        listener.client.disconnect()
        listener.client.loop_stop()


def sound(**numbers: Any) -> Plan:
    usual: dict[str, Any] = {"seed": 2, "devices": 5, "days": 3, "failing": 1, "end": END}
    return replace(make(**(usual | numbers)), oddities=())


def expected(plan: Plan) -> set[tuple[str, int]]:
    return {
        (device, int(ms))
        for chunk in Fleet(plan).history()
        for at, device in enumerate(chunk.devices)
        for ms in chunk.times[np.isfinite(chunk.values[at]).any(axis=1)]
    }


def publish(plan: Plan, publisher: Publisher, progress: Callable[[datetime], None] = lambda _: None) -> Sent:
    sent = Sent()
    publish_history(Fleet(plan).run(), plan.end, publisher, feed=Feed(), sent=sent, progress=progress)
    return sent


@pytest.mark.parametrize(("version", "connections"), [("5", 1), ("3.1.1", 3)])
def test_every_reading_of_the_history_arrives_once(mosquitto: Mosquitto, version: str, connections: int) -> None:
    plan = sound()
    with listening(mosquitto.port) as listener:
        with Publisher(Broker(port=mosquitto.port, version=version), connections=connections) as publisher:
            sent = publish(plan, publisher)
            publisher.flush()
            assert publisher.acknowledged == sent.messages
        wait_for(lambda: listener.readings().total() >= sent.readings, what="all readings arrived")
        assert listener.readings() == Counter(dict.fromkeys(expected(plan), 1))
        assert sent.readings == 5 * 3 * 144


def test_a_broker_that_restarts_in_the_middle_loses_nothing(mosquitto: Mosquitto) -> None:
    plan = sound(days=6)

    def restart_half_way(now: datetime) -> None:
        if now == plan.start + timedelta(days=3):
            mosquitto.stop()
            # What is sent now waits in the simulator until the broker is back.
            threading.Timer(1.5, mosquitto.start).start()

    with listening(mosquitto.port) as listener:
        with Publisher(Broker(port=mosquitto.port), window=10) as publisher:
            sent = publish(plan, publisher, restart_half_way)
        everything = expected(plan)
        wait_for(lambda: len(listener.readings()) >= len(everything), within=30, what="all readings arrived")
        assert set(listener.readings()) == everything
        assert sent.readings == len(everything)


def test_what_is_under_way_is_bounded_and_patience_ends(mosquitto: Mosquitto) -> None:
    def send_to_nobody() -> None:
        with Publisher(Broker(port=mosquitto.port), window=7, patience=1) as publisher:
            mosquitto.stop()
            for _ in range(100):
                publisher.send("forewarn/v1/f/telemetry", b"{}")

    with pytest.raises(PublishFailed, match="the broker is away: 7 messages wait since 1 s"):
        send_to_nobody()


def test_a_wrong_password_is_told(tmp_path: Path, mosquitto: Mosquitto) -> None:
    mosquitto.stop()
    config = tmp_path / "mosquitto" / "mosquitto.conf"
    config.write_text(config.read_text(encoding="utf-8").replace("allow_anonymous true", "allow_anonymous false"))
    mosquitto.start()
    for version in ("5", "3.1.1"):
        broker = Broker(port=mosquitto.port, username="fleet", password="wrong", version=version)
        with pytest.raises(PublishFailed, match="refuses the connection: Not authorized"), Publisher(broker):
            pytest.fail("it let us in")
        assert "wrong" not in repr(broker)


def test_a_broker_that_is_not_there_is_told(mosquitto: Mosquitto) -> None:
    mosquitto.stop()
    with pytest.raises(PublishFailed, match=f"no broker at 127.0.0.1:{mosquitto.port}"):
        Publisher(Broker(port=mosquitto.port)).__enter__()


def test_live_devices_are_online_until_they_fall_silent_and_never_ahead_of_the_clock(mosquitto: Mosquitto) -> None:
    plan = make(seed=2, devices=2, days=1, failing=0, end=END)
    cut = Oddity(at=1, kind=Harmless.POWER_CUT, start=plan.end + INTERVAL, end=plan.end + 3 * INTERVAL)
    run, sent, stop = Fleet(replace(plan, oddities=(cut,))).run(), Sent(), threading.Event()
    run.advance(plan.end)
    # The clock stands five intervals after the history: so many can be published, the sixth must wait.
    now = plan.end + 5 * INTERVAL + timedelta(seconds=1)
    ended: list[datetime] = []

    def progress(reached: datetime) -> None:
        ended.append(reached)
        if len(ended) == 5:
            threading.Timer(0.5, stop.set).start()

    with listening(mosquitto.port) as listener, Publisher(Broker(port=mosquitto.port)) as publisher:
        publish_live(
            run, publisher, feed=Feed(), sent=sent, speed=1e12, clock=lambda: now, stop=stop, progress=progress
        )
        publisher.flush()
        assert ended == [plan.end + n * INTERVAL for n in range(1, 6)]
        wait_for(lambda: listener.readings().total() == 5 + 3, what="readings")
        wait_for(lambda: sum(t.endswith("status") for t, *_ in listener.messages) == 6, what="status")
        states = [(topic.split("/")[2], payload) for topic, payload, _ in listener.messages if topic.endswith("status")]
        assert [p for d, p in states if d == "fridge-0001"] == [b"online", b"offline"]
        assert [p for d, p in states if d == "fridge-0002"] == [b"online", b"offline", b"online", b"offline"]
    with listening(mosquitto.port) as later:
        wait_for(lambda: len(later.messages) == 2, what="the last status is retained")
        assert {(payload, retain) for _, payload, retain in later.messages} == {(b"offline", True)}


def command(*arguments: str | Path, port: int) -> str:
    result = CliRunner().invoke(
        forewarn, [*map(str, arguments)], env={"FOREWARN_MQTT_PORT": str(port)}, catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    return result.output


def test_simulate_writes_a_plan_first_and_publishes_it_later(mosquitto: Mosquitto, tmp_path: Path) -> None:
    usual: list[str | Path] = [
        "simulate",
        "--devices",
        "3",
        "--days",
        "2",
        "--failing",
        "1",
        "--end",
        "2026-03-01",
        "--out",
        tmp_path / "o",
    ]
    with listening(mosquitto.port) as listener:
        command(*usual, "--plan-only", port=mosquitto.port)
        truth = (tmp_path / "o" / "truth.csv").read_bytes()
        assert not listener.messages
        output = command(*usual, port=mosquitto.port)
        assert (tmp_path / "o" / "truth.csv").read_bytes() == truth
        told = int(output.split(" readings")[0].split()[-1])
        wait_for(lambda: listener.readings().total() == told, what="all readings arrived")
        assert told > 2 * 3 * 100


def test_a_history_of_another_day_is_moved_to_today_and_goes_on_to_the_present(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    numbers = ("--seed", "2", "--devices", "5", "--days", "2", "--failing", "1", "--as-of", f"{END:%Y-%m-%d}")
    with listening(mosquitto.port) as listener:
        began = datetime.now(UTC)
        output = command("simulate", *numbers, "--out", tmp_path / "o", port=mosquitto.port)
        today = datetime.fromisoformat(json.loads((tmp_path / "o" / "plan.json").read_text())["end"])
        assert (today.hour, today.minute, today.second) == (0, 0, 0)
        moved = (today - END) // timedelta(milliseconds=1)
        told = int(output.split(" readings")[0].split()[-1])
        wait_for(lambda: listener.readings().total() == told, what="all readings arrived")
    run = Fleet(make(seed=2, devices=5, days=2, failing=1, end=END)).run()
    chunk = run.advance(max(END, END + (began - today)))
    measured = np.isfinite(chunk.values).any(axis=2)
    there = {
        (chunk.devices[at], int(chunk.times[n]) + moved)
        for at, n in np.argwhere(measured & (chunk.arrivals <= chunk.times[-1]))
    }
    # Another interval may be over by the time that it is published.
    assert there <= set(listener.readings())
    assert max(ts for _, ts in listener.readings()) <= datetime.now(UTC).timestamp() * 1000


def test_a_recorded_fleet_is_replayed_reading_by_reading(mosquitto: Mosquitto, tmp_path: Path) -> None:
    plan, file = sound(), tmp_path / "fleet.csv.gz"
    with TelemetryFile(file, SIGNALS) as recording:
        for chunk in Fleet(plan).history():
            recording.write(chunk)
    with listening(mosquitto.port) as listener:
        output = command("replay", file, "--profile", "fridge", "--no-register", "--batch", "50", port=mosquitto.port)
        everything = expected(plan)
        wait_for(lambda: listener.readings().total() >= len(everything), what="all readings arrived")
        assert listener.readings() == Counter(dict.fromkeys(everything, 1))
        values = sum(int(np.isfinite(chunk.values).sum()) for chunk in Fleet(plan).history())
        assert (
            f"published 45 messages, {values} readings of 5 devices, from 2026-02-26T00:10:00Z to 2026-03-01" in output
        )


def replayed(file: Path, mosquitto: Mosquitto, **options: Any) -> Any:
    layout = layout_of(
        Profiles()["fridge"], (), time_column="time", device_column="device", device=options.get("name") or ""
    )
    return replay_file(file, layout, Broker(port=mosquitto.port), **options)


def test_replay_renames_registers_and_shifts_one_device_to_now(mosquitto: Mosquitto, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    rows = "".join(f"{d},2020-01-01T00:0{n}:00Z,{n}\n" for n in range(5) for d in ("f-1", "f-2"))
    file.write_text(f"device,time,power\n{rows}", encoding="utf-8")
    registered: list[str] = []
    with listening(mosquitto.port) as listener:
        began = datetime.now(UTC).timestamp() * 1000
        done = replayed(
            file, mosquitto, devices=("f-2",), name="mine", shift_to_now=True, batch=1, register=registered.append
        )
        ended = datetime.now(UTC).timestamp() * 1000
        wait_for(lambda: len(listener.messages) == 5, what="five messages")
        assert registered == ["mine"]
        assert (done.messages, done.readings, done.devices) == (5, 5, {"mine"})
        times = sorted(ts for _, ts in listener.readings())
        assert began - 1 <= times[-1] <= ended
        assert np.diff(times).tolist() == [60_000] * 4


def test_replay_keeps_the_pace(mosquitto: Mosquitto, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("device,time,power\nf,1769860800,1\nf,1769860830,2\nf,1769860860,3\n", encoding="utf-8")
    began = datetime.now(UTC)
    replayed(file, mosquitto, speed=100, batch=1)
    assert timedelta(seconds=0.6) <= datetime.now(UTC) - began < timedelta(seconds=5)


@pytest.mark.parametrize(
    ("text", "options", "reason", "published"),
    [
        ("device,time,power\nf,1,1\nf,2,1\nf,3,hot\n", {}, r"a.csv:4: power: 'hot' is not a number", 2),
        ("device,time,power\nf,1,1\nf,2,hot\n", {"shift_to_now": True}, "'hot' is not a number", 0),
        ("device,time,power\nf,1,1\n", {"devices": ("g",)}, "has no readings of g", 0),
        ("device,time,power\nf,1,1\n", {"name": "x"}, "--as x: .* may hold several devices", 0),
        ("device,time,power\nf,1,1\nf,2,1\n", {"max_payload": 40}, "more than FOREWARN_MAX_PAYLOAD, 40", 0),
    ],
)
def test_replay_tells_what_cannot_be_used_and_what_was_published(
    mosquitto: Mosquitto, tmp_path: Path, text: str, options: dict[str, Any], reason: str, published: int
) -> None:
    file = tmp_path / "a.csv"
    file.write_text(text, encoding="utf-8")
    with listening(mosquitto.port) as listener:
        with pytest.raises(InvalidInput, match=reason) as caught:
            replayed(file, mosquitto, **options)
        if "not a number" in reason:
            assert f"{published} readings" in str(caught.value)
        wait_for(lambda: listener.readings().total() == published, what="what was published arrived")


def test_replay_without_a_broker_is_a_temporary_error(mosquitto: Mosquitto, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("device,time,power\nf,1,1\n", encoding="utf-8")
    mosquitto.stop()
    with pytest.raises(Temporary, match="no broker at") as caught:
        replayed(file, mosquitto)
    assert isinstance(caught.value, ForewarnError)
    assert caught.value.retryable
