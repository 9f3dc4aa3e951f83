"""What a detector is: it scores one tick of all devices of a profile, and learns afterwards from what was normal."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from core.profile import Profile
from telemetry.window import Bools, Floats, Tick

Columns = dict[str, NDArray[Any]]
"""State of D devices by field name; the first axis is the device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field of a detector's state for one device, and the value it starts with."""

    shape: tuple[int, ...] = ()
    dtype: str = "<f8"
    start: float = 0.0


Layout = Mapping[str, Field]


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """One question a detector answers for each device: one column of its score.

    A score of 1 or more is abnormal. It opens after `on_delay` ticks in which the device measured and was abnormal, and
    closes after `off_delay` such ticks below `off_below`. Gaps count for neither.
    """

    component: str
    failure_mode: str
    kind: str
    on_delay: int
    off_delay: int
    off_below: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalEvidence:
    """Why: one signal, its normal band and what was seen, in the signal's unit; contribution 0..1 of the score. hourly: the band is
    that of the hour at which it was told, others have others.
    """

    signal: str
    unit: str
    normal_low: float | None
    normal_high: float | None
    seen: float
    contribution: float
    direction: str
    hourly: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Prognosis:
    """Time to failure: one in ten fails before `p10`, half before `p50`, nine in ten before `p90`."""

    p10: timedelta
    p50: timedelta
    p90: timedelta


class Detector(Protocol):
    """Judges the devices of one profile. It holds no state of its own: all it knows of a device is in `Columns`."""

    name: ClassVar[str]
    tracks: tuple[Track, ...]
    layout: Layout

    @property
    def version(self) -> str:
        """Of its code, or of the model that it judges by: a state of another version is not gone on with."""
        ...

    def score(self, tick: Tick, state: Columns) -> Floats:
        """[D, K] score of each track, high is strange, NaN is "don't know yet". May take the tick's values into the
        part of the state that follows the present (running means), never into what it holds for normal.
        """
        ...

    def learn(self, tick: Tick, state: Columns, abnormal: Bools) -> None:
        """Takes the tick into what is normal. abnormal: [D, K], where the score was abnormal: not to be learnt from."""
        ...

    def because(self, tick: Tick, state: Columns, device: int, track: int) -> list[SignalEvidence]:
        """The signals behind the score of one device (its position) and track, strongest first."""
        ...


_WILD = 1e6


def believable(profile: Profile) -> Floats:
    """[S] the size beyond which no value of a signal counts: a million times what its range allows. Squares of what no
    sensor can have measured then stay finite.
    """
    return np.array([_WILD * max(map(abs, signal.range)) for signal in profile.signals.values()])


def least_spread(of_range: Floats | float, size: Floats, share: float) -> Floats:
    """The spread below which no difference of a signal means anything, where its usual spread is none: some part of its
    range, but no more than a share of its own usual size, since a range may be declared far too wide. What was never
    anything but zero has no size of its own.
    """
    return np.where(size > 0, np.minimum(of_range, share * size), of_range)


def or_zero(values: Floats) -> Floats:
    """The values, 0 where one is NaN; numpy's own `nan_to_num` takes five times as long for few."""
    return np.where(np.isnan(values), 0.0, values)


def total(values: Floats) -> Floats:
    """The sum along the last axis where that is short, which numpy takes ten times as long for."""
    found = np.zeros(values.shape[:-1])
    for at in range(values.shape[-1]):
        found += values[..., at]
    return found


def alone(device: int, state: Columns) -> Columns:
    """The state of the device at a position alone."""
    return {name: column[device : device + 1] for name, column in state.items()}


def fresh(layout: Layout, devices: int) -> Columns:
    """The state of devices that were never seen."""
    return {name: np.full((devices, *f.shape), f.start, dtype=f.dtype) for name, f in layout.items()}


def record(layout: Layout) -> np.dtype[np.void]:
    """The fixed-size binary record of one device's state."""
    return np.dtype([(name, f.dtype, f.shape) for name, f in layout.items()])


def pack(layout: Layout, state: Columns, at: int) -> bytes:
    """The state of the device at position `at`."""
    row = np.zeros((), dtype=record(layout))
    for name in layout:
        row[name] = state[name][at]
    return row.tobytes()


def unpack(layout: Layout, packed: bytes, state: Columns, at: int) -> bool:
    """Puts a packed state at position `at`; False when it has another layout and was left alone."""
    kind = record(layout)
    if len(packed) != kind.itemsize:
        return False
    if not layout:
        return True
    row = np.frombuffer(packed, dtype=kind)[0]
    for name in layout:
        state[name][at] = row[name]
    return True
