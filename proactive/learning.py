"""Whether it is time to learn a profile's model anew, from what people confirmed: pure, and it says why."""

from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from anomaly.training import FEWEST

_MORE = 1.25
"""So many times the failures that the newest model knew are worth a new one."""


class Learning(StrEnum):
    """What was decided about a profile."""

    FEW = "no component has enough confirmed failures"
    NOTHING_NEW = "hardly anything was confirmed since the newest model"
    FIRST = "enough failures are confirmed for a first model"
    MORE = "many more failures are confirmed than the newest model knew"
    OTHER_PROFILE = "the profile changed since the newest model"

    @property
    def acts(self) -> bool:
        """Whether a model is to be learnt."""
        return self in {Learning.FIRST, Learning.MORE, Learning.OTHER_PROFILE}


def due(confirmed: Counter[str], newest: Mapping[str, Any] | None, *, same_profile: bool) -> Learning:
    """confirmed: failures by component. newest: the card of the newest model, if there is one; same_profile: whether it was
    learnt for the profile as it is now.
    """
    if max(confirmed.values(), default=0) < FEWEST:
        return Learning.FEW
    if newest is None:
        return Learning.FIRST
    if not same_profile:
        return Learning.OTHER_PROFILE
    return Learning.MORE if confirmed.total() >= _MORE * max(newest["failures"], 1) else Learning.NOTHING_NEW
