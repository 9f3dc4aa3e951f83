"""Which formats one gateway reads, on which topics: what the setting `FOREWARN_FORMATS` says.

Formats come from `device_gateway.decoders` and, by the entry point group `forewarn.decoders`, from other packages.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points

from core.errors import InvalidSettings
from device_gateway.decoder import Decoder, Source
from device_gateway.decoders import DECODERS
from device_gateway.topics import Pattern, needed

GROUP = "forewarn.decoders"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where a message came from, and who reads it."""

    source: Source
    decoder: Decoder


class Formats:
    """The formats of a gateway in the order in which they are asked; each decoder is made once, with its state."""

    def __init__(self, chosen: Sequence[tuple[Decoder, Sequence[Pattern]]]) -> None:
        self._chosen = chosen

    @property
    def filters(self) -> tuple[str, ...]:
        """The MQTT topic filters to subscribe to."""
        return needed(f for _, patterns in self._chosen for pattern in patterns for f in pattern.filters)

    @property
    def stateful(self) -> bool:
        """Whether a decoder needs all messages of its devices, so that gateways cannot share them."""
        return any(decoder.stateful for decoder, _ in self._chosen)

    def route(self, topic: str) -> Route | None:
        """Who reads a message on `topic`; None when no format does. A source without a device belongs to nobody."""
        for decoder, patterns in self._chosen:
            for pattern in patterns:
                source = pattern.match(topic)
                if source is not None:
                    return Route(source=source, decoder=decoder)
        return None


def available() -> dict[str, type[Decoder]]:
    """All formats by name: ours, and those of installed packages, which cannot take the place of one of ours."""
    return {found.name: found.load() for found in entry_points(group=GROUP)} | DECODERS


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
    return Formats([(decoders[name](), patterns) for name, patterns in by_name.items()])
