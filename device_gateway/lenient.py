"""Reads JSON of strangers: what a strict parser refuses as a whole is let through here so that it can be named."""

import json
import math

from device_gateway.decoder import Reason, Undecodable, shown


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
