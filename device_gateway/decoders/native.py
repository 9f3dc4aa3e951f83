"""Forewarn's own format, JSON: `{"ts": ms, "values": {...}}`, a list of them, or bare `{"signal": number}`.

Nearly all payloads are right, so they take a typed parse in C. Only what that refuses is read a second time, slowly,
to find what is good in it and to say what is not.
"""

import json
import math

import msgspec

from device_gateway.decoder import SERVER_TIME, Decoded, Reason, Sample, Undecodable, shown

_TYPED = msgspec.json.Decoder(Sample | list[Sample])
_BARE = msgspec.json.Decoder(dict[str, float])
_SHAPES = 'write {"ts": <ms since 1970>, "values": {"<signal>": <number>}}, a list of these, or {"<signal>": <number>}'


class NativeDecoder:
    """The `native` format."""

    def decode(self, payload: bytes) -> Decoded | Undecodable:
        """The samples in `payload`; see `Decoder`."""
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
    return Decoded(samples, tuple(refused))


def parse_leniently(payload: bytes) -> object:
    """The JSON value in `payload`, with NaN and Infinity let through so that they can be named; or Undecodable."""
    try:
        text = payload.decode()
    except UnicodeDecodeError as error:
        return Undecodable(Reason.NOT_UTF8, f"byte {error.start} is not UTF-8: {error.reason}")
    if not text.strip():
        return Undecodable(Reason.EMPTY, "the payload is empty")
    try:
        value: object = json.loads(text)
    except json.JSONDecodeError as error:
        return Undecodable(Reason.NOT_JSON, f"{error.msg} at character {error.pos}")
    except RecursionError:
        return Undecodable(Reason.NOT_JSON, "the JSON is nested too deeply")
    except ValueError:
        # Python reads integers of a few thousand digits at the most.
        return Undecodable(Reason.NOT_FINITE, "a number has too many digits")
    return value


def finite(value: object) -> float | Undecodable:
    """`value` as a finite number, or why it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return Undecodable(Reason.BAD_VALUE, f"{shown(value)} is not a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        return Undecodable(Reason.NOT_FINITE, f"{shown(number)} is not a finite number")
    return number


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
