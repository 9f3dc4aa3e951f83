"""What a signal's values can be: one beyond what its sensor gives tells of the sensor, not of the device, live and in history alike."""

from collections.abc import Mapping

import numpy as np

from core.profile import Profile, Role, Signal
from telemetry.window import Bools, Floats, Ints


def ranges_of(signals: Mapping[str, Signal]) -> Floats:
    """[S, 2] the least and the greatest value that the sensor of each signal can give."""
    return np.array([signal.range for signal in signals.values()], dtype=np.float64).reshape(-1, 2)


def modes_of(signals: Mapping[str, Signal]) -> Bools:
    """[S] which signals are numbers of modes, so that the mean of two values is none."""
    return np.array([signal.role is Role.MODE for signal in signals.values()], dtype=bool)


def mode_signals(profiles: Mapping[str, Profile]) -> set[tuple[str, str]]:
    """Profile and signal of all that are numbers of modes."""
    return {
        (p, s) for p, profile in profiles.items() for s, signal in profile.signals.items() if signal.role is Role.MODE
    }


def outside(values: Floats, signal_at: Ints, ranges: Floats) -> Bools:
    """[N] whether each value is beyond what its sensor can give. signal_at: [N] positions in `ranges`, [S, 2]."""
    low, high = ranges[signal_at].T
    beyond: Bools = (values < low) | (values > high)
    return beyond
