"""What becomes of messages: series, time, quality, and dead letters with their reasons."""

import json
from collections.abc import Collection
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from core.profile import Profiles
from device_gateway.acceptance import Acceptance
from device_gateway.clock import FIRST_TIME, LAST_TIME, Rules, judge
from device_gateway.formats import choose
from device_gateway.readings import Batch, Message
from device_gateway.registry import Found, Registry

FRIDGE = Profiles()["fridge"]
PROFILES = {
    "fridge": FRIDGE,
    "tolerant": FRIDGE.model_copy(update={"profile": "tolerant", "unknown_signals": "ignore"}),
}
NOW = 1_800_000_000_000_000
MS = NOW // 1000
NUMBERS = {signal: at for at, signal in enumerate(FRIDGE.signals)}


def look_up(names: Collection[str]) -> list[Found]:
    profiles = {"f1": "fridge", "t1": "tolerant", "x1": "toaster"}
    return [Found(name=n, id=7, profile=profiles[n], series=NUMBERS) for n in names if n in profiles]


@pytest.fixture(scope="module")
def acceptance() -> Acceptance:
    registry = Registry(PROFILES, look_up, lambda: 0.0)
    registry.refresh(dict.fromkeys(["f1", "t1", "x1"], ()))
    rules = Rules(tolerance=300_000_000, earliest=1_000_000_000_000_000)
    return Acceptance(registry, choose("native"), rules, max_payload=1024)


def message(payload: object, topic: str = "forewarn/v1/f1/telemetry", at: int = 0) -> Message:
    data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return Message(topic, data, len(data), NOW + at)


def reasons(batch: Batch) -> list[str]:
    return [d.reason.value for d in batch.dead_letters]


def test_readings_of_several_messages_stand_in_columns(acceptance: Acceptance) -> None:
    batch = acceptance.accept(
        [
            message({"ts": MS - 5, "values": {"power": 80, "fan_speed": 900}}),
            message({"power": 81}, at=3),
            message([{"ts": MS - 9, "values": {"power": 82}}, {"ts": MS - 8, "values": {"power": 83}}]),
        ]
    )
    r = batch.readings
    assert r.series.tolist() == [NUMBERS[s] for s in ("power", "fan_speed", "power", "power", "power")]
    assert r.time.tolist() == [NOW - 5000, NOW - 5000, NOW + 3, NOW - 9000, NOW - 8000]
    assert r.received.tolist() == [NOW, NOW, NOW + 3, NOW, NOW]
    assert r.value.tolist() == [80, 900, 81, 82, 83]
    assert r.quality.tolist() == [0] * 5
    assert r.device.tolist() == [7] * 5
    assert not batch.dead_letters
    assert not batch.strangers


@pytest.mark.parametrize(("value", "quality"), [(0, 0), (1000, 0), (-0.001, 1), (1000.001, 1)])
def test_a_value_outside_the_range_of_its_signal_is_marked(acceptance: Acceptance, value: float, quality: int) -> None:
    assert acceptance.accept([message({"power": value})]).readings.quality.tolist() == [quality]


def test_an_unknown_signal_costs_its_good_neighbours_nothing(acceptance: Acceptance) -> None:
    batch = acceptance.accept([message({"ts": MS, "values": {"power": 80, "humidity": 4, "fan_speed": 900}})])
    assert batch.readings.value.tolist() == [80, 900]
    assert reasons(batch) == ["unknown_signal"]
    assert batch.dead_letters[0].detail == "profile fridge has no signal 'humidity'"
    assert batch.strangers == {"f1": set()}


def test_a_profile_may_ignore_unknown_signals_and_fields(acceptance: Acceptance) -> None:
    payload = {"ts": MS, "values": {"power": 80, "humidity": 4}, "rssi": -70}
    batch = acceptance.accept([message(payload, "forewarn/v1/t1/telemetry")])
    assert batch.readings.value.tolist() == [80]
    assert not batch.dead_letters


def test_a_device_of_a_profile_that_is_not_loaded_says_so(acceptance: Acceptance) -> None:
    batch = acceptance.accept([message({"power": 80}, "forewarn/v1/x1/telemetry")])
    assert reasons(batch) == ["unknown_profile"]


def test_commands_and_results_are_not_for_the_gateway(acceptance: Acceptance) -> None:
    batch = acceptance.accept([message(b"x", f"forewarn/v1/f1/{kind}") for kind in ("commands", "results")])
    assert not batch.dead_letters


def test_seconds_instead_of_milliseconds_are_named_as_the_likely_fault(acceptance: Acceptance) -> None:
    batch = acceptance.accept([message({"ts": MS // 1000, "values": {"power": 80}})])
    assert reasons(batch) == ["time_too_old"]
    assert "were seconds sent instead of milliseconds?" in batch.dead_letters[0].detail


@pytest.mark.parametrize(
    ("ts", "reason"), [(FIRST_TIME, "time_too_old"), (FIRST_TIME - 1, "bad_time"), (LAST_TIME + 1, "bad_time")]
)
def test_a_time_that_no_calendar_has_is_refused_like_any_other(acceptance: Acceptance, ts: int, reason: str) -> None:
    good = message({"ts": MS, "values": {"power": 80}})
    batch = acceptance.accept([message({"ts": ts, "values": {"power": 80}}), good])
    assert reasons(batch) == [reason]
    assert len(batch.readings) == 1


def test_a_message_at_which_the_gateway_itself_fails_costs_no_other(
    acceptance: Acceptance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(ts: Any, *rest: Any) -> Any:
        if (ts == MS + 13).any():
            raise OverflowError("date value out of range")
        return judge(ts, *rest)

    sent = [message({"ts": MS + at, "values": {"power": 80 + at}}) for at in range(12, 16)]
    sent.append(message({"ts": MS, "values": {"power": "x"}}))
    monkeypatch.setattr("device_gateway.batching.judge", broken)
    with capture_logs() as said:
        batch = acceptance.accept(sent)
    assert batch.readings.value.tolist() == [92, 94, 95]
    assert reasons(batch) == ["bad_value", "gateway_failed"]
    letter = batch.dead_letters[1]
    assert (letter.topic, letter.payload) == (sent[1].topic, sent[1].payload)
    assert letter.detail == "the gateway failed at it: OverflowError('date value out of range')"
    assert [one["topic"] for one in said] == [sent[1].topic]

    def always(*_: Any) -> Any:
        raise OverflowError

    # What no single message is to blame for stops it, as before.
    monkeypatch.setattr(
        "device_gateway.batching.Batching.finish", lambda work: always() if len(work._messages) > 1 else None
    )
    with pytest.raises(OverflowError):
        acceptance.accept(sent)


def test_many_faults_of_a_kind_are_one_dead_letter_with_a_short_detail(acceptance: Acceptance) -> None:
    batch = acceptance.accept([message({f"s{n}": "x" for n in range(60)})])
    assert reasons(batch) == ["bad_value"]
    assert batch.dead_letters[0].detail.endswith("and 55 more")


def test_of_a_large_payload_the_beginning_is_kept(acceptance: Acceptance) -> None:
    batch = acceptance.accept([Message("forewarn/v1/f1/telemetry", b"x" * 65_536, 5_000_000, NOW)])
    assert reasons(batch) == ["too_large"]
    assert (batch.dead_letters[0].size, len(batch.dead_letters[0].payload)) == (5_000_000, 65_536)


topics = st.sampled_from(["forewarn/v1/f1/telemetry", "forewarn/v1/t1/events", "forewarn/v1/f1/status"]) | st.text()
times = st.floats() | st.integers() | st.integers(MS - 10**9, MS + 10**12)
names = st.sampled_from(["power", "fan_speed"]) | st.text(max_size=3)
samples = st.fixed_dictionaries({"ts": times, "values": st.dictionaries(names, st.floats(), max_size=3)})
payloads = st.binary(max_size=40) | (samples | st.lists(samples, max_size=4)).map(lambda v: json.dumps(v).encode())


@given(sent=st.lists(st.tuples(topics, payloads), max_size=6))
def test_any_messages_become_storable_readings_or_dead_letters(
    acceptance: Acceptance, sent: list[tuple[str, bytes]]
) -> None:
    batch = acceptance.accept([message(payload, topic) for topic, payload in sent])
    r = batch.readings
    assert len({len(c) for c in (r.device, r.series, r.time, r.received, r.value, r.quality)}) == 1
    assert ((r.time >= 1_000_000_000_000_000) & (r.time <= NOW + 300_000_000)).all()
    assert abs(r.value).max(initial=0) < float("inf")
    assert len(batch.dead_letters) <= 10 * len(sent)


MIXED = [
    ("forewarn/v1/f1/telemetry", b'{"power": 80}'),
    ("forewarn/v1/f1/telemetry", b'{"power": 81, "wings": 2}'),
    ("forewarn/v1/f1/telemetry", b"{"),
    ("forewarn/v1/f1/events", b'[{"kind": "error", "code": "E1"}, {"kind": "attributes", "firmware": "2"}, 7]'),
    ("forewarn/v1/f1/status", b"online"),
    ("forewarn/v1/nobody/telemetry", b'{"power": 80}'),
    ("elsewhere", b""),
]


@given(sent=st.lists(st.sampled_from(MIXED) | st.tuples(topics, payloads), max_size=6))
@example(sent=MIXED)
def test_a_message_becomes_the_same_whatever_stands_beside_it(
    acceptance: Acceptance, sent: list[tuple[str, bytes]]
) -> None:
    messages = [message(payload, topic, at=at) for at, (topic, payload) in enumerate(sent)]
    together = acceptance.accept(messages)
    alone = [acceptance.accept([one]) for one in messages]
    for column in ("device", "series", "time", "received", "value", "quality"):
        parts = [getattr(batch.readings, column).tolist() for batch in alone]
        assert getattr(together.readings, column).tolist() == [value for part in parts for value in part]
    for kind in ("events", "attributes", "statuses", "dead_letters"):
        assert getattr(together, kind) == tuple(one for batch in alone for one in getattr(batch, kind))
    if sent == MIXED:
        assert together.readings.value.tolist() == [80, 81]
        assert (len(together.events), len(together.attributes), len(together.statuses)) == (1, 1, 1)
        assert reasons(together) == ["unknown_signal", "not_json", "wrong_shape", "unknown_device", "unknown_topic"]
