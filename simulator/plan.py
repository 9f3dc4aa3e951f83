"""What will happen in a fleet: who owns which device, what fails when, which harmless oddities come in between.

A plan is made from a seed before anything runs (see planning). It is the ground truth: the physics follows it, and
detection is judged against it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import numpy as np

from simulator.customers import Device

INTERVAL = timedelta(minutes=10)
"""Every device measures means over such intervals; all intervals of the fleet end at the same times."""


_STEEPNESS = 4.0


class Growth(StrEnum):
    """How a fault's severity rises from onset to failure."""

    LINEAR = "linear"
    QUADRATIC = "quadratic"
    EXPONENTIAL = "exponential"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One growing fault of the device with the number `at`; `failure_mode` is one of its product's."""

    at: int
    failure_mode: str
    onset: datetime
    failure_time: datetime
    growth: Growth


def severity(fault: Fault, now: datetime) -> float:
    """0 before the onset, rising by the fault's growth to 1 at its failure and after."""
    share = (now - fault.onset) / (fault.failure_time - fault.onset)
    share = min(max(share, 0.0), 1.0)
    match fault.growth:
        case Growth.LINEAR:
            return share
        case Growth.QUADRATIC:
            return share**2
        case Growth.EXPONENTIAL:
            return float(np.expm1(_STEEPNESS * share) / np.expm1(_STEEPNESS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Oddity:
    """One harmless oddity of the device with the number `at`; `kind` is one of its product's."""

    at: int
    kind: str
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A component of the device with the number `at` was renewed on schedule: from `time` on it is as new."""

    at: int
    component: str
    time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A fleet's fate. `start` and `end` bound its history; live operation goes on after `end`. `moved`: so many whole days
    later than they were made for its days are lived: weather, weekdays and chance are those of the earlier date.
    """

    product: str
    seed: int
    start: datetime
    end: datetime
    devices: tuple[Device, ...]
    faults: tuple[Fault, ...]
    oddities: tuple[Oddity, ...]
    services: tuple[Service, ...] = ()
    moved: timedelta = timedelta(0)


def on_grid(time: datetime) -> datetime:
    """The latest end of an interval that is not after `time`."""
    return datetime.fromtimestamp(
        time.timestamp() // INTERVAL.total_seconds() * INTERVAL.total_seconds(), tz=time.tzinfo
    )
