"""Windows: gap-aware slices of signals by tick and device, columnar. What detectors see, live and in history."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Means of the readings of D devices of one profile and its S signals, at T ticks.

    devices: [D] device ids. signals: S names. times: [T] start of each tick in microseconds since the epoch (UTC),
    rising; ticks in which no device measured anything are left out, so neighbours may lie apart.
    values: [T, D, S] mean of a tick's readings in the signal's unit, NaN where there was none.
    """

    devices: Ints
    signals: tuple[str, ...]
    times: Ints
    values: Floats

    def ticks(self) -> Iterator["Tick"]:
        """The window's ticks in the order of time."""
        for at, time in enumerate(self.times):
            values = self.values[at]
            yield Tick(time=int(time), values=values, heard=np.isfinite(values).any(axis=1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """One tick of a window. time: its start, microseconds since the epoch. values: [D, S]. heard: [D], whether the
    device measured anything.
    """

    time: int
    values: Floats
    heard: Bools


def floor(time: int, tick: int) -> int:
    """The start of the tick that `time` lies in, both in microseconds."""
    return time - time % tick


def build(
    *,
    devices: Ints,
    signals: tuple[str, ...],
    tick: int,
    device_at: Ints,
    signal_at: Ints,
    times: Ints,
    values: Floats,
) -> Window:
    """The window of N readings given as columns.

    tick: its length in microseconds. device_at, signal_at: [N] positions in `devices` and `signals`.
    times: [N] microseconds since the epoch. values: [N]. The order of readings does not matter.
    """
    starts, at = np.unique(times - times % tick, return_inverse=True)
    shape = (len(starts), len(devices), len(signals))
    cell = (at * shape[1] + device_at) * shape[2] + signal_at
    size = shape[0] * shape[1] * shape[2]
    counts = np.bincount(cell, minlength=size)
    sums = np.bincount(cell, weights=values, minlength=size)
    with np.errstate(invalid="ignore"):
        means = sums / counts
    return Window(devices=devices, signals=signals, times=starts, values=means.reshape(shape))
