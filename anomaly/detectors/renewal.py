"""What a replaced component begins anew with: its signals may find another level, which is no fault of the new part."""

import numpy as np

from anomaly.asked import Asked
from anomaly.detector import Columns, Field, Layout, or_zero
from core.profile import Profile
from telemetry.window import Bools, Floats, Marks

_FOR = 3
"""It may for so many times the smoothing after a replacement; what it is then is its new normal."""


class Renewal:
    """Follows S judged signals of each device through replacements of their components."""

    def __init__(self, profile: Profile, judged: tuple[str, ...], asked: Asked, strange: float) -> None:
        """strange: from which deviation on, in thresholds, a level is told of, or none that would be learnt."""
        self._strange = strange
        self._of = {c: np.array([profile.signals[n].component == c for n in judged]) for c in profile.components}
        either = asked.either.any(axis=0)
        self._high = (asked.signs > 0).any(axis=0) | either
        self._low = (asked.signs < 0).any(axis=0) | either
        self.layout: Layout = {
            "renewing": Field(shape=(len(judged),)),  # ticks in which it may find another level
            "before": Field(shape=(len(judged),)),  # the deviation when its component was replaced
        }

    def begin(self, replaced: Marks, deviation: Floats, smooth: Floats, state: Columns) -> None:
        """Takes what was replaced in a tick. deviation: [D, S] as last judged. smooth: [D, S] or [1, 1] ticks."""
        for device, what in zip(replaced.device.tolist(), replaced.what.tolist(), strict=True):
            own = self._of.get(replaced.names[what])
            if own is None or not own.any():
                continue
            first = own & (state["renewing"][device] <= 0)
            state["before"][device] = np.where(first, or_zero(deviation[device]), state["before"][device])
            ticks = np.broadcast_to(_FOR * smooth, state["renewing"].shape)[device]
            state["renewing"][device] = np.where(own, ticks, state["renewing"][device])

    @staticmethod
    def goes_on(state: Columns) -> bool:
        """Whether any device has a part that is that new."""
        return bool((state["renewing"] > 0).any())

    def since(self, smooth: Floats, state: Columns) -> Floats | None:
        """[D, S] ticks since a signal's component was replaced, infinite where that is over; None where it is everywhere."""
        if not self.goes_on(state):
            return None
        return np.where(state["renewing"] > 0, np.maximum(_FOR * smooth - state["renewing"], 0.0) + 1.0, np.inf)

    def known(self, deviation: Floats, state: Columns) -> Floats:
        """[D, S] the deviation, NaN where it may be what a new part is like."""
        if not self.goes_on(state):
            return deviation
        return np.where((state["renewing"] > 0) & self._another(deviation, state), np.nan, deviation)

    def over(self, passed: Floats, deviation: Floats, state: Columns) -> Bools:
        """Lets [D, S] ticks pass. Returns where the time is over now, and the signal has another level than before."""
        renewing = state["renewing"] > 0
        state["renewing"] = np.maximum(state["renewing"] - passed, 0.0)
        return renewing & (state["renewing"] <= 0) & self._another(deviation, state)

    def _another(self, deviation: Floats, state: Columns) -> Bools:
        """[D, S] where a signal would be told of, but not as before its component was replaced: then it was not that part."""
        told = (np.abs(deviation) >= self._strange) & np.where(deviation > 0, self._high, self._low)
        return told & ~((np.abs(state["before"]) >= self._strange) & (state["before"] * deviation > 0))
