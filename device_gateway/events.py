"""Device events and status messages: JSON objects, or the bare words `online` and `offline`."""

import json
import re

from device_gateway.decoder import SERVER_TIME, Presence, Reason, Said, Undecodable, shown
from device_gateway.lenient import finite, parse_leniently

_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_LONGEST = 128


def decode_events(payload: bytes) -> tuple[list[Said], list[Undecodable]]:
    """The events in `payload`, an object or a list of them, and what cannot be read of it. Pure and total."""
    value = parse_leniently(payload)
    if isinstance(value, Undecodable):
        return [], [value]
    parts = value if isinstance(value, list) else [value]
    if not parts:
        return [], [Undecodable(Reason.NO_VALUES, "the list is empty")]
    events: list[Said] = []
    refused: list[Undecodable] = []
    for at, part in enumerate(parts):
        event = _event(part, f"element {at}: " if isinstance(value, list) else "")
        (refused if isinstance(event, Undecodable) else events).append(event)  # type: ignore[arg-type]
    return events, refused


def decode_status(payload: bytes) -> Presence | Undecodable:
    """Whether the device is online, and since when. Pure and total."""
    word: object = payload.strip()
    ts: object = None
    if word not in (b"online", b"offline"):
        value = parse_leniently(payload)
        if isinstance(value, Undecodable) and value.reason in (Reason.EMPTY, Reason.NOT_UTF8):
            return value
        word = value
        if isinstance(value, dict):
            word, ts = value.get("state"), value.get("ts")
        if word not in ("online", "offline"):
            found = shown(payload[:60]) if isinstance(word, Undecodable) else shown(word)
            return Undecodable(Reason.BAD_STATUS, f"{found} is neither online nor offline")
    time = SERVER_TIME if ts is None else finite(ts)
    if isinstance(time, Undecodable):
        return Undecodable(Reason.BAD_TIME, f"`ts`: {time.detail}; write milliseconds since 1970")
    return Presence(online=word in (b"online", "online"), ts=time)


def _event(part: object, where: str) -> Said | Undecodable:
    if not isinstance(part, dict):
        return Undecodable(
            Reason.WRONG_SHAPE,
            f'{where}{shown(part)} is not an object; write {{"ts": <ms since 1970>, "kind": "error", "code": "E23"}}',
        )
    ts = SERVER_TIME if part.get("ts") is None else finite(part["ts"])
    if isinstance(ts, Undecodable):
        return Undecodable(Reason.BAD_TIME, f"{where}`ts`: {ts.detail}; write milliseconds since 1970")
    kind, code = part.get("kind"), part.get("code", "")
    if isinstance(code, int) and not isinstance(code, bool):
        code = shown(code)
    for name, word in (("kind", kind), ("code", code)):
        if not isinstance(word, str) or len(word) > _LONGEST or not word.isprintable() or (name == "kind" and not word):
            return Undecodable(
                Reason.BAD_EVENT, f"{where}`{name}`: {shown(word)} is not a text of at most {_LONGEST} characters"
            )
    try:
        rest = {k: v for k, v in part.items() if k not in ("ts", "kind", "code")}
        detail = json.dumps(rest, allow_nan=False, ensure_ascii=False)
        detail.encode()
    except UnicodeEncodeError:
        return Undecodable(Reason.BAD_EVENT, f"{where}the detail holds half of a surrogate pair")
    except RecursionError:
        return Undecodable(Reason.BAD_EVENT, f"{where}the detail is nested too deeply")
    except ValueError:
        return Undecodable(Reason.NOT_FINITE, f"{where}the detail holds a number that is not finite")
    if _NUL.search(detail):
        return Undecodable(Reason.BAD_EVENT, f"{where}the detail holds the character U+0000, which no text may")
    return Said(ts=ts, kind=kind, code=code, detail=detail)  # type: ignore[arg-type]
