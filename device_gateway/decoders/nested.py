"""Nested JSON objects as flat signals, as home devices send them: `{"AM2301": {"Temperature": 21.3}}`.

Names are joined by `_` and written in lower case, other characters become `_`: `am2301_temperature`. Booleans are 1 and 0,
and so are the words ON and OFF. These formats are full of other texts, nulls and lists by design (units, modes, names of
networks): they are no readings and are left out, not refused.
"""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime

from device_gateway.decoder import ATTRIBUTES, SERVER_TIME, Decoded, Reason, Said, Sample, Undecodable, shown
from device_gateway.lenient import finite, parse_leniently

_NO_NAME = re.compile(r"[^a-z0-9]+")
_WORDS = {"on": 1.0, "off": 0.0}
_DEEPEST = 8


def parse_object(payload: bytes) -> dict[str, object] | Undecodable:
    """The JSON object in `payload`."""
    value = parse_leniently(payload)
    if isinstance(value, dict | Undecodable):
        return value
    return Undecodable(Reason.WRONG_SHAPE, f"{shown(value)} is not an object")


def flat(value: Mapping[str, object], ts: float, *, without: frozenset[str], firmware: object = None) -> Decoded:
    """The numbers in `value` as one sample. Fields of its top level that stand in `without` are no signals."""
    values: dict[str, float] = {}
    refused: list[Undecodable] = []
    for name, found in _leaves({k: v for k, v in value.items() if k not in without}, "", 0):
        number = _number(found)
        if isinstance(number, Undecodable):
            refused.append(Undecodable(number.reason, f"{shown(name)}: {number.detail}"))
        elif number is not None and values.setdefault(name, number) != number:
            refused.append(Undecodable(Reason.BAD_VALUE, f"{shown(name)} stands there twice with different values"))
    return Decoded(samples=[Sample(ts, values)] if values else [], refused=refused, events=_attributes(ts, firmware))


def firmware_alone(ts: float, firmware: object) -> Decoded:
    """Only the firmware of a device, where it is named."""
    return Decoded(events=_attributes(ts, firmware))


def iso_time(text: object, *, offset_needed: bool) -> float | Undecodable:
    """A time of ISO 8601 in milliseconds since 1970. One without an offset is by a clock on some wall: server time."""
    if text is None:
        return SERVER_TIME
    try:
        time = datetime.fromisoformat(text) if isinstance(text, str) else None
        if time is not None and time.tzinfo is not None:
            return time.timestamp() * 1000
    except (ValueError, OverflowError):
        time = None
    if time is not None and not offset_needed:
        return SERVER_TIME
    return Undecodable(Reason.BAD_TIME, f"{shown(text)} is no time like 2026-01-31T12:00:00+01:00")


def _leaves(value: Mapping[str, object], start: str, depth: int) -> Iterator[tuple[str, object]]:
    for key, inner in value.items():
        name = "_".join(filter(None, (start, _NO_NAME.sub("_", key.lower()).strip("_"))))
        if isinstance(inner, Mapping):
            if depth < _DEEPEST:
                yield from _leaves(inner, name, depth + 1)
        elif name:
            yield name, inner


def _number(value: object) -> float | Undecodable | None:
    """A number; None for what is no reading by design."""
    if isinstance(value, bool):
        return float(value)
    if isinstance(value, str):
        return _WORDS.get(value.lower())
    return None if value is None or isinstance(value, list) else finite(value)


def _attributes(ts: float, firmware: object) -> tuple[Said, ...]:
    if not isinstance(firmware, str | int) or isinstance(firmware, bool) or not str(firmware).isprintable():
        return ()
    text = str(firmware)[:128]
    return (Said(ts, ATTRIBUTES, "", json.dumps({"firmware": text})),) if text else ()
