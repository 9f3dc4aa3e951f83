"""What the gateway shows of itself: Prometheus metrics, and the same as a line in the log."""

import time
from collections import Counter as Counts
from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from device_gateway.inbox import Inbox
from device_gateway.readings import Batch


class Metrics:
    """The metrics of one gateway process, in a registry of their own."""

    def __init__(self, inbox: Inbox) -> None:
        self.registry = CollectorRegistry()
        r = self.registry
        self._messages = Counter("forewarn_messages", "Messages stored and acknowledged", registry=r)
        self._readings = Counter("forewarn_readings", "New readings stored", registry=r)
        self._duplicates = Counter("forewarn_duplicates", "Readings that were stored before", registry=r)
        self._dead = Counter("forewarn_dead_letters", "Dead letters by reason", ["reason"], registry=r)
        self.dropped = Counter(
            "forewarn_dropped_qos0", "QoS 0 messages that came while the gateway held half of all it may", registry=r
        )
        self._commit = Histogram(
            "forewarn_commit_seconds",
            "Time to store one batch",
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
            registry=r,
        )
        self._connected = Gauge("forewarn_broker_connected", "1 while connected to the broker", registry=r)
        self._database_away = Gauge("forewarn_database_away", "1 while the database does not answer", registry=r)
        held = Gauge("forewarn_unacknowledged", "Messages received and not stored yet", registry=r)
        held.set_function(lambda: inbox.held)
        age = Gauge("forewarn_unacknowledged_age_seconds", "Age of the oldest of them", registry=r)
        age.set_function(lambda: _age(inbox.oldest))
        self._inbox = inbox
        # Written by the thread that stores, and by the one that logs.
        self._total = dict.fromkeys(("messages", "readings", "duplicates", "dead_letters"), 0)
        self._told = dict(self._total)
        self._last_commit = 0.0
        self._is_away = False
        self._is_connected = False

    def stored(self, batch: Batch, messages: int, readings: int, duplicates: int, seconds: float) -> None:
        """Counts one batch that was stored."""
        dead = Counts(letter.reason.value for letter in batch.dead_letters)
        self.count(messages, readings, duplicates, seconds, dead)

    def count(self, messages: int, readings: int, duplicates: int, seconds: float, dead: Mapping[str, int]) -> None:
        """Counts what was stored in one transaction. dead: dead letters by reason."""
        self._messages.inc(messages)
        self._readings.inc(readings)
        self._duplicates.inc(duplicates)
        for reason, letters in dead.items():
            self._dead.labels(reason).inc(letters)
        self._commit.observe(seconds)
        self._last_commit = seconds
        self._total["messages"] += messages
        self._total["readings"] += readings
        self._total["duplicates"] += duplicates
        self._total["dead_letters"] += sum(dead.values())

    def away(self, away: bool) -> None:
        """Notes whether the database answers."""
        self._is_away = away
        self._database_away.set(away)

    def summary(self) -> dict[str, int]:
        """What was stored since this was asked last."""
        total = dict(self._total)
        since = {name: count - self._told[name] for name, count in total.items()}
        self._told = total
        return since | {"unacknowledged": self._inbox.held}

    def state(self) -> dict[str, object]:
        """How the gateway is now, for its sign of life."""
        return {
            "connected": self._is_connected,
            "database_away": self._is_away,
            "unacknowledged": self._inbox.held,
            "oldest_s": round(_age(self._inbox.oldest), 1),
            "commit_s": round(self._last_commit, 3),
            **self._total,
        }

    def connected(self, connected: bool) -> None:
        """Notes whether there is a connection to the broker."""
        self._is_connected = connected
        self._connected.set(connected)


def _age(received: int | None) -> float:
    return 0.0 if received is None else max(0.0, time.time() - received / 1e6)
