"""Takes PUBLISH packets out of what a broker sent. Pure.

A client library takes tens of microseconds for a message, most of it for what a gateway does not need. The gateway
gets nothing but PUBLISH packets in bulk, so these are read here; all others are left to the library.

Source: MQTT 3.1.1 section 3.3 and MQTT 5.0 section 3.3, https://docs.oasis-open.org/mqtt/.
"""

from typing import NamedTuple

_PUBLISH = 0x30
_DUP = 0x08


class Publish(NamedTuple):
    """One PUBLISH packet; `mid` is 0 at QoS 0. `again` is its DUP flag: the broker sent it before."""

    topic: bytes
    payload: bytes
    mid: int
    again: bool = False


def length_of(buffer: bytes | bytearray | memoryview, at: int) -> tuple[int, int] | None:
    """A variable byte integer at `at`: its value, and where it ends; None when it is cut off.

    A value of more than four bytes breaks the protocol; it is given as cut off nowhere: -1.
    """
    value = 0
    for n in range(4):
        if at + n >= len(buffer):
            return None
        byte = buffer[at + n]
        value |= (byte & 0x7F) << (7 * n)
        if byte < 0x80:
            return value, at + n + 1
    return -1, at + 4


def take_publishes(buffer: bytearray, *, five: bool, into: list[Publish]) -> int:
    """Appends the PUBLISH packets of QoS 0 and 1 at the start of `buffer`; returns how many bytes they take.

    Stops at the first packet that is cut off, of another type, or malformed. five: whether the protocol is MQTT 5,
    whose packets carry properties.
    """
    at = 0
    with memoryview(buffer) as view:
        size = len(view)
        while at + 2 <= size:
            head = view[at]
            qos = (head >> 1) & 3
            if head & 0xF0 != _PUBLISH or qos > 1:
                break
            length, start = view[at + 1], at + 2
            if length >= 0x80:
                found = length_of(view, at + 1)
                if found is None or found[0] < 0:
                    break
                length, start = found
            end = start + length
            if end > size:
                break
            topic_at = start + 2
            body = topic_at + ((view[start] << 8) | view[start + 1]) if length >= 2 else end + 1
            mid = 0
            topic_end = body
            if qos and body + 2 <= end:
                mid = (view[body] << 8) | view[body + 1]
                body += 2
            if five and body < end:
                skipped = view[body]
                body += 1
                if skipped >= 0x80:
                    found = length_of(view, body - 1)
                    if found is None:
                        break
                    skipped, body = found
                body += skipped
            elif five:
                break
            if body > end or bool(mid) != bool(qos):
                break
            into.append(Publish(bytes(view[topic_at:topic_end]), bytes(view[body:end]), mid, head & _DUP > 0))
            at = end
    return at


def complete(buffer: bytearray) -> bool:
    """Whether `buffer` starts with a whole packet, or with something that is none."""
    found = length_of(buffer, 1)
    return found is not None and (found[0] < 0 or len(buffer) >= found[1] + found[0])
