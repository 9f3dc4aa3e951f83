"""The physics: a lumped thermal model of fridge-freezers, one numpy lane for each device.

Nodes are the cabinet's air, its food, the freezer, the evaporator, the condenser and the control sensor; frost is a
mass on the evaporator. One compressor, one evaporator fan and one electric defrost heater are switched by the
cabinet's thermostat and a defrost timer. Explicit Euler steps of one minute are stable: the fastest node, the air of
the cabinet with an open door, has a time constant above two minutes.

Temperatures in degrees Celsius, heat in W, conductances in W/K, capacities in J/K, frost in kg.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from simulator.fridge.faults import Condition

Lane = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

STEP = 60.0
"""Seconds of one step."""

AIR, FOOD, FREEZER, EVAPORATOR, CONDENSER, SENSOR = range(6)

_AIR_CAPACITY, _FOOD_CAPACITY, _FREEZER_CAPACITY = 16e3, 90e3, 70e3
_EVAPORATOR_CAPACITY, _CONDENSER_CAPACITY = 5e3, 5e3
_FOOD_TO_AIR = 10.0
_CABINET_TO_FREEZER = 0.25
_CONDENSER_TO_ROOM = 8.5
_SHELL_TO_CONDENSER = 0.85
_DOOR = 70.0
_STILL_CABINET, _STILL_FREEZER = 0.03, 0.10
_SENSOR_LAG = 300.0
_ICE_HEAT = 334e3
_BLOCKING_FROST = 0.7
_FROST_PER_DAY = 0.06
_FROST_PER_DOOR_SECOND = 2.2e-4
_DEFROST_ENDS_AT = 8.0
_DEFROST_MINUTES = 30
_DRIP_MINUTES = 5
_FAN_STARTS_BELOW = -4.0
_FAN_WATTS, _STANDBY_WATTS, _LAMP_WATTS, _LOCKED_ROTOR_WATTS = 4.0, 2.0, 10.0, 35.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """What each device is by manufacture and place; one value a device."""

    cabinet_leak: Lane
    freezer_leak: Lane
    cooling_power: Lane
    motor_power: Lane
    cabinet_air: Lane
    freezer_air: Lane
    set_point: Lane
    half_band: Lane
    defrost_minutes: Lane
    heater_power: Lane
    fan_speed: Lane
    vibration: Lane
    room: Lane
    room_swing: Lane
    openings: Lane

    @classmethod
    def draw(cls, rng: np.random.Generator, count: int) -> Self:
        """`count` devices with the scatter of production and of homes."""

        def near(middle: float, scatter: float) -> Lane:
            return middle * np.exp(scatter * rng.standard_normal(count))

        return cls(
            cabinet_leak=near(1.15, 0.06),
            freezer_leak=near(0.55, 0.06),
            cooling_power=near(124.0, 0.04),
            motor_power=near(74.0, 0.04),
            cabinet_air=near(1.5, 0.03),
            freezer_air=near(8.3, 0.05),
            set_point=np.clip(4.6 + 0.4 * rng.standard_normal(count), 3.9, 5.3),
            half_band=np.clip(near(1.0, 0.08), 0.8, 1.2),
            defrost_minutes=rng.uniform(8, 12, count) * 60,
            heater_power=near(180.0, 0.03),
            fan_speed=near(2400.0, 0.02),
            vibration=near(0.6, 0.15),
            room=np.clip(20.5 + 1.2 * rng.standard_normal(count), 17.5, 23.5),
            room_swing=near(0.9, 0.25),
            openings=np.clip(near(26.0, 0.3), 10, 50),
        )

    def duty(self) -> Lane:
        """Share of time 0..1 that the healthy compressor runs in its usual room, about."""
        load = self.cabinet_leak * (self.room - 5) + self.freezer_leak * (self.room + 18) + 8.0
        return load / self.cooling_power


@dataclass(slots=True, kw_only=True)
class Surroundings:
    """What acts on the devices in one interval. `door` holds seconds open, [steps, 2, D]: cabinet, freezer."""

    room: Lane
    door: npt.NDArray[np.float64]
    warm_food: Lane
    powered: Mask


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """Means over one interval, one value a device; the speed and powers of parts only over the time they ran (else NaN)."""

    cabinet: Lane
    freezer: Lane
    evaporator: Lane
    condenser: Lane
    duty: Lane
    power: Lane
    vibration: Lane
    fan_speed: Lane
    heater_power: Lane
    true_cabinet: Lane


class Refrigerators:
    """The state of all devices; `run` takes it one interval further."""

    def __init__(self, design: Design, rng: np.random.Generator) -> None:
        count = len(design.room)
        self._design = design
        self._nodes = np.empty((6, count))
        for node, value in ((AIR, 4.6), (FOOD, 4.6), (FREEZER, -18.0), (EVAPORATOR, -20.0), (SENSOR, 4.6)):
            self._nodes[node] = value
        self._nodes[CONDENSER] = design.room + 8
        self._frost = rng.uniform(0, 0.1, count)
        self._on = rng.random(count) < 0.4
        self._minutes_run = rng.uniform(0, 1, count) * design.defrost_minutes
        self._defrosting = np.zeros(count, dtype=bool)
        self._heating_minutes = np.zeros(count)
        self._drip_minutes = np.zeros(count)
        self._fan_load = np.ones(count)

    def run(self, around: Surroundings, parts: Condition) -> Means:
        """The next interval, as many steps as `around.door` has."""
        d, x = self._design, self._nodes
        steps, count = around.door.shape[0], around.room.shape[0]
        room, powered = around.room, around.powered
        open_share = around.door / STEP
        door_air = open_share[:, 0] * _DOOR
        door_freezer = open_share[:, 1] * _DOOR
        leak_cabinet = d.cabinet_leak + parts.infiltration
        leak_freezer = d.freezer_leak + parts.infiltration * 0.6
        moist = 1 + parts.infiltration
        # Frost narrows the air's way, a slower fan moves less air; both take heat transfer away.
        flow = parts.fan_speed**0.8 / (1 + (self._frost / _BLOCKING_FROST) ** 2)
        still_cabinet, still_freezer = d.cabinet_air * _STILL_CABINET, d.freezer_air * _STILL_FREEZER
        blown_cabinet, blown_freezer = d.cabinet_air * flow, d.freezer_air * flow
        cooling = d.cooling_power * parts.cooling * ~parts.seized
        motor = d.motor_power * parts.motor_power
        heater = d.heater_power * parts.heater
        low, high = d.set_point - d.half_band, d.set_point + d.half_band
        record = np.empty((steps, 10, count))
        change = np.empty_like(x)
        for step in range(steps):
            air, food, freezer, evaporator, condenser, sensor = x
            shown = sensor + parts.sensor_bias
            self._on = (shown > high) | (self._on & (shown > low))
            relay = self._on & powered
            if self._defrosting.any() or (self._minutes_run >= d.defrost_minutes).any():
                relay &= ~self._defrost(powered)
            if (resting := self._drip_minutes > 0).any():
                relay &= ~resting
                self._drip_minutes -= resting
            self._minutes_run += relay
            fan = relay & (evaporator < _FAN_STARTS_BELOW)
            heating = self._defrosting & powered

            to_cabinet = (still_cabinet + fan * blown_cabinet) * (air - evaporator)
            to_freezer = (still_freezer + fan * blown_freezer) * (freezer - evaporator)
            lift = condenser - 40
            pumped = relay * cooling * np.maximum(1 + 0.036 * (evaporator + 25), 0) * (1 - 0.006 * lift)
            turning = relay * motor * (1 + 0.009 * (evaporator + 25) + 0.007 * lift)
            if parts.seized.any():
                turning = np.where(parts.seized, relay * _LOCKED_ROTOR_WATTS, turning)
            heat = heating * heater
            between = _CABINET_TO_FREEZER * (freezer - air)
            to_food = _FOOD_TO_AIR * (air - food)
            change[AIR] = (
                (leak_cabinet + door_air[step]) * (room - air) - to_food + between - to_cabinet
            ) / _AIR_CAPACITY
            change[FOOD] = (to_food + around.warm_food) / _FOOD_CAPACITY
            change[FREEZER] = (
                (leak_freezer + door_freezer[step]) * (room - freezer) - between - to_freezer
            ) / _FREEZER_CAPACITY
            change[EVAPORATOR] = (to_cabinet + to_freezer - pumped + heat) / _EVAPORATOR_CAPACITY
            change[CONDENSER] = (
                pumped + _SHELL_TO_CONDENSER * turning - _CONDENSER_TO_ROOM * (condenser - room)
            ) / _CONDENSER_CAPACITY
            change[SENSOR] = (air - sensor) / _SENSOR_LAG
            record[step, :6] = x
            record[step, 6] = relay
            record[step, 7] = turning
            record[step, 8] = fan
            record[step, 9] = heating
            change *= STEP
            x += change
            if (x[EVAPORATOR] > 0).any():
                melted = np.clip(x[EVAPORATOR] * (_EVAPORATOR_CAPACITY / _ICE_HEAT), 0, self._frost)
                self._frost -= melted
                x[EVAPORATOR] -= melted * (_ICE_HEAT / _EVAPORATOR_CAPACITY)
        seconds_open = around.door.sum(axis=(0, 1))
        self._frost += moist * _FROST_PER_DAY * steps * STEP / 86400 + _FROST_PER_DOOR_SECOND * seconds_open
        np.minimum(self._frost, 3.0, out=self._frost)
        return self._means(record, seconds_open, parts)

    def _defrost(self, powered: Mask) -> Mask:
        """Starts, times and ends defrosts; the devices that are at it. A power cut ends one: the timer forgets."""
        due = ~self._defrosting & (self._minutes_run >= self._design.defrost_minutes) & powered
        self._heating_minutes[due] = 0
        self._defrosting |= due
        self._heating_minutes += self._defrosting
        warm = self._nodes[EVAPORATOR] > _DEFROST_ENDS_AT
        over = self._defrosting & (warm | (self._heating_minutes > _DEFROST_MINUTES) | ~powered)
        self._drip_minutes[over] = _DRIP_MINUTES
        self._minutes_run[over] = 0
        self._defrosting &= ~over
        return self._defrosting

    def _means(self, record: npt.NDArray[np.float64], seconds_open: Lane, parts: Condition) -> Means:
        mean = record.mean(axis=0)
        relay, motor, fan, heater = mean[6], mean[7], mean[8], mean[9]
        heater_power = self._design.heater_power * parts.heater
        power = motor + _FAN_WATTS * fan + heater * heater_power + _STANDBY_WATTS
        power += _LAMP_WATTS * seconds_open / (len(record) * STEP)
        # Bearings hammer a little more at a higher pressure, which the condenser's temperature tells.
        vibration = self._design.vibration * parts.vibration * (1 + 0.006 * (mean[CONDENSER] - 32))
        return Means(
            cabinet=mean[SENSOR] + parts.sensor_bias,
            freezer=mean[FREEZER],
            evaporator=mean[EVAPORATOR],
            condenser=mean[CONDENSER],
            duty=relay * 100,
            power=power,
            vibration=np.where((relay > 0) & ~parts.seized, vibration, np.nan),
            fan_speed=np.where(fan > 0, self._design.fan_speed * parts.fan_speed, np.nan),
            heater_power=np.where(heater > 0, heater_power, np.nan),
            true_cabinet=mean[AIR],
        )
