"""SenML, RFC 8428, as JSON and as CBOR: a pack of records that inherit base name, time, unit, value and sum.

A record's name, base name and name put together, is a signal's once the device is taken off its start: the device's own
name, or a URN such as `urn:dev:mac:0024befffe804ff1` (RFC 9039), with the separator behind it. Which device it is, the
topic says: it is what the broker let the client write to. A sum `s` is a reading of its own, `<name>_sum`.

Source: https://www.rfc-editor.org/rfc/rfc8428
"""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import cbor2

from device_gateway.decoder import SERVER_TIME, Decoded, Reason, Sample, Source, Undecodable, shown
from device_gateway.lenient import finite, parse_leniently

_RELATIVE_BELOW = 2**28
"""A time in seconds below this one is relative to now."""
_VERSIONS = frozenset([*range(1, 11), 26])
"""Versions that can be read: 10 is that of RFC 8428, 26 the same with secondary units (RFC 9100)."""
_LABELS = {
    -1: "bver", -2: "bn", -3: "bt", -4: "bu", -5: "bv", -6: "bs", 0: "n", 1: "u", 2: "v", 3: "vs", 4: "vb", 5: "s", 6: "t",
    7: "ut", 8: "vd",
}  # fmt: skip
_URN = re.compile(r"^urn:dev:[a-z0-9]+:[^:/_.]+")
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9:./_-]*$")
_SEPARATORS = ":/_.-"
_OTHER_VALUES = {"vs": "a text", "vb": "a boolean", "vd": "data"}
_NOTHING_LEFT = "value"
"""The signal of a record whose name is that of the device alone."""


class SenmlJsonDecoder:
    """The `senml_json` format."""

    topics: ClassVar[tuple[str, ...]] = ("senml/{device}/json",)
    stateful: ClassVar[bool] = False

    def decode(self, payload: bytes, source: Source, received: int) -> Decoded | Undecodable:
        """The samples of a pack; see `Decoder`."""
        pack = parse_leniently(payload)
        return pack if isinstance(pack, Undecodable) else _resolve(pack, source.device, received)


class SenmlCborDecoder:
    """The `senml_cbor` format."""

    topics: ClassVar[tuple[str, ...]] = ("senml/{device}/cbor",)
    stateful: ClassVar[bool] = False

    def decode(self, payload: bytes, source: Source, received: int) -> Decoded | Undecodable:
        """The samples of a pack; see `Decoder`."""
        if not payload:
            return Undecodable(Reason.EMPTY, "the payload is empty")
        file = io.BytesIO(payload)
        try:
            pack = cbor2.CBORDecoder(file, tag_hook=_no_tag).decode()
        except Exception as error:  # noqa: BLE001 — what strange bytes raise there has no bound: overflow, memory, dates
            text = " ".join(str(error).split())
            return Undecodable(Reason.NOT_CBOR, f"the payload is no CBOR: {shown(text)}")
        if not isinstance(pack, list):
            return Undecodable(Reason.WRONG_SHAPE, f"{shown(pack)} is no array of records")
        return _resolve([_labelled(record) for record in pack], source.device, received)


def _no_tag(_decoder: object, tag: object) -> object:
    return tag


def _labelled(record: object) -> object:
    """A record with the labels of JSON instead of CBOR's numbers."""
    if not isinstance(record, Mapping):
        return record
    return {_LABELS.get(key, key) if _is_number(key) else key: value for key, value in record.items()}


def _is_number(key: object) -> bool:
    return isinstance(key, int) and not isinstance(key, bool)


@dataclass(slots=True, kw_only=True)
class _Pack:
    """A pack while its records are resolved one after the other."""

    device: str
    now: float
    name: str = ""
    unit: str = ""
    time: float = 0.0
    value: float = 0.0
    sum: float = 0.0
    by_time: dict[float, dict[str, float]] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    refused: list[Undecodable] = field(default_factory=list)

    def refuse(self, at: int, reason: Reason, detail: str) -> None:
        self.refused.append(Undecodable(reason, f"record {at}: {detail}"))

    def keep(self, at: int, signal: str, unit: str, seconds: float, value: float | Undecodable) -> None:
        """Takes one value, unless the same signal has another unit or the same time already."""
        if isinstance(value, Undecodable):
            self.refuse(at, value.reason, f"{shown(signal)}: {value.detail}")
            return
        if self.units.setdefault(signal, unit) != unit:
            self.refuse(at, Reason.BAD_UNIT, f"{shown(signal)} is in {shown(unit)} here, in another unit before")
            return
        ts = SERVER_TIME if seconds == 0 else 1000 * (seconds + (self.now if seconds < _RELATIVE_BELOW else 0.0))
        ts = SERVER_TIME if seconds == 0 else float(round(ts))
        # NaN is no key that is found again.
        values = self.by_time.setdefault(0.0 if seconds == 0 else ts, {})
        if signal in values and values[signal] != value:
            self.refuse(at, Reason.BAD_VALUE, f"{shown(signal)} has two values at one time")
            return
        values[signal] = value


def _resolve(records: object, device: str, received: int) -> Decoded | Undecodable:
    if not isinstance(records, list):
        return Undecodable(Reason.WRONG_SHAPE, f"{shown(records)} is no array of records")
    if not records:
        return Undecodable(Reason.NO_VALUES, "the pack has no record")
    wrong = _wrong_as_a_whole(records)
    if wrong:
        return wrong
    pack = _Pack(device=device, now=received / 1e6)
    for at, record in enumerate(records):
        if isinstance(record, Mapping):
            _record(pack, at, record)
        else:
            pack.refuse(at, Reason.WRONG_SHAPE, f"{shown(record)} is not an object")
    samples = [Sample(ts or SERVER_TIME, values) for ts, values in pack.by_time.items()]
    if not samples and not pack.refused:
        return Undecodable(Reason.NO_VALUES, "no record has a value")
    units = {signal: unit for signal, unit in pack.units.items() if unit}
    return Decoded(samples=samples, refused=pack.refused, units=units or None)


def _wrong_as_a_whole(records: Sequence[object]) -> Undecodable | None:
    """What, by the RFC, spoils the whole pack: another version, or a field that must be understood and is not."""
    for at, record in enumerate(records):
        if not isinstance(record, Mapping):
            continue
        version = record.get("bver", 10)
        if not _is_number(version) or version not in _VERSIONS:
            return Undecodable(
                Reason.WRONG_VERSION, f"record {at}: version {shown(version)} cannot be read, only 10 can"
            )
        for key in record:
            if isinstance(key, str) and key.endswith("_"):
                return Undecodable(Reason.UNKNOWN_FIELD, f"record {at}: {shown(key)} has to be understood and is not")
    return None


def _record(pack: _Pack, at: int, record: Mapping[object, object]) -> None:
    if not _take_base(pack, at, record):
        return
    texts = {key: record.get(key, "") for key in ("n", "u")}
    wrong = next((key for key, text in texts.items() if not isinstance(text, str)), None)
    if wrong:
        pack.refuse(at, Reason.WRONG_SHAPE, f"`{wrong}`: {shown(texts[wrong])} is not a text")
        return
    name, unit = f"{pack.name}{texts['n']}", str(texts["u"]) or pack.unit
    has_value, has_sum = "v" in record, "s" in record
    other = next((key for key in _OTHER_VALUES if key in record), None)
    if not (has_value or has_sum or other):
        if "n" in record:
            pack.refuse(at, Reason.NO_VALUES, f"{shown(name)} has no value")
        return  # A record of base fields alone is for those after it.
    if len(name) > 128 or not _NAME.match(name):
        pack.refuse(
            at, Reason.WRONG_SHAPE, f"{shown(name)} is no name: a-z, A-Z, 0-9 and : . / _ -, a letter or digit first"
        )
        return
    seconds = finite(record.get("t", 0))
    if isinstance(seconds, Undecodable):
        pack.refuse(at, Reason.BAD_TIME, f"`t`: {seconds.detail}; write seconds")
        return
    seconds += pack.time
    if not -1e12 < seconds < 1e12:
        pack.refuse(at, Reason.BAD_TIME, f"{shown(seconds)} is no time in seconds")
        return
    signal = _signal(name, pack.device)
    if other:
        pack.refuse(at, Reason.BAD_VALUE, f"{shown(signal)} is {_OTHER_VALUES[other]} (`{other}`), not a number")
    elif has_value:
        pack.keep(at, signal, unit, seconds, _added(pack.value, record.get("v", 0)))
    if has_sum:
        # A sum over time is in the unit times seconds, which is a unit of the profile's own choice.
        pack.keep(at, f"{signal}_sum", "", seconds, _added(pack.sum, record.get("s", 0)))


def _take_base(pack: _Pack, at: int, record: Mapping[object, object]) -> bool:
    """Takes the base fields over; False when one of them cannot be read, so that the record cannot be either."""
    for key in ("bn", "bu"):
        text = record.get(key)
        if key in record and not isinstance(text, str):
            pack.refuse(at, Reason.WRONG_SHAPE, f"`{key}`: {shown(text)} is not a text")
            return False
    for key in ("bt", "bv", "bs"):
        number = finite(record.get(key, 0))
        if isinstance(number, Undecodable):
            pack.refuse(at, Reason.BAD_TIME if key == "bt" else number.reason, f"`{key}`: {number.detail}")
            return False
    pack.name, pack.unit = str(record.get("bn", pack.name)), str(record.get("bu", pack.unit))
    pack.time, pack.value, pack.sum = (
        float(record.get(key, before))  # type: ignore[arg-type]  # it was looked at above
        for key, before in (("bt", pack.time), ("bv", pack.value), ("bs", pack.sum))
    )
    return True


def _added(base: float, number: object) -> float | Undecodable:
    found = finite(number)
    return found if isinstance(found, Undecodable) else finite(base + found)


def _signal(name: str, device: str) -> str:
    """The name without the device at its start."""
    urn = _URN.match(name)
    start = urn.end() if urn else len(device) if name.startswith(device) else 0
    rest = name[start:]
    if start and not rest:
        return _NOTHING_LEFT
    if not start or (rest[0] not in _SEPARATORS and not urn):
        return name
    return rest.lstrip(_SEPARATORS) or _NOTHING_LEFT
