"""Durations of a profile in ticks. What a profile does not say is a number of ticks, so that it fits any tick length."""

from datetime import timedelta

import numpy as np

from core.profile import Profile

_WARM_UP, _FEWEST = 168, 28
_LONGEST = timedelta(days=28)


def spell(duration: timedelta | None, profile: Profile, default: int) -> int:
    """Whole ticks that cover a duration, at least one; `default` ticks where the profile gives none."""
    return default if duration is None else max(1, int(np.ceil(duration / profile.tick)))


def warm_up(duration: timedelta | None, profile: Profile) -> int:
    """Ticks for which a signal must be known before it is judged. Where the profile gives none 168, a week of hours; where that is
    longer than four weeks as many as these have, but no fewer than 28.
    """
    return spell(duration, profile, min(_WARM_UP, max(_FEWEST, _LONGEST // profile.tick)))
