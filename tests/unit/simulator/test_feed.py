"""What a fleet measures becomes messages: everything measured is sent once, in the order in which it could arrive."""

import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np

from simulator.feed import Feed, Message
from simulator.fleet import Chunk, Fleet
from simulator.fridge.homes import Harmless
from simulator.plan import Oddity, Plan
from simulator.planning import make

END = datetime(2026, 3, 1, tzinfo=UTC)


def fed(plan: Plan, chunk: timedelta) -> tuple[list[Chunk], list[Message]]:
    feed, chunks = Feed(), list(Fleet(plan).history(chunk=chunk))
    return chunks, [message for chunk in chunks for message in feed.messages(chunk)]


def readings(messages: list[Message], kind: str = "telemetry") -> list[tuple[str, int, dict[str, float]]]:
    found = []
    for message in messages:
        _, _, device, what = message.topic.split("/")
        if what == kind:
            body = json.loads(message.payload)
            listed = body if isinstance(body, list) else [body]
            assert message.readings == len(listed)
            found += [(device, one["ts"], one["values"]) for one in listed]
    return found


def with_oddity(kind: Harmless) -> Plan:
    plan = make(seed=2, devices=2, days=2, failing=0, end=END)
    start = plan.start + timedelta(hours=20)
    return replace(plan, oddities=(Oddity(at=1, kind=kind, start=start, end=start + timedelta(hours=9)),))


def test_everything_measured_is_sent_once() -> None:
    plan = replace(make(seed=2, devices=3, days=2, failing=1, end=END), oddities=())
    for length in (timedelta(minutes=10), timedelta(hours=12)):
        chunks, messages = fed(plan, length)
        sent = readings(messages)
        assert max(Counter((device, ts) for device, ts, _ in sent).values()) == 1
        assert sum(len(values) for *_, values in sent) == sum(int(np.isfinite(c.values).sum()) for c in chunks)
        values = {(device, ts): v for device, ts, v in sent}
        for chunk in chunks:
            for at, device in enumerate(chunk.devices):
                row = dict(zip(chunk.signals, chunk.values[at, 0].tolist(), strict=True))
                assert values[device, int(chunk.times[0])] == {s: v for s, v in row.items() if np.isfinite(v)}


def test_all_devices_advance_together() -> None:
    _, messages = fed(replace(make(seed=2, devices=3, days=2, failing=0, end=END), oddities=()), timedelta(hours=12))
    assert [m.at for m in messages] == [0, 1, 2] * 4
    assert {m.readings for m in messages} == {72}


def test_a_single_reading_is_no_list() -> None:
    _, messages = fed(
        replace(make(seed=2, devices=1, days=0.1, failing=0, end=END), oddities=()), timedelta(minutes=10)
    )
    assert all(set(json.loads(m.payload)) == {"ts", "values"} for m in messages)


def test_readings_of_a_wifi_outage_come_as_one_batch_when_it_is_over() -> None:
    plan = with_oddity(Harmless.WIFI_OUTAGE)
    (oddity,) = plan.oddities
    _, messages = fed(plan, timedelta(minutes=10))
    mine = [m for m in messages if m.at == 1]
    (batch,) = [m for m in mine if m.readings > 1]
    times = [ts for _, ts, _ in readings([batch])]
    # From the first interval that ends in the outage to the last one; the one that ends with it is sent as usual.
    assert times[0] == (oddity.start + timedelta(minutes=10)).timestamp() * 1000
    assert times[-1] == (oddity.end - timedelta(minutes=10)).timestamp() * 1000
    before = readings([mine[mine.index(batch) - 1]])
    assert before[0][1] == oddity.end.timestamp() * 1000
    assert len(readings(mine)) == 288


def test_a_power_cut_is_silence_and_then_an_event() -> None:
    plan = with_oddity(Harmless.POWER_CUT)
    (oddity,) = plan.oddities
    _, messages = fed(plan, timedelta(hours=12))
    mine = [m for m in messages if m.at == 1]
    assert len(readings(mine)) == 288 - 9 * 6
    (event,) = [json.loads(m.payload) for m in mine if m.topic.endswith("/events")]
    ts = (oddity.end + timedelta(minutes=10)).timestamp() * 1000
    assert event == {"ts": ts, "kind": "state", "code": "power_on"}
