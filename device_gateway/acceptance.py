"""Turns messages into one columnar batch: who spoke, which series, what time, what quality, and what is refused.

This is the hot path: what is done for each message and each sample is a few list operations, and all that can be
done for many values at once is done by numpy. It is a pure function of the messages and the registry.
"""

from collections.abc import Sequence

import numpy as np

from device_gateway.clock import LAST_TIME, Judged, Rules, judge
from device_gateway.decoder import Decoder, Reason, Sample, Undecodable, shown
from device_gateway.events import decode_events, decode_status
from device_gateway.readings import KEPT_BYTES, Batch, DeadLetter, Event, Message, Quality, Readings, Status, moment
from device_gateway.registry import Known, Registry
from device_gateway.topics import Kind, Topic, parse

_MOST_NAMED = 5
_MOST_TOPICS = 100_000


class Acceptance:
    """Accepts messages of registered devices. max_payload: bytes of the largest payload that is decoded."""

    def __init__(self, registry: Registry, decoder: Decoder, rules: Rules, *, max_payload: int) -> None:
        self._registry = registry
        self._decoder = decoder
        self._rules = rules
        self._max_payload = max_payload
        self._topics: dict[str, Topic | None] = {}

    def accept(self, messages: Sequence[Message]) -> Batch:
        """All that is in `messages`: readings, events, status and dead letters."""
        work = _Work(self._registry, self._rules, messages)
        topics, decode, known = self._topics, self._decoder.decode, self._registry.get
        if len(topics) > _MOST_TOPICS:
            topics.clear()
        for at, message in enumerate(messages):
            name = message.topic
            topic = topics.get(name)
            if topic is None:
                topic = topics[name] = parse(name)
                if topic is None:
                    detail = f"{shown(name)} is not forewarn/v1/<device>/telemetry, events or status"
                    work.refuse(at, [Undecodable(Reason.UNKNOWN_TOPIC, detail)])
                    continue
            if topic.kind is Kind.COMMANDS or topic.kind is Kind.RESULTS:
                continue  # Not for the gateway: commands go to devices, results to who sent the command.
            if message.size > self._max_payload:
                detail = f"the payload has {message.size} bytes; at most {self._max_payload} are read"
                work.refuse(at, [Undecodable(Reason.TOO_LARGE, detail)])
                continue
            device = known(topic.device)
            if device is None:
                work.strangers.add(topic.device)
                detail = f"no device {shown(topic.device)} is registered: see `forewarn device add`"
                work.refuse(at, [Undecodable(Reason.UNKNOWN_DEVICE, detail)])
                continue
            if topic.kind is Kind.TELEMETRY:
                if device.offsets is None:
                    work.strangers.add(topic.device)
                    detail = f"the device's profile {shown(device.profile)} is not among the profiles of this gateway"
                    work.refuse(at, [Undecodable(Reason.UNKNOWN_PROFILE, detail)])
                    continue
                decoded = decode(message.payload)
                if isinstance(decoded, Undecodable):
                    work.refuse(at, [decoded])
                    continue
                if decoded.refused:
                    work.refuse(at, _minded(decoded.refused, device))
                work.add(at, device, decoded.samples)
            elif topic.kind is Kind.EVENTS:
                work.add_events(at, device)
            else:
                work.add_status(at, device)
        return work.finish()


def _minded(refused: Sequence[Undecodable], device: Known) -> list[Undecodable]:
    """What is minded of the refused parts: a profile that ignores unknown signals ignores unknown fields too."""
    return [r for r in refused if not (device.ignores_unknown and r.reason is Reason.UNKNOWN_FIELD)]


class _Work:
    """A batch in the making. Lists grow by sample (`_ts`, `_count`, ...) or by value (`_offset`, `_value`)."""

    def __init__(self, registry: Registry, rules: Rules, messages: Sequence[Message]) -> None:
        self.strangers: set[str] = set()
        self._registry = registry
        self._rules = rules
        self._messages = messages
        self._ts: list[float] = []
        self._message: list[int] = []
        self._count: list[int] = []
        self._device: list[Known] = []
        self._samples: list[Sample] = []
        self._offset: list[int] = []
        self._value: list[float] = []
        self._events: list[Event] = []
        self._statuses: list[Status] = []
        self._refused: dict[tuple[int, Reason], list[str]] = {}

    def refuse(self, at: int, refused: Sequence[Undecodable]) -> None:
        """Notes parts of message `at` that cannot be used."""
        for part in refused:
            self._refused.setdefault((at, part.reason), []).append(part.detail)

    def add(self, at: int, device: Known, samples: Sequence[Sample]) -> None:
        """Takes the samples of message `at`."""
        assert device.offsets is not None
        offset_of = device.offsets.__getitem__
        for sample in samples:
            values = sample.values
            self._ts.append(sample.ts)
            self._message.append(at)
            self._count.append(len(values))
            self._device.append(device)
            self._offset.extend(map(offset_of, values))
            self._value.extend(values.values())
        self._samples.extend(samples)

    def add_events(self, at: int, device: Known) -> None:
        """Takes the device events in message `at`."""
        message = self._messages[at]
        said, refused = decode_events(message.payload)
        self.refuse(at, refused)
        if not said:
            return
        judged = self._judge([s.ts for s in said], message)
        for n, one in enumerate(said):
            if not self._timely(judged, n, at, one.ts):
                continue
            self._events.append(
                Event(
                    device=device.id,
                    time=moment(int(judged.time[n])),
                    received_at=moment(message.received),
                    kind=one.kind,
                    code=one.code,
                    detail=one.detail,
                )
            )

    def add_status(self, at: int, device: Known) -> None:
        """Takes the status in message `at`."""
        message = self._messages[at]
        said = decode_status(message.payload)
        if isinstance(said, Undecodable):
            self.refuse(at, [said])
            return
        judged = self._judge([said[1]], message)
        if self._timely(judged, 0, at, said[1]):
            received = moment(message.received)
            time = moment(int(judged.time[0]))
            self._statuses.append(Status(device=device.id, time=time, received_at=received, online=said[0]))

    def finish(self) -> Batch:
        """The batch."""
        return Batch(
            readings=self._readings(),
            events=tuple(self._events),
            statuses=tuple(self._statuses),
            dead_letters=tuple(
                dead_letter(self._messages[at], reason, details)
                for (at, reason), details in sorted(self._refused.items(), key=lambda item: item[0][0])
            ),
            strangers=frozenset(self.strangers),
        )

    def _readings(self) -> Readings:
        registry = self._registry
        if not self._samples:
            return _NOTHING
        count = np.array(self._count)
        message = np.array(self._message)
        received = np.array([m.received for m in self._messages], dtype=np.int64)
        judged = judge(np.array(self._ts), message, received, self._rules)
        base = np.repeat(np.array([d.base for d in self._device]), count)
        offset = np.array(self._offset)
        value = np.array(self._value)
        sample = np.repeat(np.arange(len(count)), count)
        keep = offset >= 0
        if not keep.all():
            self._refuse_signals(np.unique(sample[~keep]).tolist())
        untimely = judged.too_old | judged.senseless
        if untimely.any():
            for n in np.flatnonzero(untimely):
                self._timely(judged, int(n), self._message[n], self._ts[n])
            keep &= ~untimely[sample]
        if not keep.all():
            base, offset, value, sample = base[keep], offset[keep], value[keep], sample[keep]
        slot = base + offset
        quality = np.zeros(len(slot), dtype=np.int16)
        quality[(value < registry.low[slot]) | (value > registry.high[slot])] = Quality.OUT_OF_RANGE
        quality[judged.ahead[sample]] = Quality.CLOCK_AHEAD
        return Readings(
            device=registry.device[slot],
            series=registry.series[slot],
            time=judged.time[sample],
            received=received[message][sample],
            value=value,
            quality=quality,
        )

    def _refuse_signals(self, samples: Sequence[int]) -> None:
        for n in samples:
            device, at = self._device[n], self._message[n]
            assert device.offsets is not None
            topic = parse(self._messages[at].topic)
            assert topic is not None
            self.strangers.add(topic.device)
            if device.ignores_unknown:
                continue
            names = ", ".join(shown(name) for name in self._samples[n].values if name not in device.offsets)
            self.refuse(at, [Undecodable(Reason.UNKNOWN_SIGNAL, f"profile {device.profile} has no signal {names}")])

    def _judge(self, ts: list[float], message: Message) -> Judged:
        received = np.array([message.received], dtype=np.int64)
        return judge(np.array(ts, dtype=np.float64), np.zeros(len(ts), dtype=np.intp), received, self._rules)

    def _timely(self, judged: Judged, n: int, at: int, ts: float) -> bool:
        """Whether sample `n` has a time that can be stored; else it is refused."""
        if judged.senseless[n]:
            detail = f"`ts` {ts:.0f} is no time in milliseconds since 1970; were micro- or nanoseconds meant?"
            self.refuse(at, [Undecodable(Reason.BAD_TIME, detail)])
        elif judged.too_old[n]:
            hint = "; were seconds sent instead of milliseconds?" if 1e9 < ts < LAST_TIME / 1e5 else ""
            earliest = moment(self._rules.earliest).isoformat()
            detail = f"`ts` {ts:.0f} is {moment(int(judged.time[n])).isoformat()}, before {earliest}{hint}"
            self.refuse(at, [Undecodable(Reason.TIME_TOO_OLD, detail)])
        else:
            return True
        return False


def dead_letter(message: Message, reason: Reason, details: Sequence[str]) -> DeadLetter:
    """The dead letter of one message for one reason; of many details the first few are named."""
    named = "; ".join(dict.fromkeys(details[:_MOST_NAMED]))
    more = f"; and {len(details) - _MOST_NAMED} more" if len(details) > _MOST_NAMED else ""
    return DeadLetter(
        received_at=moment(message.received),
        topic=message.topic,
        payload=message.payload[:KEPT_BYTES],
        size=message.size,
        reason=reason,
        detail=named + more,
    )


def only(letters: Sequence[DeadLetter]) -> Batch:
    """A batch of dead letters alone."""
    return Batch(readings=_NOTHING, dead_letters=tuple(letters))


_NOTHING = Readings(
    device=np.zeros(0, dtype=np.int32),
    series=np.zeros(0, dtype=np.int32),
    time=np.zeros(0, dtype=np.int64),
    received=np.zeros(0, dtype=np.int64),
    value=np.zeros(0),
    quality=np.zeros(0, dtype=np.int16),
)
