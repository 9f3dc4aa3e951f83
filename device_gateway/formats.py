"""Which formats one gateway reads, on which topics: what the setting `FOREWARN_FORMATS` says.

Formats come from `device_gateway.decoders` and, by the entry point group `forewarn.decoders`, from other packages.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.errors import InvalidSettings
from device_gateway.decoder import Decoder, Reader, Source
from device_gateway.decoders import DECODERS
from device_gateway.foreign import Checked, foreign
from device_gateway.topics import Pattern, needed


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where a message came from, and who reads it. format: the name of what reads it."""

    format: str
    source: Source
    decoder: Reader


class Formats:
    """The formats of a gateway in the order in which they are asked; each decoder is made once, with its state."""

    def __init__(self, chosen: Sequence[tuple[str, Reader, Sequence[Pattern]]]) -> None:
        self._chosen = chosen

    @property
    def filters(self) -> tuple[str, ...]:
        """The MQTT topic filters to subscribe to."""
        return needed(f for _, _, patterns in self._chosen for pattern in patterns for f in pattern.filters)

    @property
    def stateful(self) -> bool:
        """Whether a decoder needs all messages of its devices, so that gateways cannot share them."""
        return any(decoder.stateful for _, decoder, _ in self._chosen)

    def route(self, topic: str) -> Route | None:
        """Who reads a message on `topic`; None when no format does. A source without a device belongs to nobody."""
        for name, decoder, patterns in self._chosen:
            for pattern in patterns:
                source = pattern.match(topic)
                if source is not None:
                    return Route(format=name, source=source, decoder=decoder)
        return None


def available() -> dict[str, type[Decoder]]:
    """All formats by name: ours, and those of installed packages, which cannot take the place of one of ours.

    Raises InvalidSettings for a package whose decoder cannot be used.
    """
    return foreign() | DECODERS


def choose(text: str, decoders: Mapping[str, type[Decoder]] = DECODERS) -> Formats:
    """The formats in `text`: names, separated by commas, each with a topic pattern of its own if it is given one, like
    `native, senml_json=plant/{device}/senml`. Raises InvalidSettings.
    """
    by_name: dict[str, list[Pattern]] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        name, _, own = map(str.strip, part.partition("="))
        if name not in decoders:
            raise InvalidSettings(f"FOREWARN_FORMATS: there is no format {name!r}; there is {', '.join(decoders)}")
        patterns = by_name.setdefault(name, [])
        usual = [Pattern.parse(pattern) for pattern in decoders[name].topics]
        if own:
            patterns.append(Pattern.parse(own, frozenset(word for pattern in usual for word in pattern.kinds)))
        else:
            patterns += usual
    if not by_name:
        raise InvalidSettings(f"FOREWARN_FORMATS: names no format; there is {', '.join(decoders)}")
    return Formats([(name, _made(name, decoders[name]), patterns) for name, patterns in by_name.items()])


def _made(name: str, decoder: type[Decoder]) -> Reader:
    if decoder in DECODERS.values():
        return decoder()
    try:
        return Checked(decoder())
    except Exception as error:
        raise InvalidSettings(f"the decoder {name!r} cannot be made: {type(error).__name__}: {error}") from error
