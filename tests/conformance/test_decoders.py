"""Each registered decoder against the examples that stand beside it, refused ones included.

An example is a JSON file: `payload`, or `payload_hex`, on `topic`, and what it is to give. `before` are messages that come
first. Times in `samples` are null for the time of receipt, which is `RECEIVED`.
"""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import device_gateway.decoders
from device_gateway.decoder import Decoded, Decoder, Undecodable
from device_gateway.decoders import DECODERS
from device_gateway.topics import Pattern

RECEIVED = 1_800_000_000_000_000
TESTDATA = Path(device_gateway.decoders.__file__).parent / "testdata"
CASES = [(name, file) for name in DECODERS for file in sorted((TESTDATA / name).glob("*.json"))]


def payload_of(case: dict[str, Any]) -> bytes:
    return bytes.fromhex(case["payload_hex"]) if "payload_hex" in case else case["payload"].encode()


def topics_of(name: str) -> list[str]:
    """Topics that a decoder reads."""
    patterns = [Pattern.parse(text) for text in DECODERS[name].topics]
    return [f.replace("+", "f1") for pattern in patterns if not pattern.rest for f in pattern.filters]


def decode(name: str, decoder: Decoder, topic: str, payload: bytes) -> Decoded | Undecodable:
    for text in DECODERS[name].topics:
        source = Pattern.parse(text).match(topic)
        if source:
            return decoder.decode(payload, source, RECEIVED)
    raise AssertionError(f"{name} does not read {topic}")


def when(ts: float) -> float | None:
    return None if math.isnan(ts) else ts


def test_each_decoder_has_examples_that_are_read_and_examples_that_are_refused() -> None:
    for name in DECODERS:
        cases = [json.loads(file.read_text()) for file in (TESTDATA / name).glob("*.json")]
        assert any(c["samples"] for c in cases), name
        assert any(c["refused"] for c in cases), name
        assert any(c["samples"] and c["refused"] for c in cases), name


@pytest.mark.parametrize(("name", "file"), CASES, ids=[f"{name}-{file.stem}" for name, file in CASES])
def test_an_example_is_read_as_it_says(name: str, file: Path) -> None:
    case = json.loads(file.read_text())
    decoder = DECODERS[name]()
    for earlier in case.get("before", []):
        decode(name, decoder, earlier["topic"], payload_of(earlier))
    found = decode(name, decoder, case.get("topic") or topics_of(name)[-1], payload_of(case))
    refused = [found] if isinstance(found, Undecodable) else list(found.refused)
    whole = Decoded() if isinstance(found, Undecodable) else found
    assert [{"ts": when(s.ts), "values": s.values} for s in whole.samples] == case["samples"]
    assert [r.reason for r in refused] == case["refused"]
    assert all(r.detail.isprintable() and 0 < len(r.detail) < 400 for r in refused)
    assert (whole.units or {}) == case.get("units", {})
    events = [{"kind": e.kind, "code": e.code, "detail": json.loads(e.detail)} for e in whole.events]
    assert events == case.get("events", [])
    assert [[s.device, s.online] for s in whole.statuses] == case.get("statuses", [])
    assert [r.topic for r in whole.requests] == case.get("requests", [])


numbers = st.floats() | st.integers()
words = st.sampled_from(
    [
        "ts",
        "values",
        "power",
        "n",
        "bn",
        "v",
        "bt",
        "t",
        "s",
        "u",
        "bver",
        "Time",
        "last_seen",
        "update",
        "state",
        "kind",
    ]
)
anything = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=5) | st.sampled_from(["online", "Online", "f1:power", "ON"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words | st.text(max_size=4), inner, max_size=4),
    max_leaves=8,
)


def changed(payload: bytes, at: int, to: bytes) -> bytes:
    """A payload of an example with a few bytes changed."""
    at %= len(payload) + 1
    return payload[:at] + to + payload[at + len(to) :]


EXAMPLES = {
    name: sorted({payload_of(json.loads(f.read_text())) for n, f in CASES if n == name}, key=len)[:40]
    for name in DECODERS
}


@pytest.mark.parametrize("name", list(DECODERS))
@settings(deadline=None)  # A busy machine stalls a payload for longer than any decoder takes.
@given(data=st.data())
def test_any_bytes_give_finite_samples_or_a_reason(name: str, data: st.DataObject) -> None:
    """Several messages to one decoder, so that what one with a memory remembers is strange as well."""
    examples = st.sampled_from(EXAMPLES[name])
    payloads = (
        st.binary(max_size=200)
        | anything.map(lambda value: json.dumps(value).encode())
        | st.builds(changed, examples, st.integers(0, 300), st.binary(max_size=3))
    )
    messages = data.draw(st.lists(st.tuples(st.sampled_from(topics_of(name)), payloads), min_size=1, max_size=4))
    decoder = DECODERS[name]()
    for topic, payload in messages:
        found = decode(name, decoder, topic, payload)
        if isinstance(found, Undecodable):
            assert found.detail
            continue
        for refused in found.refused:
            assert refused.detail
        for sample in found.samples:
            assert sample.values
            assert not math.isinf(sample.ts)
            assert all(isinstance(v, float) and math.isfinite(v) for v in sample.values.values())
        for event in found.events:
            json.loads(event.detail, parse_constant=pytest.fail)
        if found.letter:
            assert isinstance(found.letter(), bytes)


@pytest.mark.parametrize("name", list(DECODERS))
def test_the_strange_bytes_are_near_enough_to_be_read(name: str) -> None:
    """Else the test above would only ever see the first refusal of a decoder."""
    kinds = set()
    for payload in EXAMPLES[name]:
        for topic in topics_of(name):
            found = decode(name, DECODERS[name](), topic, changed(payload, 0, b""))
            kinds.add("refused" if isinstance(found, Undecodable) else "read" if found.samples else "nothing")
    assert {"read", "refused"} <= kinds
