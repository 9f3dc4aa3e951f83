"""What will happen in a fleet: who owns which device, what fails when, which harmless oddities come in between.

A plan is made from a seed before anything runs. It is the ground truth: the physics follows it, and detection is
judged against it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import numpy as np

from simulator.customers import Device, draw_devices

INTERVAL = timedelta(minutes=10)
"""Every device measures means over such intervals; all intervals of the fleet end at the same times."""

SETTLING = timedelta(days=8)
"""So long a device is healthy at the start of its history, if the history is long enough."""


class FailureMode(StrEnum):
    """How a refrigerator can fail, named as in its profile."""

    COMPRESSOR_WEAR = "compressor_wear"
    REFRIGERANT_LEAK = "refrigerant_leak"
    FAN_DEGRADATION = "fan_degradation"
    GASKET_LEAK = "gasket_leak"
    HEATER_DEGRADATION = "heater_degradation"
    SENSOR_DRIFT = "sensor_drift"


COMPONENT = {
    FailureMode.COMPRESSOR_WEAR: "compressor",
    FailureMode.REFRIGERANT_LEAK: "refrigerant_circuit",
    FailureMode.FAN_DEGRADATION: "evaporator_fan",
    FailureMode.GASKET_LEAK: "door_gasket",
    FailureMode.HEATER_DEGRADATION: "defrost_heater",
    FailureMode.SENSOR_DRIFT: "cabinet_sensor",
}


class Growth(StrEnum):
    """How a fault's severity rises from onset to failure."""

    LINEAR = "linear"
    QUADRATIC = "quadratic"
    EXPONENTIAL = "exponential"


class Harmless(StrEnum):
    """What is odd about a healthy device for a while."""

    HEAT_WAVE = "heat_wave"
    PARTY = "party"
    HOLIDAY = "holiday"
    POWER_CUT = "power_cut"
    WARMER_ROOM = "warmer_room"
    WARM_FOOD = "warm_food"
    WIFI_OUTAGE = "wifi_outage"


DURATION_HOURS = {
    Harmless.HEAT_WAVE: (48.0, 120.0),
    Harmless.PARTY: (4.0, 7.0),
    Harmless.HOLIDAY: (96.0, 240.0),
    Harmless.POWER_CUT: (1.0, 5.0),
    Harmless.WARMER_ROOM: (24.0 * 365, 24.0 * 365),
    Harmless.WARM_FOOD: (1.0, 2.0),
    Harmless.WIFI_OUTAGE: (2.0, 30.0),
}
"""Shortest and longest time of each oddity, hours. A device that was moved stays where it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One growing fault of the device with the number `at`."""

    at: int
    failure_mode: FailureMode
    onset: datetime
    failure_time: datetime
    growth: Growth


@dataclass(frozen=True, slots=True, kw_only=True)
class Oddity:
    """One harmless oddity of the device with the number `at`."""

    at: int
    kind: Harmless
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A fleet's fate. `start` and `end` bound its history; live operation goes on after `end`."""

    seed: int
    start: datetime
    end: datetime
    devices: tuple[Device, ...]
    faults: tuple[Fault, ...]
    oddities: tuple[Oddity, ...]


def on_grid(time: datetime) -> datetime:
    """The latest end of an interval that is not after `time`."""
    return datetime.fromtimestamp(
        time.timestamp() // INTERVAL.total_seconds() * INTERVAL.total_seconds(), tz=time.tzinfo
    )


def make(*, seed: int, devices: int, days: float, failing: int, end: datetime) -> Plan:
    """The plan of a fleet whose history of `days` ends at `end` (aware; rounded down to a whole interval).

    A quarter of the `failing` devices breaks in the last days before `end`, some three eighths soon after it (so
    these are failing, not broken, at `end`), the others earlier in the history. Failure modes take turns, so any six
    failing devices show all six. Raises ValueError for numbers that make no fleet.
    """
    if devices < 1 or days <= 0:
        raise ValueError("a fleet has at least one device and a history longer than nothing")
    if not 0 <= failing <= devices:
        raise ValueError(f"failing must be between 0 and the number of devices, {devices}")
    if end.tzinfo is None:
        raise ValueError("the end of the history needs a time zone")
    end = on_grid(end)
    start = on_grid(end - timedelta(days=days))
    rng = np.random.default_rng([seed, 1])
    order = [int(at) for at in rng.permutation(devices)]
    return Plan(
        seed=seed,
        start=start,
        end=end,
        devices=draw_devices(seed, devices),
        faults=_faults(rng, order[:failing], start, end),
        oddities=_oddities(rng, sorted(order[failing:]), start, end),
    )


def _faults(rng: np.random.Generator, devices: list[int], start: datetime, end: datetime) -> tuple[Fault, ...]:
    days = (end - start) / timedelta(days=1)
    healthy = min(SETTLING / timedelta(days=1), 0.3 * days)
    last = max(1, round(len(devices) / 4))
    soon = round(len(devices) * 3 / 8)
    modes = [list(FailureMode)[int(k)] for k in rng.permutation(len(FailureMode))]
    faults = []
    for n, at in enumerate(devices):
        length = float(rng.uniform(7, 25))
        # Days from `start` to the failure, by the group that the device falls into.
        recent, near, earlier = rng.uniform(days - 4, days - 0.25), rng.uniform(days + 0.5, days + 6), rng.uniform()
        earliest = healthy + 7
        if n < last:
            failure = float(recent)
        elif n < last + soon or earliest >= days - 4:
            failure = float(near)
        else:
            failure = earliest + float(earlier) * (days - 4 - earliest)
        # A fault is never shorter than three days, even if a short history leaves no healthy time then.
        length = max(3.0, min(length, failure - healthy))
        faults.append(
            Fault(
                at=at,
                failure_mode=modes[n % len(modes)],
                onset=on_grid(start + timedelta(days=failure - length)),
                failure_time=on_grid(start + timedelta(days=failure)),
                growth=list(Growth)[int(rng.integers(len(Growth)))],
            )
        )
    return tuple(sorted(faults, key=lambda fault: fault.at))


def _oddities(rng: np.random.Generator, devices: list[int], start: datetime, end: datetime) -> tuple[Oddity, ...]:
    days = (end - start) / timedelta(days=1)
    oddities = []
    for at in devices:
        # About one oddity a device and month, of which none overlap so that each can be judged alone.
        free_from = 0.0
        for _ in range(int(rng.poisson(days / 30))):
            kind = list(Harmless)[int(rng.integers(len(Harmless)))]
            length = float(rng.uniform(*DURATION_HOURS[kind])) / 24
            begin = free_from + float(rng.uniform(0.2, 1)) * max(0.0, days - free_from)
            if begin >= days:
                break
            begins = on_grid(start + timedelta(days=begin))
            ends = max(on_grid(begins + timedelta(days=length)), begins + INTERVAL)
            oddities.append(Oddity(at=at, kind=kind, start=begins, end=ends))
            free_from = begin + length
    return tuple(oddities)
