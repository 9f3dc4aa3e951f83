"""What a gateway and its workers say to each other: frames over a pipe, a length before each. Pure but for the pipe.

To the worker go messages; from it come reports. MessagePack, read into fixed types: nothing that is executed.
"""

from collections.abc import Sequence
from typing import BinaryIO

import msgspec

from device_gateway.readings import Message

_LENGTH = 4


class Report(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What a worker did, or how it is. `done` messages, the oldest it has, are stored and may be acknowledged."""

    done: int = 0
    messages: int = 0
    readings: int = 0
    duplicates: int = 0
    seconds: float = 0.0
    dead: dict[str, int] = {}
    away: bool | None = None


_encoder = msgspec.msgpack.Encoder()
_messages = msgspec.msgpack.Decoder(list[Message])
_report = msgspec.msgpack.Decoder(Report)


def pack(content: Sequence[Message] | Report) -> bytes:
    """One frame."""
    body = _encoder.encode(content)
    return len(body).to_bytes(_LENGTH, "big") + body


def read_messages(pipe: BinaryIO) -> list[Message] | None:
    """The next messages; None when the other end is closed."""
    body = _frame(pipe)
    return None if body is None else _messages.decode(body)


def read_report(pipe: BinaryIO) -> Report | None:
    """The next report; None when the other end is closed."""
    body = _frame(pipe)
    return None if body is None else _report.decode(body)


def _frame(pipe: BinaryIO) -> bytes | None:
    head = _exactly(pipe, _LENGTH)
    return None if head is None else _exactly(pipe, int.from_bytes(head, "big"))


def _exactly(pipe: BinaryIO, size: int) -> bytes | None:
    """So many bytes, or None when the pipe ends before: a frame that is cut off was written by one who died."""
    parts, missing = [], size
    while missing:
        part = pipe.read(missing)
        if not part:
            return None
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)
