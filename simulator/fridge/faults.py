"""What faults do to a refrigerator's parts. A fault never touches a signal, only the physics does."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Self

import numpy as np
import numpy.typing as npt

from simulator.plan import Fault, severity


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """The parts of all devices at one time, one value a device. A new device has ones, and zeros in the last three.

    cooling, motor_power, vibration, fan_speed, heater: share of the part's design value. infiltration: heat that
    enters by the door's gasket, W/K. sensor_bias: what the control sensor shows too much, K. seized: the compressor
    does not turn any more.
    """

    cooling: npt.NDArray[np.float64]
    motor_power: npt.NDArray[np.float64]
    vibration: npt.NDArray[np.float64]
    fan_speed: npt.NDArray[np.float64]
    heater: npt.NDArray[np.float64]
    infiltration: npt.NDArray[np.float64]
    sensor_bias: npt.NDArray[np.float64]
    seized: npt.NDArray[np.bool_]

    @classmethod
    def new(cls, count: int) -> Self:
        """All parts of `count` devices as made."""
        return cls(
            cooling=np.ones(count),
            motor_power=np.ones(count),
            vibration=np.ones(count),
            fan_speed=np.ones(count),
            heater=np.ones(count),
            infiltration=np.zeros(count),
            sensor_bias=np.zeros(count),
            seized=np.zeros(count, dtype=bool),
        )


def condition(
    faults: tuple[Fault, ...], now: datetime, *, duty: npt.NDArray[np.float64], cooling: npt.NDArray[np.float64]
) -> Condition:
    """The parts of all devices at `now`; `duty` (0..1) and `cooling` (W) are the devices' design values."""
    parts = Condition.new(len(duty))
    for fault in faults:
        if now > fault.onset:
            state = _State(
                at=fault.at,
                grown=severity(fault, now),
                broken=now >= fault.failure_time,
                duty=float(duty[fault.at]),
                cooling=float(cooling[fault.at]),
            )
            _EFFECT[fault.failure_mode](parts, state)
    return parts


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    """One fault at one time: the device, severity 0..1, whether it is broken; the device's design values."""

    at: int
    grown: float
    broken: bool
    duty: float
    cooling: float


def _wear(parts: Condition, fault: _State) -> None:
    parts.motor_power[fault.at] = 1 + 0.6 * fault.grown
    parts.vibration[fault.at] = 1 + 4 * fault.grown
    parts.cooling[fault.at] = 1 - 0.3 * fault.grown
    parts.seized[fault.at] = fault.broken


def _leak(parts: Condition, fault: _State) -> None:
    # At the failure the rest of the charge cools a little less than the device needs, running all the time.
    parts.cooling[fault.at] = 0.1 if fault.broken else 1 - (1 - 0.9 * fault.duty) * fault.grown
    parts.motor_power[fault.at] = 0.55 if fault.broken else 1 - 0.35 * fault.grown


def _fan(parts: Condition, fault: _State) -> None:
    parts.fan_speed[fault.at] = 0.0 if fault.broken else 1 - 0.75 * fault.grown


def _gasket(parts: Condition, fault: _State) -> None:
    # The spare cooling power, over the temperature differences of cabinet and freezer to the room.
    spare = (1 - fault.duty) * fault.cooling / (16 + 0.6 * 39)
    parts.infiltration[fault.at] = 1.15 * spare * (1.6 if fault.broken else fault.grown)


def _heater(parts: Condition, fault: _State) -> None:
    parts.heater[fault.at] = 0.0 if fault.broken else 1 - 0.75 * fault.grown


def _drift(parts: Condition, fault: _State) -> None:
    # At the failure the cabinet is just below freezing while its sensor shows the set point.
    parts.sensor_bias[fault.at] = 8 if fault.broken else 5.5 * fault.grown


_EFFECT: dict[str, Callable[[Condition, _State], None]] = {
    FailureMode.COMPRESSOR_WEAR: _wear,
    FailureMode.REFRIGERANT_LEAK: _leak,
    FailureMode.FAN_DEGRADATION: _fan,
    FailureMode.GASKET_LEAK: _gasket,
    FailureMode.HEATER_DEGRADATION: _heater,
    FailureMode.SENSOR_DRIFT: _drift,
}
