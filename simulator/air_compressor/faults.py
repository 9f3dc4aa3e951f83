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


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    """One fault at one time: the device, severity 0..1, whether it is broken; the cooler with which the device trips."""

    at: int
    grown: float
    broken: bool
    trips_at: float


def condition(faults: tuple[Fault, ...], now: datetime, *, trips_at: npt.NDArray[np.float64]) -> Condition:
    """The parts of all devices at `now`; `trips_at` is the share of its oil cooler with which a device gets too hot."""
    parts = Condition.new(len(trips_at))
    for fault in faults:
        if now > fault.onset:
            state = _State(
                at=fault.at,
                grown=severity(fault, now),
                broken=now >= fault.failure_time,
                trips_at=float(trips_at[fault.at]),
            )
            _EFFECT[fault.failure_mode](parts, state)
    return parts


def _bearing(parts: Condition, fault: _State) -> None:
    parts.vibration[fault.at] = 1 + 3 * fault.grown
    parts.friction[fault.at] = 1 + 0.08 * fault.grown
    parts.stopped[fault.at] = fault.broken


def _cooler(parts: Condition, fault: _State) -> None:
    # At the failure a usual shift's heat brings the oil to the temperature at which the controller stops the motor.
    parts.cooler[fault.at] = 0.6 * fault.trips_at if fault.broken else 1 - (1 - fault.trips_at) * fault.grown


def _filter(parts: Condition, fault: _State) -> None:
    # A full element lets a tenth less air through; at the failure it collapses and shuts the inlet.
    parts.dust[fault.at] = 60.0 if fault.broken else 1 + 6 * fault.grown


def _valve(parts: Condition, fault: _State) -> None:
    # At the failure the separator keeps so much pressure that the motor cannot start against it.
    parts.backflow[fault.at] = 0.25 * fault.grown
    parts.stopped[fault.at] = fault.broken


def _inlet(parts: Condition, fault: _State) -> None:
    # A sticky valve closes late and opens late; at the failure it stays shut.
    parts.ajar[fault.at] = 0.5 * fault.grown
    parts.opening[fault.at] = 0.1 if fault.broken else 1 - 0.2 * fault.grown


def _winding(parts: Condition, fault: _State) -> None:
    # Shorted turns draw current that turns into heat; at the failure the motor's protection keeps it off.
    parts.current[fault.at] = 1 + 0.12 * fault.grown
    parts.winding_heat[fault.at] = 1 + 0.6 * fault.grown
    parts.stopped[fault.at] = fault.broken


def _drift(parts: Condition, fault: _State) -> None:
    # At the failure the tank's true pressure reaches its safety valve while the controller still wants more.
    parts.shows_less[fault.at] = 2.5 if fault.broken else 1.5 * fault.grown


_EFFECT: dict[str, Callable[[Condition, _State], None]] = {
    FailureMode.BEARING_WEAR: _bearing,
    FailureMode.OIL_COOLER_FOULING: _cooler,
    FailureMode.FILTER_CLOGGING: _filter,
    FailureMode.VALVE_LEAK: _valve,
    FailureMode.INLET_VALVE_STICKING: _inlet,
    FailureMode.WINDING_FAULT: _winding,
    FailureMode.PRESSURE_SENSOR_DRIFT: _drift,
}
