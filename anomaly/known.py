"""The devices of one profile that a process has met, as one judge knows them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from anomaly.judge import Judge, State
from telemetry.window import Ints

SHADOW = "shadow "
"""Before the names of a shadow's states, so that they stand beside those of what is live."""

Packed = tuple[int, str, str, bytes]
"""Device, name of what keeps the state, version, state."""


@dataclass(slots=True)
class Known:
    """State of all devices of one profile that this process has met. model: the id of the model it judges by."""

    judge: Judge
    positions: dict[int, int]
    state: State
    prefix: str = ""
    model: int | None = None

    def at(self, devices: Sequence[int]) -> Ints:
        """Positions of devices that were met."""
        return np.array([self.positions[device] for device in devices], dtype=np.int64)

    def packed(self, part: State, devices: Sequence[int], chosen: Sequence[int]) -> list[Packed]:
        """What to store of those of `devices` at the positions `chosen`, by `part`, which is a state of these devices."""
        return [
            (devices[at], self.prefix + name, version, state)
            for at in chosen
            for name, version, state in self.judge.pack(part, at)
        ]
