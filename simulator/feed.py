"""Turns what a fleet measures into MQTT messages, first the history in batches, then live.

Topics are `forewarn/v1/{device}/telemetry | events | status`. Readings that waited for the device's network come as one
batch of their own, after readings that are newer.
"""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from simulator.fleet import Chunk, Run
from simulator.plan import INTERVAL
from simulator.publisher import Publisher

BATCH = timedelta(hours=12)
"""History of one device in one message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One MQTT message of the device with the number `at`."""

    at: int
    topic: str
    payload: bytes
    readings: int = 0
    retain: bool = False


@dataclass(slots=True)
class Feed:
    """Makes messages of consecutive chunks and remembers what still waits in the devices."""

    _held: dict[int, list[tuple[int, dict[str, Any]]]] = field(default_factory=dict)

    def messages(self, chunk: Chunk) -> Iterator[Message]:
        """The messages of `chunk`, in the order in which they are sent."""
        if not len(chunk.times):
            return
        last = int(chunk.times[-1])
        for at, device in enumerate(chunk.devices):
            prompt: list[dict[str, Any]] = []
            held = self._held.setdefault(at, [])
            times, arrivals = chunk.times.tolist(), chunk.arrivals[at].tolist()
            for time, arrival, row in zip(times, arrivals, chunk.values[at].tolist(), strict=True):
                values = {s: v for s, v in zip(chunk.signals, row, strict=True) if v == v}  # noqa: PLR0124 — NaN is not itself
                if not values:
                    continue
                reading = {"ts": time, "values": values}
                if arrival > time:
                    held.append((arrival, reading))
                else:
                    prompt.append(reading)
            late = [reading for arrival, reading in held if arrival <= last]
            held[:] = [waiting for waiting in held if waiting[0] > last]
            for readings in (prompt, late):
                if readings:
                    body: Any = readings if len(readings) > 1 else readings[0]
                    yield Message(at=at, topic=_topic(device, "telemetry"), payload=_json(body), readings=len(readings))
        for event in chunk.events:
            body = {"ts": int(event.time.timestamp() * 1000), "kind": event.kind, "code": event.code}
            if event.component:
                body["component"] = event.component
            yield Message(at=event.at, topic=_topic(chunk.devices[event.at], "events"), payload=_json(body))


@dataclass(slots=True)
class Sent:
    """What was published so far."""

    messages: int = 0
    readings: int = 0


def publish_history(
    run: Run, until: datetime, publisher: Publisher, *, feed: Feed, sent: Sent, progress: Callable[[datetime], None]
) -> None:
    """Publishes what the fleet measures up to `until`; all devices advance together, a batch each."""
    while run.now + INTERVAL <= until:
        _send(run.advance(min(run.now + BATCH, until)), publisher, feed, sent)
        progress(run.now)


def publish_live(
    run: Run,
    publisher: Publisher,
    *,
    feed: Feed,
    sent: Sent,
    speed: float,
    clock: Callable[[], datetime],
    stop: threading.Event,
    progress: Callable[[datetime], None],
) -> None:
    """Publishes each interval when it is over, until `stop`. Never ahead of `clock`: what has not happened has no time.

    If the fleet is behind the clock by more than an interval, it goes `speed` times as fast until it has caught up.
    """
    began, from_time = clock(), run.now
    behind = began - from_time > INTERVAL
    # Who has power says so at once; who loses it, or the network, is seen at the end of an interval.
    online = dict(enumerate(run.powered.tolist()))
    for at, is_online in online.items():
        publisher.send(_topic(run.names[at], "status"), b"online" if is_online else b"offline", lane=at, retain=True)
    while True:
        end = run.now + INTERVAL
        due = max(end, began + (end - from_time) / speed) if behind else end
        while (rest := (due - clock()).total_seconds()) > 0:
            if stop.wait(min(rest, 60)):
                break
        if stop.is_set():
            break
        chunk = run.advance(end)
        there = (np.isfinite(chunk.values).any(axis=2) & (chunk.arrivals == chunk.times)).any(axis=1)
        for at, device in enumerate(chunk.devices):
            if online[at] != bool(there[at]):
                online[at] = bool(there[at])
                publisher.send(_topic(device, "status"), b"online" if there[at] else b"offline", lane=at, retain=True)
        _send(chunk, publisher, feed, sent)
        progress(run.now)
    for at, is_online in online.items():
        if is_online:
            publisher.send(_topic(run.names[at], "status"), b"offline", lane=at, retain=True)


def _send(chunk: Chunk, publisher: Publisher, feed: Feed, sent: Sent) -> None:
    for message in feed.messages(chunk):
        publisher.send(message.topic, message.payload, lane=message.at, retain=message.retain)
        sent.messages += 1
        sent.readings += message.readings


def _topic(device: str, kind: str) -> str:
    return f"forewarn/v1/{device}/{kind}"


def _json(body: Any) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()
