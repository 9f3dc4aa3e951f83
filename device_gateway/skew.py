"""Estimates by how much the clock of each device is wrong, from when its readings were measured and when they came.

What was buffered, or waited at a broker, comes late and looks like a clock that is behind. So of the lags in a span of
time only the least counts, and of many spans the median: a backlog fills one span or two, a wrong clock fills them all.
"""

from dataclasses import dataclass, field
from statistics import median

import numpy as np
from numpy.typing import NDArray

_SPANS = 12
_FEWEST = 3
_MOST_DEVICES = 1_000_000


@dataclass(slots=True)
class _Clock:
    """The lags of one device: the least of this span, which began at `since`, and those of the spans before."""

    since: float
    least: float
    before: list[float] = field(default_factory=list)
    told: float | None = None


class Skews:
    """The clocks of all devices that were heard. span: seconds of which the least lag counts."""

    def __init__(self, *, span: float = 300.0) -> None:
        self._span = span
        self._clocks: dict[int, _Clock] = {}

    def follow(self, device: NDArray[np.int32], lag: NDArray[np.float64], now: float) -> tuple[tuple[int, float], ...]:
        """Takes lags in seconds, one for each message, and the server's time in seconds.

        Returns the devices whose estimate changed by more than a second and a tenth of it, and by how many seconds their
        clock is behind; negative for one that is ahead.
        """
        order = np.lexsort((lag, device))
        devices, first = np.unique(device[order], return_index=True)
        changed = []
        for number, least in zip(devices.tolist(), lag[order][first].tolist(), strict=True):
            clock = self._clocks.get(number)
            if clock is None:
                if len(self._clocks) < _MOST_DEVICES:
                    self._clocks[number] = _Clock(now, least)
                continue
            if now - clock.since < self._span:
                clock.least = min(clock.least, least)
                continue
            clock.before = [*clock.before[1 - _SPANS :], clock.least]
            clock.since, clock.least = now, least
            estimate = median(clock.before)
            told = clock.told
            known = told is not None and abs(estimate - told) <= max(1.0, 0.1 * abs(told))
            if len(clock.before) >= _FEWEST and not known:
                clock.told = estimate
                changed.append((number, round(estimate, 3)))
        return tuple(changed)
