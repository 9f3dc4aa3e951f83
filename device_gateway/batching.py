"""A batch in the making: samples grow into columns, and all that can be judged for many values at once is judged by numpy."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from device_gateway.clock import LAST_TIME, Judged, Rules, judge
from device_gateway.decoder import ATTRIBUTES, Presence, Reason, Request, Said, Sample, Undecodable, shown
from device_gateway.mapping import attributes_of, fault_of
from device_gateway.readings import (
    KEPT_BYTES,
    NO_READINGS,
    Attribute,
    Batch,
    DeadLetter,
    Event,
    Message,
    Quality,
    Readings,
    Status,
    moment,
)
from device_gateway.registry import Known, Registry

_MOST_NAMED = 5
_MOST_KEPT = 200
"""Signals beyond its profile that one device may have."""


class Batching:
    """A batch in the making. Lists grow by sample (`_ts`, `_count`, ...) or by value (`_offset`, `_value`)."""

    def __init__(self, registry: Registry, rules: Rules, messages: Sequence[Message]) -> None:
        self.strangers: dict[str, set[str]] = {}
        self.requests: list[Request] = []
        self._registry = registry
        self._rules = rules
        self._messages = messages
        self._ts: list[float] = []
        self._message: list[int] = []
        self._count: list[int] = []
        self._device: list[Known] = []
        self._name: list[str] = []
        self._samples: list[Sample] = []
        self._offset: list[int] = []
        self._value: list[float] = []
        self._events: list[Event] = []
        self._statuses: list[Status] = []
        self._attributes: list[Attribute] = []
        self._letters: dict[int, Callable[[], bytes]] = {}
        self._lags: tuple[NDArray[np.int32], NDArray[np.float64]] | None = None
        self._refused: dict[tuple[int, Reason], list[str]] = {}

    def refuse(self, at: int, refused: Sequence[Undecodable]) -> None:
        """Notes parts of message `at` that cannot be used."""
        for part in refused:
            self._refused.setdefault((at, part.reason), []).append(part.detail)

    def keep_letter(self, at: int, letter: Callable[[], bytes]) -> None:
        """Notes how a dead letter of message `at` is to be kept, should it become one."""
        self._letters[at] = letter

    def add(self, at: int, name: str, device: Known, samples: Sequence[Sample]) -> None:
        """Takes the samples of message `at`."""
        assert device.offsets is not None
        offset_of = device.offsets.__getitem__
        for sample in samples:
            values = sample.values
            self._ts.append(sample.ts)
            self._message.append(at)
            self._count.append(len(values))
            self._device.append(device)
            self._name.append(name)
            self._offset.extend(map(offset_of, values))
            self._value.extend(values.values())
        self._samples.extend(samples)

    def add_events(self, at: int, device: Known, said: Sequence[Said]) -> None:
        """Takes the device events in message `at`; attributes among them go their own way."""
        message = self._messages[at]
        judged = self._judge([s.ts for s in said], message)
        received = moment(message.received)
        for n, one in enumerate(said):
            fault = fault_of(one, device)
            if fault:
                self.refuse(at, [fault])
                continue
            if not self._timely(judged, n, at, one.ts):
                continue
            time = moment(int(judged.time[n]))
            if one.kind == ATTRIBUTES:
                found, wrong = attributes_of(one)
                self.refuse(at, wrong)
                self._attributes += [
                    Attribute(device=device.id, time=time, received_at=received, name=name, value=value)
                    for name, value in found.items()
                ]
                continue
            self._events.append(
                Event(
                    device=device.id, time=time, received_at=received, kind=one.kind, code=one.code, detail=one.detail
                )
            )

    def add_statuses(self, at: int, device: Known | None, said: Sequence[Presence]) -> None:
        """Takes what message `at` says of who is online; of a device that is not registered, it is nobody's."""
        message = self._messages[at]
        judged = self._judge([s.ts for s in said], message)
        for n, one in enumerate(said):
            of = self._registry.get(one.device) if one.device else device
            if of is not None and self._timely(judged, n, at, one.ts):
                time, received = moment(int(judged.time[n])), moment(message.received)
                self._statuses.append(Status(device=of.id, time=time, received_at=received, online=one.online))

    def finish(self) -> Batch:
        """The batch."""
        readings = self._readings()
        return Batch(
            readings=readings,
            events=tuple(self._events),
            statuses=tuple(self._statuses),
            attributes=tuple(self._attributes),
            dead_letters=tuple(
                dead_letter(self._to_keep(at), reason, details)
                for (at, reason), details in sorted(self._refused.items(), key=lambda item: item[0][0])
            ),
            strangers=self.strangers,
            requests=tuple(self.requests),
            lags=self._lags,
        )

    def _to_keep(self, at: int) -> Message:
        """Message `at` as a dead letter keeps it."""
        letter = self._letters.get(at)
        return self._messages[at].with_payload(letter()) if letter else self._messages[at]

    def _readings(self) -> Readings:
        registry = self._registry
        if not self._samples:
            return NO_READINGS
        count = np.array(self._count)
        message = np.array(self._message)
        received = np.array([m.received for m in self._messages], dtype=np.int64)
        judged = judge(np.array(self._ts), message, received, self._rules)
        base = np.repeat(np.array([d.base for d in self._device]), count)
        offset = np.array(self._offset)
        value = np.array(self._value)
        sample = np.repeat(np.arange(len(count)), count)
        self._note_lags(judged, message, received)
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

    def _note_lags(self, judged: Judged, message: NDArray[np.intp], received: NDArray[np.int64]) -> None:
        ts = np.array(self._ts)
        ts[judged.senseless | judged.too_old] = np.nan
        starts = np.flatnonzero(np.diff(message, prepend=-1))
        lag = received[message[starts]] / 1e6 - np.fmax.reduceat(ts, starts) / 1e3
        timed = ~np.isnan(lag)
        if timed.any():
            device = np.array([d.id for d in self._device], dtype=np.int32)[starts]
            self._lags = device[timed], lag[timed]

    def _refuse_signals(self, samples: Sequence[int]) -> None:
        for n in samples:
            device, name = self._device[n], self._name[n]
            assert device.offsets is not None
            unknown = [signal for signal in self._samples[n].values if signal not in device.offsets]
            asked = self.strangers.setdefault(name, set())
            if device.unknown == "keep":
                asked.update([s for s in unknown if s.isprintable() and len(s) <= 128][: _MOST_KEPT - device.kept])
            if device.unknown == "ignore":
                continue
            names = ", ".join(map(shown, unknown))
            detail = f"profile {device.profile} has no signal {names}"
            if device.unknown == "keep":
                detail += f", and at most {_MOST_KEPT} with names of 128 characters are kept beside its own"
            self.refuse(self._message[n], [Undecodable(Reason.UNKNOWN_SIGNAL, detail)])

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
        packet=message.mid,
        again=message.again,
    )


def only(letters: Sequence[DeadLetter]) -> Batch:
    """A batch of dead letters alone."""
    return Batch(dead_letters=tuple(letters))
