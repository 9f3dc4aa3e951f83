"""Engines that fly in one condition, as if they flew in six: so the set itself says what the conditions cost."""

from dataclasses import replace

import numpy as np

from telemetry.recorded import Recording

_SETTINGS = np.array([[0.0, 0.0], [10.0, 0.25], [20.0, 0.7], [25.0, 0.62], [35.0, 0.84], [42.0, 0.84]])
"""Altitude (1000 ft) and Mach number, as FD002 and FD004 of C-MAPSS fly."""
_OFFSET = 40.0
"""By how many of its spreads a condition moves a sensor, as a standard deviation."""
_GAIN = (0.4, 1.4)


def six(recording: Recording) -> Recording:
    """The same recording with one of six conditions drawn for each row, told by `op1` and `op2`, in which each sensor has an offset
    and a gain of its own.
    """
    random = np.random.default_rng(5)
    flown = random.integers(len(_SETTINGS), size=len(recording.times))
    values = recording.values.copy()
    for at, name in enumerate(recording.signals):
        own = values[:, at]
        if name in ("op1", "op2"):
            values[:, at] = _SETTINGS[flown, int(name == "op2")] + random.normal(0.0, 0.002, len(own))
            continue
        middle, spread = np.nanmean(own), np.nanstd(own)
        offset, gain = random.normal(0.0, _OFFSET * spread, len(_SETTINGS)), random.uniform(*_GAIN, len(_SETTINGS))
        values[:, at] = middle + offset[flown] + gain[flown] * (own - middle)
    # What the sensors of one condition could give says nothing of six.
    return replace(recording, values=values, ranges=None)
