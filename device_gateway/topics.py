"""The native topics, `forewarn/v1/{device}/{kind}`: taken apart and put together in one place."""

from dataclasses import dataclass
from enum import StrEnum

PREFIX = "forewarn/v1/"
EVERYTHING = PREFIX + "#"
"""What a gateway subscribes to. All, so that a mistyped kind ends in dead letters and not in nothing."""


class Kind(StrEnum):
    """What is said on a topic of a device."""

    TELEMETRY = "telemetry"
    EVENTS = "events"
    STATUS = "status"
    COMMANDS = "commands"
    RESULTS = "results"


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """Who speaks, and of what."""

    device: str
    kind: Kind

    def __str__(self) -> str:
        return f"{PREFIX}{self.device}/{self.kind}"


_KINDS = {kind.value: kind for kind in Kind}


def parse(topic: str) -> Topic | None:
    """The parts of a native topic; None when it is not one."""
    if not topic.startswith(PREFIX):
        return None
    device, slash, kind = topic[len(PREFIX) :].partition("/")
    if not device or not slash or kind not in _KINDS:
        return None
    return Topic(device=device, kind=_KINDS[kind])
