"""Topic patterns: which topics a format reads, and how device and kind stand in them.

A pattern is a topic whose levels may be placeholders: `tele/{device}/{kind=SENSOR|LWT}`. `{kind}` tells what is said
there and lists the words it may be; all other placeholders, joined by `:`, are the device's name. A pattern may end in
`#`: what only that matches belongs to nobody, and is subscribed to so that it ends in dead letters and not in nothing.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from core.errors import InvalidSettings
from device_gateway.decoder import Source

_PLACEHOLDER = re.compile(r"^\{([a-z]+)(?:=([^/{}+#]+))?\}$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """One pattern, taken apart: each level is a text, or None for a part of the device's name, or the kinds."""

    text: str
    levels: tuple[str | frozenset[str] | None, ...]
    rest: bool

    @classmethod
    def parse(cls, text: str, kinds: frozenset[str] = frozenset()) -> Self:
        """The pattern in `text`; `kinds` are those of a `{kind}` that lists none. Raises InvalidSettings."""
        written = text.split("/")
        rest = written[-1] == "#"
        levels: list[str | frozenset[str] | None] = []
        for level in written[:-1] if rest else written:
            found = _PLACEHOLDER.match(level)
            if found and found[1] == "kind":
                levels.append(frozenset(found[2].split("|")) if found[2] else kinds)
            elif found and not found[2]:
                levels.append(None)
            elif any(character in level for character in "{}+#") or not text.isprintable():
                raise InvalidSettings(f"{text!r} is no topic pattern: {level!r} is neither a text nor {{device}}")
            else:
                levels.append(level)
        if not rest and None not in levels:
            raise InvalidSettings(f"{text!r} is no topic pattern: no level names the device, like {{device}}")
        if not rest and any(level == frozenset() for level in levels):
            raise InvalidSettings(f"{text!r} is no topic pattern: write the kinds, like {{kind=SENSOR|LWT}}")
        return cls(text=text, levels=tuple(levels), rest=rest)

    @property
    def kinds(self) -> frozenset[str]:
        """The words that the kind may be."""
        return frozenset(word for level in self.levels if isinstance(level, frozenset) for word in level)

    @property
    def filters(self) -> list[str]:
        """The MQTT topic filters that give all topics of this pattern, and none besides where that can be said."""
        heads = [""]
        for level in self.levels:
            words = sorted(level) if isinstance(level, frozenset) else ["+" if level is None else level]
            heads = [f"{head}{word}/" for head in heads for word in words]
        return [head + "#" if self.rest else head[:-1] for head in heads]

    def match(self, topic: str) -> Source | None:
        """Where a message on `topic` comes from; None when the pattern does not match. No device: belongs to nobody."""
        parts = topic.split("/")
        if len(parts) < len(self.levels) or (len(parts) > len(self.levels) and not self.rest):
            return None
        names, kind = [], ""
        for level, part in zip(self.levels, parts, strict=False):
            if level is None:
                if not part:
                    return None
                names.append(part)
            elif isinstance(level, str):
                if part != level:
                    return None
            elif part in level:
                kind = part
            else:
                return None
        return Source(topic=topic, device="" if self.rest else ":".join(names), kind=kind)


def needed(filters: Iterable[str]) -> tuple[str, ...]:
    """The topic filters without those that another one covers, in their order."""
    wanted = list(dict.fromkeys(filters))
    return tuple(one for one in wanted if not any(other != one and _covers(other, one) for other in wanted))


def _covers(wide: str, narrow: str) -> bool:
    wide_levels, narrow_levels = wide.split("/"), narrow.split("/")
    for at, level in enumerate(wide_levels):
        if level == "#":
            return True
        if at >= len(narrow_levels) or narrow_levels[at] == "#" or level not in ("+", narrow_levels[at]):
            return False
    return len(wide_levels) == len(narrow_levels)
