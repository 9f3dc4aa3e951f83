"""Durations of a profile in ticks. What a profile does not say is a number of ticks, so that it fits any tick length."""

from datetime import timedelta

import numpy as np

from core.profile import Profile


def spell(duration: timedelta | None, profile: Profile, default: int) -> int:
    """Whole ticks that cover a duration, at least one; `default` ticks where the profile gives none."""
    return default if duration is None else max(1, int(np.ceil(duration / profile.tick)))
