"""PUBLISH packets are read as paho writes them, whole or cut anywhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_gateway.packets import Publish, complete, length_of, take_publishes


def length(value: int) -> bytes:
    out = bytearray()
    while True:
        value, byte = divmod(value, 128)
        out.append(byte | (0x80 if value else 0))
        if not value:
            return bytes(out)


def packet(topic: bytes, payload: bytes, mid: int, *, five: bool, properties: bytes = b"") -> bytes:
    body = len(topic).to_bytes(2, "big") + topic
    body += mid.to_bytes(2, "big") if mid else b""
    body += length(len(properties)) + properties if five else b""
    return bytes([0x32 if mid else 0x30]) + length(len(body) + len(payload)) + body + payload


def take(data: bytes, *, five: bool) -> tuple[list[Publish], int]:
    into: list[Publish] = []
    taken = take_publishes(bytearray(data), five=five, into=into)
    return into, taken


@given(
    st.lists(
        st.tuples(st.binary(min_size=1, max_size=300), st.binary(max_size=20_000), st.integers(0, 65535)), max_size=4
    ),
    st.booleans(),
    st.binary(max_size=200),
    st.integers(0, 100_000),
)
def test_whole_packets_are_taken_and_a_cut_one_is_left(
    wanted: list[tuple[bytes, bytes, int]], five: bool, properties: bytes, cut: int
) -> None:
    data = b"".join(packet(*w, five=five, properties=properties) for w in wanted)
    assert take(data, five=five) == ([Publish(*w) for w in wanted], len(data))
    found, taken = take(data[: min(cut, len(data))], five=five)
    assert found == [Publish(*w) for w in wanted][: len(found)]
    assert taken == sum(len(packet(*w, five=five, properties=properties)) for w in wanted[: len(found)])


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_are_taken_or_left(data: bytes, five: bool) -> None:
    found, taken = take(data, five=five)
    assert 0 <= taken <= len(data)
    assert bool(found) == bool(taken)
    assert complete(bytearray(data)) in (True, False)


@pytest.mark.parametrize(
    "data",
    [
        b"\x32\x01\x00",  # No room for a topic.
        b"\x32\x03\x00\x01t",  # QoS 1 without a packet id.
        b"\x32\x05\x00\x01t\x00\x00",  # Packet id 0.
        b"\x32\x05\x00\x09t\x00\x01",  # The topic is longer than the packet.
        b"\x34\x05\x00\x01t\x00\x01",  # QoS 2 is not subscribed to.
        b"\x32\xff\xff\xff\xff\x01",  # A length of five bytes.
        b"\xd0\x00",  # PINGRESP.
    ],
)
@pytest.mark.parametrize("five", [True, False])
def test_what_is_no_publish_or_malformed_is_left_to_paho(data: bytes, five: bool) -> None:
    assert take(data, five=five) == ([], 0)
    assert complete(bytearray(data))


@pytest.mark.parametrize("five", [True, False])
def test_the_dup_flag_says_that_it_came_before(five: bool) -> None:
    data = bytearray(packet(b"t", b"p", 7, five=five) * 2)
    data[0] |= 0x08
    assert [p.again for p in take(bytes(data), five=five)[0]] == [True, False]


def test_a_length_is_read_up_to_four_bytes() -> None:
    assert length_of(b"\xff\xff\xff\x7f", 0) == (268_435_455, 4)
    assert length_of(b"\xff\xff\xff", 0) is None
    assert length_of(b"\xff\xff\xff\xff\x01", 0) == (-1, 4)
