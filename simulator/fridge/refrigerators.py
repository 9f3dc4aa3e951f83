"""A fleet of refrigerators at work: homes, physics, sensors and what the devices' own firmware reports."""

from datetime import datetime

import numpy as np
import numpy.typing as npt

from simulator.fridge.faults import condition
from simulator.fridge.homes import Homes
from simulator.fridge.thermal import STEP, Design, Refrigerators
from simulator.plan import INTERVAL, Plan
from simulator.product import Event, Measured
from simulator.sensing import Sensor, Sensors

SENSORS = (
    Sensor(signal="cabinet_temp", decimals=1, noise=0.05, negative=True),
    Sensor(signal="freezer_temp", decimals=1, noise=0.05, negative=True),
    Sensor(signal="evaporator_temp", decimals=1, noise=0.1, negative=True),
    Sensor(signal="condenser_temp", decimals=1, noise=0.1),
    Sensor(signal="ambient_temp", decimals=1, noise=0.1),
    Sensor(signal="compressor_duty", decimals=1, noise=0.0),
    Sensor(signal="power", decimals=1, noise=0.3),
    Sensor(signal="compressor_vibration", decimals=2, noise=0.02),
    Sensor(signal="fan_speed", decimals=0, noise=8.0),
    Sensor(signal="door_open", decimals=1, noise=0.0),
    Sensor(signal="defrost_power", decimals=1, noise=1.0),
)
SIGNALS = tuple(sensor.signal for sensor in SENSORS)


class Kitchens:
    """All refrigerators of a plan in their homes; what is delivered is the cabinet's true temperature, degrees Celsius."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        count = len(plan.devices)
        self._design = Design.draw(np.random.default_rng([plan.seed, 3]), count)
        self._duty = self._design.duty()
        self._homes = Homes(plan, self._design)
        self._machines = Refrigerators(self._design, np.random.default_rng([plan.seed, 6]))
        self._sensors = Sensors(plan, SENSORS)
        self._was_powered = np.ones(count, dtype=bool)
        self._too_warm = np.zeros(count, dtype=bool)

    def interval(self, begin: datetime) -> Measured:
        """The interval from `begin`."""
        around = self._homes.during(begin)
        parts = condition(self._plan.faults, begin, duty=self._duty, cooling=self._design.cooling_power)
        means = self._machines.run(around, parts)
        door = around.door.sum(axis=(0, 1)) / (len(around.door) * STEP) * 100
        exact = np.stack(
            [
                means.cabinet,
                means.freezer,
                means.evaporator,
                means.condenser,
                around.room,
                means.duty,
                means.power,
                means.vibration,
                means.fan_speed,
                door,
                means.heater_power,
            ],
            axis=1,
        )
        values = self._sensors.read(begin, exact, around.powered)
        events = self._events(begin + INTERVAL, around.powered, values)
        return Measured(values=values, powered=around.powered, delivered=means.true_cabinet, events=events)

    def _events(
        self, now: datetime, powered: npt.NDArray[np.bool_], values: npt.NDArray[np.float64]
    ) -> tuple[Event, ...]:
        """What the devices' own firmware reports at `now`: power is back, or the cabinet or freezer is too warm."""
        cabinet, freezer = values[:, 0], values[:, 1]
        warm = (cabinet > 12) | (freezer > -6) | (self._too_warm & ((cabinet > 9) | (freezer > -9)))
        alarmed = warm & ~self._too_warm & powered
        back = powered & ~self._was_powered
        self._too_warm = np.where(powered, warm, self._too_warm)
        self._was_powered = powered
        return tuple(
            Event(at=int(at), time=now, kind=kind, code=code)
            for where, kind, code in ((back, "state", "power_on"), (alarmed, "error", "temperature_alarm"))
            for at in np.flatnonzero(where)
        )
