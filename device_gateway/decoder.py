"""What a payload format has to offer to be read by the gateway. The formats stand in `device_gateway/decoders/`."""

import math
from enum import StrEnum
from typing import Protocol

import msgspec

SERVER_TIME = math.nan
"""The `ts` of a sample that carries no time of its own: it counts as measured when it was received."""


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
    WRONG_SHAPE = "wrong_shape"
    NO_VALUES = "no_values"
    BAD_VALUE = "bad_value"
    NOT_FINITE = "not_finite"
    BAD_TIME = "bad_time"
    TIME_TOO_OLD = "time_too_old"
    BAD_EVENT = "bad_event"
    BAD_STATUS = "bad_status"
    REFUSED_BY_DATABASE = "refused_by_database"


class Sample(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """Values by signal, measured at one time; `ts` is in milliseconds since 1970, or `SERVER_TIME`."""

    ts: float
    values: dict[str, float]


class Undecodable(msgspec.Struct, frozen=True):
    """A payload, or a part of one, that cannot be read. `detail` tells a stranger what to change."""

    reason: Reason
    detail: str


class Decoded(msgspec.Struct, gc=False):
    """What could be read of a payload, all values finite, and which parts could not."""

    samples: list[Sample]
    refused: tuple[Undecodable, ...] = ()


class Decoder(Protocol):
    """Reads one payload format. Pure and total: any bytes give `Decoded` or `Undecodable`, never an exception."""

    def decode(self, payload: bytes) -> Decoded | Undecodable:
        """The samples in `payload`. A bad part never costs its good neighbours: it goes to `refused`."""
        ...


def shown(value: object) -> str:
    """A value of a stranger as it may stand in a sentence: short, on one line, without control characters."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
