"""Forewarn's own format, JSON: `{"ts": ms, "values": {...}}`, a list of them, or bare `{"signal": number}`.

Nearly all payloads are right, so they take a typed parse in C. Only what that refuses is read a second time, slowly,
to find what is good in it and to say what is not.
"""

from typing import ClassVar

import msgspec

from device_gateway.decoder import SERVER_TIME, Decoded, Reason, Sample, Source, Undecodable, shown
from device_gateway.events import decode_events, decode_status
from device_gateway.lenient import finite, parse_leniently

_TYPED = msgspec.json.Decoder(Sample | list[Sample])
_BARE = msgspec.json.Decoder(dict[str, float])
_SHAPES = 'write {"ts": <ms since 1970>, "values": {"<signal>": <number>}}, a list of these, or {"<signal>": <number>}'


class NativeDecoder:
    """The `native` format."""

    topics: ClassVar[tuple[str, ...]] = (
        "forewarn/v1/{device}/{kind=telemetry|events|status|commands|results}",
        "forewarn/v1/#",
    )
    stateful: ClassVar[bool] = False

    def decode(self, payload: bytes, source: Source, received: int) -> Decoded | Undecodable:  # noqa: ARG002 — see Decoder
        """What is in `payload`; see `Decoder`."""
        if source.kind != "telemetry":
            return _other(payload, source.kind)
        try:
            if b'"values"' in payload:
                found = _TYPED.decode(payload)
                samples = found if type(found) is list else [found]
                if samples and all(s.values for s in samples):
                    return Decoded(samples)
            else:
                values = _BARE.decode(payload)
                if values and "ts" not in values:
                    return Decoded([Sample(SERVER_TIME, values)])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass  # Not the usual case: the slow reading below finds out what is wrong and says it.
        return _explain(payload)


def _other(payload: bytes, kind: str) -> Decoded | Undecodable:
    if kind == "events":
        events, refused = decode_events(payload)
        return Decoded(events=events, refused=refused)
    if kind == "status":
        status = decode_status(payload)
        return status if isinstance(status, Undecodable) else Decoded(statuses=(status,))
    return Decoded()  # Commands go to devices, results to who sent the command: neither is for the gateway.


def _explain(payload: bytes) -> Decoded | Undecodable:
    value = parse_leniently(payload)
    if isinstance(value, Undecodable):
        return value
    samples: list[Sample] = []
    refused: list[Undecodable] = []
    if isinstance(value, list):
        if not value:
            return Undecodable(Reason.NO_VALUES, "the list is empty")
        for at, part in enumerate(value):
            _read_sample(part, f"element {at}: ", samples, refused)
    elif isinstance(value, dict) and ("ts" in value or "values" in value):
        _read_sample(value, "", samples, refused)
    elif isinstance(value, dict):
        _keep(SERVER_TIME, value, "", samples, refused)
    else:
        return Undecodable(Reason.WRONG_SHAPE, f"{shown(value)} is neither an object nor a list; {_SHAPES}")
    return Decoded(samples, refused)


def _read_sample(part: object, where: str, samples: list[Sample], refused: list[Undecodable]) -> None:
    if not isinstance(part, dict) or not isinstance(part.get("values"), dict):
        refused.append(Undecodable(Reason.WRONG_SHAPE, f"{where}{shown(part)} has no object `values`; {_SHAPES}"))
        return
    if "ts" not in part:
        refused.append(Undecodable(Reason.BAD_TIME, f"{where}`ts` is missing beside `values`"))
        return
    ts = finite(part["ts"])
    if isinstance(ts, Undecodable):
        refused.append(Undecodable(Reason.BAD_TIME, f"{where}`ts`: {ts.detail}; write milliseconds since 1970"))
        return
    refused.extend(
        Undecodable(Reason.UNKNOWN_FIELD, f"{where}{shown(name)} stands beside `ts` and `values`")
        for name in part
        if name not in ("ts", "values")
    )
    _keep(ts, part["values"], where, samples, refused)


def _keep(ts: float, values: dict[str, object], where: str, samples: list[Sample], refused: list[Undecodable]) -> None:
    if not values:
        refused.append(Undecodable(Reason.NO_VALUES, f"{where}there is no value"))
        return
    good: dict[str, float] = {}
    for name, value in values.items():
        number = finite(value)
        if isinstance(number, Undecodable):
            refused.append(Undecodable(number.reason, f"{where}{shown(name)}: {number.detail}"))
        else:
            good[name] = number
    if good:
        samples.append(Sample(ts, good))
