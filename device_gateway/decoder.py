"""What a payload format has to offer to be read by the gateway. The formats stand in `device_gateway/decoders/`."""

import math
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import ClassVar, NamedTuple, Protocol

import msgspec

SERVER_TIME = math.nan
"""The `ts` of a sample that carries no time of its own: it counts as measured when it was received."""
ATTRIBUTES = "attributes"
"""The kind of an event whose fields are attributes of the device, like its firmware: each is kept with its history."""


class Reason(StrEnum):
    """Why a message, or a part of it, is a dead letter."""

    UNKNOWN_TOPIC = "unknown_topic"
    UNKNOWN_DEVICE = "unknown_device"
    UNKNOWN_PROFILE = "unknown_profile"
    UNKNOWN_SIGNAL = "unknown_signal"
    UNKNOWN_FIELD = "unknown_field"
    TOO_LARGE = "too_large"
    EMPTY = "empty"
    NOT_UTF8 = "not_utf8"
    NOT_JSON = "not_json"
    NOT_CBOR = "not_cbor"
    NOT_PROTOBUF = "not_protobuf"
    WRONG_SHAPE = "wrong_shape"
    WRONG_VERSION = "wrong_version"
    NO_VALUES = "no_values"
    NO_BIRTH = "no_birth"
    BAD_VALUE = "bad_value"
    BAD_UNIT = "bad_unit"
    NOT_FINITE = "not_finite"
    BAD_TIME = "bad_time"
    TIME_TOO_OLD = "time_too_old"
    BAD_EVENT = "bad_event"
    BAD_STATUS = "bad_status"
    DECODER_FAILED = "decoder_failed"
    GATEWAY_FAILED = "gateway_failed"
    REFUSED_BY_DATABASE = "refused_by_database"


class Sample(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """Values by signal, measured at one time; `ts` is in milliseconds since 1970, or `SERVER_TIME`."""

    ts: float
    values: dict[str, float]


class Undecodable(msgspec.Struct, frozen=True):
    """A payload, or a part of one, that cannot be read. `detail` tells a stranger what to change."""

    reason: Reason
    detail: str


class Said(NamedTuple):
    """One event as the device wrote it; `ts` as in `Sample`, `detail` a JSON object as text."""

    ts: float
    kind: str
    code: str
    detail: str


class Presence(NamedTuple):
    """A device is online or offline; `ts` as in `Sample`. `device` is empty for the one that the topic names."""

    online: bool
    ts: float
    device: str = ""


class Request(NamedTuple):
    """A message that the format asks the gateway to publish, as Sparkplug does after a gap."""

    topic: str
    payload: bytes


class Decoded(msgspec.Struct, gc=False):
    """What could be read of a payload, all values finite, and which parts could not.

    units: SenML units of values, by signal, where the payload names them. letter: the payload as a dead letter should
    keep it, where the one that came cannot be read without those before it.
    """

    samples: Sequence[Sample] = ()
    refused: Sequence[Undecodable] = ()
    events: Sequence[Said] = ()
    statuses: Sequence[Presence] = ()
    units: dict[str, str] | None = None
    requests: Sequence[Request] = ()
    letter: Callable[[], bytes] | None = None


class Source(msgspec.Struct, frozen=True):
    """Where a message came from: its topic, the device it speaks for and the kind of topic it is; see `topics`."""

    topic: str
    device: str
    kind: str


class Decoder(Protocol):
    """Reads one payload format. Total: any bytes give `Decoded` or `Undecodable`, never an exception.

    topics: the patterns of the topics it reads unless told otherwise, see `device_gateway.topics`. stateful: whether
    what it reads depends on messages that came before; then each message is decoded once and in the order of receipt,
    even of devices that nobody registered. Others are pure.
    """

    topics: ClassVar[tuple[str, ...]]
    stateful: ClassVar[bool]

    def decode(self, payload: bytes, source: Source, received: int) -> Decoded | Undecodable:
        """What is in `payload`, received at a time in microseconds since 1970.

        A bad part never costs its good neighbours: it goes to `refused`.
        """
        ...


class Reader(Protocol):
    """A decoder that is ready to be used: made, and checked where that is needed."""

    @property
    def stateful(self) -> bool:
        """See `Decoder`."""
        ...

    def decode(self, payload: bytes, source: Source, received: int) -> Decoded | Undecodable:
        """See `Decoder`."""
        ...


def shown(value: object, most: int = 60) -> str:
    """A value of a stranger as it may stand in a sentence: short, on one line, without control characters."""
    try:
        text = repr(value)
    except (RecursionError, ValueError):  # Nested too deeply, or an integer of thousands of digits.
        text = f"a {type(value).__name__}"
    return text if len(text) <= most else text[: most - 3] + "..."
