"""What faults do to an air compressor's parts. A fault never touches a signal, only the physics does."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Self

import numpy as np
import numpy.typing as npt

from simulator.plan import Fault, severity


class FailureMode(StrEnum):
    """How an air compressor can fail, named as in its profile."""

    BEARING_WEAR = "bearing_wear"
    OIL_COOLER_FOULING = "oil_cooler_fouling"
    FILTER_CLOGGING = "filter_clogging"
    VALVE_LEAK = "valve_leak"
    INLET_VALVE_STICKING = "inlet_valve_sticking"
    WINDING_FAULT = "winding_fault"
    PRESSURE_SENSOR_DRIFT = "pressure_sensor_drift"


COMPONENT = {
    FailureMode.BEARING_WEAR: "air_end",
    FailureMode.OIL_COOLER_FOULING: "oil_circuit",
    FailureMode.FILTER_CLOGGING: "inlet_filter",
    FailureMode.VALVE_LEAK: "minimum_pressure_valve",
    FailureMode.INLET_VALVE_STICKING: "inlet_valve",
    FailureMode.WINDING_FAULT: "motor",
    FailureMode.PRESSURE_SENSOR_DRIFT: "pressure_sensor",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """The parts of all devices at one time, one value a device.

    friction, vibration, cooler, dust, current, winding_heat, opening: multiples of the part's design value: shaft power,
    vibration, the oil cooler's heat transfer, the filter's resistance, the motor's current and its heat, and how far the
    inlet valve opens under load. ajar: 0..1, how far the inlet valve stays open without load. backflow: air that the
    minimum pressure valve lets back, as a share of the capacity. shows_less: what the tank's pressure sensor shows too
    little, bar. stopped: the motor does not start any more.
    """

    friction: npt.NDArray[np.float64]
    vibration: npt.NDArray[np.float64]
    cooler: npt.NDArray[np.float64]
    dust: npt.NDArray[np.float64]
    current: npt.NDArray[np.float64]
    winding_heat: npt.NDArray[np.float64]
    opening: npt.NDArray[np.float64]
    ajar: npt.NDArray[np.float64]
    backflow: npt.NDArray[np.float64]
    shows_less: npt.NDArray[np.float64]
    stopped: npt.NDArray[np.bool_]

    @classmethod
    def new(cls, count: int) -> Self:
        """All parts of `count` devices as made."""
        return cls(
            friction=np.ones(count),
            vibration=np.ones(count),
            cooler=np.ones(count),
            dust=np.ones(count),
            current=np.ones(count),
            winding_heat=np.ones(count),
            opening=np.ones(count),
            ajar=np.zeros(count),
            backflow=np.zeros(count),
            shows_less=np.zeros(count),
            stopped=np.zeros(count, dtype=bool),
        )


def condition(faults: tuple[Fault, ...], now: datetime, count: int) -> Condition:
    """The parts of all `count` devices at `now`."""
    parts = Condition.new(count)
    for fault in faults:
        if now > fault.onset:
            _EFFECT[fault.failure_mode](parts, fault.at, severity(fault, now), now >= fault.failure_time)
    return parts


def _bearing(parts: Condition, at: int, grown: float, broken: bool) -> None:
    parts.vibration[at] = 1 + 3 * grown
    parts.friction[at] = 1 + 0.08 * grown
    parts.stopped[at] = broken


def _cooler(parts: Condition, at: int, grown: float, broken: bool) -> None:
    # At the failure a usual shift's heat brings the oil to the temperature at which the controller stops the motor.
    parts.cooler[at] = 0.25 if broken else 1 - 0.5 * grown


def _filter(parts: Condition, at: int, grown: float, broken: bool) -> None:
    # A full element lets a tenth less air through; at the failure it collapses and shuts the inlet.
    parts.dust[at] = 60.0 if broken else 1 + 6 * grown


def _valve(parts: Condition, at: int, grown: float, broken: bool) -> None:
    # At the failure the separator keeps so much pressure that the motor cannot start against it.
    parts.backflow[at] = 0.25 * grown
    parts.stopped[at] = broken


def _inlet(parts: Condition, at: int, grown: float, broken: bool) -> None:
    # A sticky valve closes late and opens late; at the failure it stays shut.
    parts.ajar[at] = 0.5 * grown
    parts.opening[at] = 0.1 if broken else 1 - 0.2 * grown


def _winding(parts: Condition, at: int, grown: float, broken: bool) -> None:
    # Shorted turns draw current that turns into heat; at the failure the motor's protection keeps it off.
    parts.current[at] = 1 + 0.12 * grown
    parts.winding_heat[at] = 1 + 0.6 * grown
    parts.stopped[at] = broken


def _drift(parts: Condition, at: int, grown: float, broken: bool) -> None:
    # At the failure the tank's true pressure reaches its safety valve while the controller still wants more.
    parts.shows_less[at] = 2.5 if broken else 1.5 * grown


_EFFECT: dict[str, Callable[[Condition, int, float, bool], None]] = {
    FailureMode.BEARING_WEAR: _bearing,
    FailureMode.OIL_COOLER_FOULING: _cooler,
    FailureMode.FILTER_CLOGGING: _filter,
    FailureMode.VALVE_LEAK: _valve,
    FailureMode.INLET_VALVE_STICKING: _inlet,
    FailureMode.WINDING_FAULT: _winding,
    FailureMode.PRESSURE_SENSOR_DRIFT: _drift,
}
