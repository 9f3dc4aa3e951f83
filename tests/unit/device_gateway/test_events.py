import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_gateway.decoder import Said, Undecodable
from device_gateway.events import decode_events, decode_status


def test_an_event_is_read_with_its_detail() -> None:
    found = decode_events(b'{"ts": 5, "kind": "error", "code": "E23", "text": "fan", "n": [1]}')
    assert found == ([Said(ts=5.0, kind="error", code="E23", detail='{"text": "fan", "n": [1]}')], [])


def test_a_code_may_be_a_number_or_absent_and_a_time_may_be_missing() -> None:
    events, refused = decode_events(b'[{"kind": "error", "code": 23, "ts": 1}, {"kind": "maintenance", "ts": 2}]')
    assert [(e.kind, e.code) for e in events] == [("error", "23"), ("maintenance", "")]
    assert not refused
    assert math.isnan(decode_events(b'{"kind": "state"}')[0][0].ts)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "empty"),
        (b"{", "not_json"),
        (b"[]", "no_values"),
        (b"7", "wrong_shape"),
        (b'{"code": "E1"}', "bad_event"),
        (b'{"kind": ""}', "bad_event"),
        (b'{"kind": 7}', "bad_event"),
        (b'{"kind": "a\\u0000"}', "bad_event"),
        (b'{"kind": "error", "code": null}', "bad_event"),
        (b'{"kind": "error", "code": true}', "bad_event"),
        (b'{"kind": "error", "x": "\\u0000"}', "bad_event"),
        (b'{"kind": "error", "x": "\\ud800"}', "bad_event"),
        (b'{"kind": "error", "x": NaN}', "not_finite"),
        (b'{"kind": "error", "ts": "now"}', "bad_time"),
    ],
)
def test_a_bad_event_is_refused_beside_a_good_one(payload: bytes, reason: str) -> None:
    events, refused = decode_events(payload)
    assert (len(events), [r.reason for r in refused]) == (0, [reason])
    if reason in ("bad_event", "not_finite", "bad_time"):
        events, refused = decode_events(b'[{"ts": 1, "kind": "state"}, ' + payload + b"]")
        assert (len(events), [r.reason for r in refused]) == (1, [reason])


def test_an_escaped_backslash_before_u0000_is_no_nul() -> None:
    assert not decode_events(b'{"kind": "error", "x": "\\\\u0000"}')[1]


@pytest.mark.parametrize(
    ("payload", "online"),
    [
        (b"online", True),
        (b"offline", False),
        (b" online\n", True),
        (b'"offline"', False),
        (b'{"state": "online", "ts": 5}', True),
    ],
)
def test_a_status_is_read(payload: bytes, online: bool) -> None:
    found = decode_status(payload)
    assert not isinstance(found, Undecodable)
    assert found[0] is online


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "empty"),
        (b"\xff", "not_utf8"),
        (b"ONLINE", "bad_status"),
        (b"1", "bad_status"),
        (b'{"state": []}', "bad_status"),
        (b'{"state": "online", "ts": "x"}', "bad_time"),
    ],
)
def test_a_bad_status_is_refused(payload: bytes, reason: str) -> None:
    found = decode_status(payload)
    assert isinstance(found, Undecodable)
    assert found.reason == reason


@given(st.binary(max_size=100))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    events, refused = decode_events(data)
    assert events or refused
    decode_status(data)
