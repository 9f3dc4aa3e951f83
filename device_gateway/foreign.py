"""Decoders of other packages: loaded by their entry points, and held to what `device_gateway.decoder` asks of them.

Ours keep to it by their tests. What a stranger's decoder returns is looked through before it comes near a batch, since a
batch that cannot be made would stop the gateway, and again after each start.
"""

import json
import math
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import msgspec
import numpy as np

from core.errors import InvalidSettings
from device_gateway.decoder import Decoded, Decoder, Presence, Request, Said, Sample, Source, Undecodable, shown

GROUP = "forewarn.decoders"


def foreign() -> dict[str, type[Decoder]]:
    """The decoders of installed packages, by name. Raises InvalidSettings for one that cannot be used."""
    return {found.name: _load(found) for found in entry_points(group=GROUP)}


def _load(found: EntryPoint) -> type[Decoder]:
    package = f" of the package {found.dist.name} {found.dist.version}" if found.dist else ""
    what = f"the decoder {found.name!r}{package} ({found.value})"
    try:
        decoder: Any = found.load()
    except Exception as error:
        raise InvalidSettings(
            f"{what} cannot be loaded: {type(error).__name__}: {error}. Mend or uninstall the package"
        ) from error
    topics = getattr(decoder, "topics", None)
    if not isinstance(topics, tuple) or not topics or not all(isinstance(topic, str) for topic in topics):
        raise InvalidSettings(f"{what} has no `topics`, a tuple of topic patterns like ('csv/{{device}}',)")
    if not isinstance(getattr(decoder, "stateful", None), bool):
        raise InvalidSettings(
            f"{what} does not say by `stateful`, True or False, whether messages depend on each other"
        )
    if not callable(getattr(decoder, "decode", None)):
        raise InvalidSettings(f"{what} has no method `decode`")
    loaded: type[Decoder] = decoder
    return loaded


class _Parts(msgspec.Struct):
    """What `Decoded` says of its parts, as msgspec checks it."""

    samples: list[Sample]
    refused: list[Undecodable]
    events: list[Said]
    statuses: list[Presence]
    units: dict[str, str] | None
    requests: list[Request]


def _plain(value: object) -> object:
    """`value` by way of lists, dicts and numbers of Python's own; those of numpy are as good."""
    return msgspec.to_builtins(value, builtin_types=(bytes,), enc_hook=_number)


def _number(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"it returned {shown(value)}, a {type(value).__name__}")


class Checked:
    """A decoder of another package. Raises, like that one may, when what it returns is not as agreed."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self.stateful = decoder.stateful

    def decode(self, payload: bytes, source: Source, received: int) -> Decoded | Undecodable:
        """What the decoder returned, once it is seen to be as agreed."""
        found: object = self._decoder.decode(payload, source, received)
        if isinstance(found, Undecodable):
            return msgspec.convert(_plain(found), Undecodable)
        if not isinstance(found, Decoded):
            raise TypeError(f"it returned {shown(found)}, which is neither Decoded nor Undecodable")
        # By way of plain values, since msgspec believes that what is of its own types is right already.
        parts = msgspec.convert(_plain({name: getattr(found, name) for name in _Parts.__struct_fields__}), _Parts)
        for sample in parts.samples:
            if not sample.values or not all(map(math.isfinite, sample.values.values())):
                raise ValueError(f"it returned the values {shown(sample.values)}: some, and finite ones, are needed")
        times = [s.ts for s in parts.samples] + [e.ts for e in parts.events] + [p.ts for p in parts.statuses]
        if any(map(math.isinf, times)):
            raise ValueError("it returned a `ts` that is infinite")
        for event in parts.events:
            if not isinstance(json.loads(event.detail), dict):
                raise TypeError(f"it returned the event detail {shown(event.detail)}, which is no JSON object")
        # Asked for now, since it may fail as well.
        letter = None if found.letter is None else msgspec.convert(found.letter(), bytes)
        return Decoded(
            samples=parts.samples,
            refused=parts.refused,
            events=parts.events,
            statuses=parts.statuses,
            units=parts.units,
            requests=parts.requests,
            letter=None if letter is None else lambda: letter,
        )
