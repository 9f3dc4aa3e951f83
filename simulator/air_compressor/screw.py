"""The physics: oil-injected screw compressors with load/idle control and an air tank, one numpy lane for each device.

In steps of one minute. A compressor under load fills the tank and runs idle at the upper pressure; after some minutes
idle it stops, and starts at the lower pressure. Where it would switch more than once a minute, it is under load for the
share of the minute that balances what is taken. The oil carries the heat from the screw to the cooler, past which a
thermostat leads it while it is cold. The fastest node, the oil with a clean cooler, has a time constant of seven minutes.

Pressures in bar above the atmosphere, air in cubic metres a minute as taken in, heat in kW, temperatures in degrees
Celsius, currents in A.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from simulator.air_compressor.faults import Condition

Lane = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

STEP = 60.0
"""Seconds of one step."""

_SHAFT_KW = 22.0
_USUAL_PRESSURE = 7.5
_MORE_A_BAR = 0.065
_IDLE_SHARE, _AJAR_SHARE = 0.33, 0.5
_OIL_HEAT, _IDLE_HEAT = 0.8, 0.7
_OIL_CAPACITY, _OIL_FLOW = 120.0, 0.75
_COOLER, _HOUSING = 0.28, 0.02
_THERMOSTAT, _THERMOSTAT_SPAN, _THERMOSTAT_LEAST = 60.0, 12.0, 0.03
_TRIP, _TRIP_OVER = 110.0, 80.0
_MOTOR_LAG = 25.0
_SEPARATOR = 0.25
_BLOWDOWN = 0.6
_SAFETY = 1.7
_IDLE_PRESSURE = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """What each device is by manufacture and place; one value a device."""

    capacity: Lane
    tank: Lane
    upper: Lane
    band: Lane
    run_on: Lane
    current: Lane
    motor_rise: Lane
    cooler: Lane
    vibration: Lane
    resistance: Lane
    room: Lane
    room_swing: Lane
    use: Lane
    leaks: Lane
    begins: Lane
    ends: Lane
    saturdays: Mask

    @classmethod
    def draw(cls, rng: np.random.Generator, count: int) -> Self:
        """`count` devices with the scatter of production and of works; half of these work two shifts."""

        def near(middle: float, scatter: float) -> Lane:
            return middle * np.exp(scatter * rng.standard_normal(count))

        begins = rng.uniform(5.5, 7.5, count)
        return cls(
            capacity=near(3.5, 0.04),
            tank=near(2.0, 0.2),
            upper=np.clip(7.8 + 0.3 * rng.standard_normal(count), 7.1, 8.5),
            band=np.clip(near(0.7, 0.1), 0.5, 0.9),
            run_on=np.round(rng.uniform(3, 7, count)),
            current=near(41.0, 0.03),
            motor_rise=near(58.0, 0.05),
            cooler=near(1.0, 0.05),
            vibration=near(3.0, 0.15),
            resistance=near(12.0, 0.1),
            room=np.clip(23 + 2 * rng.standard_normal(count), 17, 28),
            room_swing=near(2.0, 0.25),
            use=np.clip(near(0.55, 0.15), 0.35, 0.75),
            leaks=np.clip(near(0.03, 0.3), 0.015, 0.06),
            begins=begins,
            ends=begins + np.where(rng.random(count) < 0.5, 9.0, 16.0),
            saturdays=rng.random(count) < 0.25,
        )

    def trips_at(self) -> Lane:
        """Share 0..1 of the healthy oil cooler with which the heat of a usual shift brings the oil to the trip, about."""
        heat = _SHAFT_KW * (_OIL_HEAT * self.use + _IDLE_HEAT * _IDLE_SHARE * (1 - self.use))
        share: Lane = heat / (_TRIP - self.room) / (_COOLER * self.cooler)
        return share


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What acts on the devices in one interval: air taken in each step [steps, D]; by device the supply's voltage as a
    multiple of the usual, how far filter and oil have aged, 0 new and 1 due, and how far each device's manner wanders
    from day to day: multiples of friction, vibration, the filter's resistance and the pressure without load.
    """

    room: Lane
    taken: npt.NDArray[np.float64]
    supply: Lane
    filter_age: Lane
    oil_age: Lane
    powered: Mask
    friction: Lane
    vibration: Lane
    resistance: Lane
    venting: Lane


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """Means over one interval, one value a device; of a mode of operation only over the time in it (else NaN)."""

    discharge_temp: Lane
    oil_temp: Lane
    discharge_pressure: Lane
    tank_pressure: Lane
    idle_pressure: Lane
    motor_current: Lane
    idle_current: Lane
    motor_temp: Lane
    vibration: Lane
    inlet_vacuum: Lane
    load: Lane
    running: Lane
    true_pressure: Lane
    tripped: Mask
    blowing: Mask


class ScrewCompressors:
    """The state of all devices; `run` takes it one interval further."""

    def __init__(self, design: Design, rng: np.random.Generator) -> None:
        count = len(design.room)
        self._design = design
        self._tank = design.upper - rng.uniform(0, 1, count) * design.band
        self._oil = rng.uniform(40, 70, count)
        self._motor = design.room + 20.0
        self._on = rng.random(count) < 0.5
        self._idle_minutes = np.zeros(count)
        self._tripped = np.zeros(count, dtype=bool)

    def run(self, around: Surroundings, parts: Condition) -> Means:
        """The next interval, as many steps as `around.taken` has."""
        d = self._design
        steps, count = around.taken.shape
        dust = d.resistance * around.resistance * (1 + 0.2 * around.filter_age) * parts.dust
        opening = parts.opening * np.maximum(1 - dust / 1000, 0.3)
        capacity = d.capacity * opening
        backflow = d.capacity * parts.backflow
        cooler = _COOLER * d.cooler * parts.cooler * (1 - 0.06 * around.oil_age)
        separator = _SEPARATOR * (1 + 0.4 * around.oil_age)
        friction = parts.friction * around.friction
        idle_share = (_IDLE_SHARE + _AJAR_SHARE * parts.ajar) * friction
        idle_current = d.current * idle_share * parts.current / around.supply
        can_run = around.powered & ~parts.stopped
        middle, lower = d.upper - d.band / 2, d.upper - d.band
        sums = np.zeros((8, count))
        blowing = np.zeros(count, dtype=bool)
        for taken in around.taken:
            shown = self._tank - parts.shows_less
            self._tripped = (self._oil > _TRIP) | (self._tripped & (self._oil > _TRIP_OVER))
            ready = can_run & ~self._tripped
            self._on = ready & (self._on | (shown < lower))
            # Tools get less air the less pressure there is; the works' demand is not met then.
            wanted = taken * np.clip(self._tank / 5, 0, 1)
            slow = wanted + backflow < 0.5 * d.band * d.tank
            target = np.where(slow, d.upper, middle) + parts.shows_less
            share = (wanted + backflow + (target - self._tank) * d.tank) / (capacity + backflow)
            loaded = np.where(self._on & (~slow | (shown < lower)), np.clip(share, 0, 1), 0.0)
            idle: Lane = self._on - loaded
            change = (loaded * capacity - wanted - (1 - loaded) * backflow) / d.tank
            limit = d.upper + _SAFETY
            blowing |= self._tank + change > limit
            self._tank = np.clip(self._tank + change, 0, limit)
            self._idle_minutes = np.where(loaded > 0, 0, self._idle_minutes + self._on)
            self._on &= self._idle_minutes < d.run_on

            shaft = friction * (1 + _MORE_A_BAR * (self._tank + separator - _USUAL_PRESSURE)) * (0.4 + 0.6 * opening)
            heat = _SHAFT_KW * (_OIL_HEAT * loaded * shaft + _IDLE_HEAT * idle * idle_share)
            open_share = np.clip((self._oil - _THERMOSTAT) / _THERMOSTAT_SPAN, _THERMOSTAT_LEAST, 1)
            running = loaded + idle
            cooled = (cooler * open_share * running + _HOUSING) * (self._oil - around.room)
            current = d.current * shaft * parts.current / around.supply
            drawn = (loaded * current + idle * idle_current) / d.current
            warmth = around.room + d.motor_rise * parts.winding_heat * drawn**2
            self._motor += (warmth - self._motor) / _MOTOR_LAG
            for row, value in enumerate(
                (
                    loaded,
                    running,
                    self._tank,
                    running * self._oil,
                    running * self._oil - heat / _OIL_FLOW,
                    running * self._motor,
                    loaded * (self._tank + separator),
                    loaded * current,
                )
            ):
                sums[row] += value
            self._oil += (heat - cooled) * (STEP / _OIL_CAPACITY)
        loaded, running, tank, oil, injected, motor, pressure, current = sums
        under_load, on = _only(loaded), _only(running)
        # What leaks back into the separator leaves it by the blowdown valve.
        kept = around.venting * (
            _IDLE_PRESSURE * (1 + parts.ajar) + tank / steps * parts.backflow / (parts.backflow + _BLOWDOWN)
        )
        mean_pressure = pressure / under_load
        return Means(
            discharge_temp=oil / on,
            oil_temp=injected / on,
            discharge_pressure=mean_pressure,
            tank_pressure=tank / steps - parts.shows_less,
            idle_pressure=np.where(running - loaded > 0.5, kept, np.nan),
            motor_current=current / under_load,
            idle_current=np.where(running - loaded > 0.5, idle_current, np.nan),
            motor_temp=motor / on,
            # The screw hammers a little more at a higher pressure.
            vibration=d.vibration * parts.vibration * around.vibration * (1 + 0.04 * (mean_pressure - _USUAL_PRESSURE)),
            inlet_vacuum=dust * opening**2 * under_load / under_load,
            load=loaded / steps * 100,
            running=running / steps * 100,
            true_pressure=tank / steps,
            tripped=self._tripped.copy(),
            blowing=blowing,
        )


def _only(minutes: Lane) -> Lane:
    """Minutes to divide by; NaN where there was too little of them to measure anything."""
    only: Lane = np.where(minutes > 0.2, minutes, np.nan)
    return only
