"""Opaque cursors for paging by key: a page starts after the key of the last row seen, however many rows were added.

A cursor comes back from a stranger, so each part is checked as strictly as any other input.
"""

import base64
import binascii
import json

from core.errors import InvalidInput

_BIGINT = 2**63


def encode(*key: int | str) -> str:
    """The cursor for rows after `key`."""
    return base64.urlsafe_b64encode(json.dumps(key, separators=(",", ":")).encode()).decode().rstrip("=")


def decode(cursor: str, *kinds: type[int] | type[str]) -> tuple[int | str, ...]:
    """The key in `cursor`, whose parts are of `kinds`. Raises InvalidInput for what `encode` did not make."""
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        key = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True).decode("utf-8"))
    except (UnicodeError, binascii.Error, ValueError, RecursionError):
        raise InvalidInput("the cursor is not one that a page of this listing gave") from None
    if (
        not isinstance(key, list)
        or len(key) != len(kinds)
        or not all(_fits(part, kind) for part, kind in zip(key, kinds, strict=True))
    ):
        raise InvalidInput("the cursor is not one that a page of this listing gave")
    return tuple(key)


def numbers(cursor: str, count: int) -> tuple[int, ...]:
    """The key in `cursor`, made of `count` integers."""
    return tuple(int(part) for part in decode(cursor, *(int,) * count))


def _fits(part: object, kind: type[int] | type[str]) -> bool:
    if kind is int:
        return type(part) is int and -_BIGINT < part < _BIGINT
    return isinstance(part, str) and "\0" not in part and part.isprintable()
