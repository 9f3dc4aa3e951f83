"""Whether it is time to learn a profile's model anew, from what people confirmed, or its thresholds from what was normal: pure,
and it says why.
"""

from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from anomaly.learning.training import FEWEST

_MORE = 1.25
"""So many times the failures that the newest model knew are worth a new one."""
_ALARMS = 3
"""A history in which the budget allows fewer false alarms says too little of what a threshold costs."""
_LONGER = 2.0
"""Thresholds are set anew by a history so many times as long."""


class Learning(StrEnum):
    """What was decided about a profile."""

    FEW = "no component has enough confirmed failures"
    THRESHOLDS = "no component has enough confirmed failures, but the history is long enough to set thresholds by"
    LONGER = "the history is twice as long as that by which the thresholds were set"
    NOTHING_NEW = "hardly anything was confirmed since the newest model"
    FIRST = "enough failures are confirmed for a first model"
    MORE = "many more failures are confirmed than the newest model knew"
    OTHER_PROFILE = "the profile, or how models are learnt, changed since the newest model"

    @property
    def acts(self) -> bool:
        """Whether a model is to be learnt."""
        return self not in {Learning.FEW, Learning.NOTHING_NEW}


def due(
    confirmed: Counter[str], months: float, budget: float, newest: Mapping[str, Any] | None, *, same_profile: bool
) -> Learning:
    """confirmed: failures by component. months: device-months of history. budget: of false alarms a device-month. newest: the
    card of the newest model, if there is one; same_profile: whether it was learnt for the profile as it is now.
    """
    enough = max(confirmed.values(), default=0) >= FEWEST
    if not enough and months * budget < _ALARMS:
        return Learning.FEW
    if newest is None:
        return Learning.FIRST if enough else Learning.THRESHOLDS
    if not same_profile:
        return Learning.OTHER_PROFILE
    if enough:
        return Learning.MORE if confirmed.total() >= _MORE * max(newest["failures"], 1) else Learning.NOTHING_NEW
    known: float = newest.get("span_months", newest["device_months"])
    return Learning.LONGER if months >= _LONGER * known else Learning.NOTHING_NEW
