"""Each registered decoder against the examples that stand beside it, refused ones included."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import device_gateway.decoders
from device_gateway.decoder import Decoded, Undecodable
from device_gateway.decoders import DECODERS

TESTDATA = Path(device_gateway.decoders.__file__).parent / "testdata"
CASES = [(name, file) for name in DECODERS for file in sorted((TESTDATA / name).glob("*.json"))]


def payload_of(case: dict[str, Any]) -> bytes:
    return bytes.fromhex(case["payload_hex"]) if "payload_hex" in case else case["payload"].encode()


def test_each_decoder_has_examples_that_are_read_and_examples_that_are_refused() -> None:
    for name in DECODERS:
        cases = [json.loads(file.read_text()) for file in (TESTDATA / name).glob("*.json")]
        assert any(c["samples"] for c in cases)
        assert any(c["refused"] for c in cases)
        assert any(c["samples"] and c["refused"] for c in cases)


@pytest.mark.parametrize(("name", "file"), CASES, ids=[f"{name}-{file.stem}" for name, file in CASES])
def test_an_example_is_read_as_it_says(name: str, file: Path) -> None:
    case = json.loads(file.read_text())
    found = DECODERS[name]().decode(payload_of(case))
    if isinstance(found, Undecodable):
        samples, refused = [], [found]
    else:
        samples, refused = found.samples, list(found.refused)
    times = [None if math.isnan(s.ts) else s.ts for s in samples]
    assert times == [s["ts"] for s in case["samples"]]
    assert [s.values for s in samples] == [s["values"] for s in case["samples"]]
    assert [r.reason for r in refused] == case["refused"]
    assert all(r.detail.isprintable() and 0 < len(r.detail) < 400 for r in refused)


numbers = st.floats() | st.integers()
anything = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["ts", "values", "power"]) | st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=8,
)


@pytest.mark.parametrize("name", list(DECODERS))
@given(data=st.binary(max_size=200) | anything.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_give_finite_samples_or_a_reason(name: str, data: bytes) -> None:
    found = DECODERS[name]().decode(data)
    if isinstance(found, Decoded):
        assert found.samples or found.refused
        for sample in found.samples:
            assert sample.values
            assert not math.isinf(sample.ts)
            assert all(isinstance(v, float) and math.isfinite(v) for v in sample.values.values())
    else:
        assert found.detail
