"""What the gateway takes in and gives out: messages, and the columnar batch that is made of them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from device_gateway.decoder import Reason, Request

KEPT_BYTES = 65_536
"""How much of a payload a dead letter keeps."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Quality(IntEnum):
    """What is known against a reading."""

    GOOD = 0
    OUT_OF_RANGE = 1
    CLOCK_AHEAD = 2


class Message(NamedTuple):
    """One message as the broker delivered it. `size` is that of the whole payload, of which an oversized message
    keeps only the first `KEPT_BYTES`. `received` is in microseconds since 1970. `epoch` counts connections: packet
    ids (`mid`) mean something only within the one in which they came; `mid` 0 needs no acknowledgement. `again` says that
    the broker sent it before, under the same `mid`, and got no acknowledgement.
    """

    topic: str
    payload: bytes
    size: int
    received: int
    epoch: int = 0
    mid: int = 0
    again: bool = False

    def with_payload(self, payload: bytes) -> "Message":
        """The same message with the same said in other bytes."""
        return self._replace(payload=payload, size=len(payload))


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """Readings as columns of equal length. Times are microseconds since 1970, UTC."""

    device: NDArray[np.int32]
    series: NDArray[np.int32]
    time: NDArray[np.int64]
    received: NDArray[np.int64]
    value: NDArray[np.float64]
    quality: NDArray[np.int16]

    def __len__(self) -> int:
        return len(self.series)


NO_READINGS = Readings(
    device=np.zeros(0, dtype=np.int32),
    series=np.zeros(0, dtype=np.int32),
    time=np.zeros(0, dtype=np.int64),
    received=np.zeros(0, dtype=np.int64),
    value=np.zeros(0),
    quality=np.zeros(0, dtype=np.int16),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One discrete message of a device; `detail` is a JSON object as text."""

    device: int
    time: datetime
    received_at: datetime
    kind: str
    code: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """A device said, or its last will said for it, that it is online or offline."""

    device: int
    time: datetime
    received_at: datetime
    online: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """What a device said of itself, like its firmware; `value` is text."""

    device: int
    time: datetime
    received_at: datetime
    name: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """What could not be used of one message, and why. `payload` holds at most `KEPT_BYTES` of `size`. `packet` is the
    message's `mid`; with `again`, the letter may be stored already.
    """

    received_at: datetime
    topic: str
    payload: bytes
    size: int
    reason: Reason
    detail: str
    packet: int = 0
    again: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """All that came of some messages; it is stored in one transaction. `strangers` are the names of devices that
    are unknown or sent an unknown signal, and those signals: worth a look into the database before the batch is final.
    `requests` are messages to publish once it is stored. `lags` are devices and, for each message with times of its own,
    how many seconds after its newest one it came; `clock_skews` are devices whose clock was found to be behind
    ours by so many seconds.
    """

    readings: Readings = field(default_factory=lambda: NO_READINGS)
    events: tuple[Event, ...] = ()
    statuses: tuple[Status, ...] = ()
    attributes: tuple[Attribute, ...] = ()
    dead_letters: tuple[DeadLetter, ...] = ()
    strangers: Mapping[str, Collection[str]] = field(default_factory=dict)
    requests: tuple[Request, ...] = ()
    lags: tuple[NDArray[np.int32], NDArray[np.float64]] | None = None
    clock_skews: tuple[tuple[int, float], ...] = ()


def moment(microseconds: int) -> datetime:
    """Microseconds since 1970 as a time."""
    return _EPOCH + timedelta(microseconds=microseconds)


def microseconds(time: datetime) -> int:
    """A time as microseconds since 1970, exact."""
    return (time - _EPOCH) // timedelta(microseconds=1)
