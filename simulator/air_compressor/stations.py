"""A fleet of air compressors at work: works, physics, sensors and what the devices' own controllers report."""

from datetime import datetime

import numpy as np
import numpy.typing as npt

from simulator.air_compressor.faults import condition
from simulator.air_compressor.screw import Design, Means, ScrewCompressors
from simulator.air_compressor.works import Harmless, Works
from simulator.days import PER_DAY, Daily, number
from simulator.plan import INTERVAL, Plan
from simulator.product import Event, Measured
from simulator.sensing import Sensor, Sensors

SENSORS = (
    Sensor(signal="discharge_temp", decimals=1, noise=0.3),
    Sensor(signal="oil_temp", decimals=1, noise=0.3),
    Sensor(signal="discharge_pressure", decimals=0, noise=10.0),
    Sensor(signal="tank_pressure", decimals=0, noise=10.0),
    Sensor(signal="idle_pressure", decimals=0, noise=20.0),
    Sensor(signal="motor_current", decimals=1, noise=0.2),
    Sensor(signal="idle_current", decimals=1, noise=0.2),
    Sensor(signal="motor_temp", decimals=1, noise=0.3),
    Sensor(signal="vibration", decimals=2, noise=0.12),
    Sensor(signal="inlet_vacuum", decimals=1, noise=0.6),
    Sensor(signal="load", decimals=1, noise=0.0),
    Sensor(signal="running", decimals=1, noise=0.0),
    Sensor(signal="ambient_temp", decimals=1, noise=0.2, negative=True),
)
SIGNALS = tuple(sensor.signal for sensor in SENSORS)
_HECTOPASCAL = 1000.0
_LOUDER = 5.0
_A_DAY = {"door_open": 1 / 30, "bus_timeout": 1 / 15}
"""Codes that mean nothing for any part, and how often a device reports them."""


class Stations:
    """All compressors of a plan in their works; what is delivered is the tank's true pressure, hPa."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        count = len(plan.devices)
        design = Design.draw(np.random.default_rng([plan.seed, 3]), count)
        self._trips_at = design.trips_at()
        self._works = Works(plan, design)
        self._machines = ScrewCompressors(design, np.random.default_rng([plan.seed, 6]))
        self._sensors = Sensors(plan, SENSORS)
        self._was_powered = np.ones(count, dtype=bool)
        self._told = {code: np.zeros(count, dtype=bool) for code in _ALARMS}
        self._chatter = Daily(self._draw, plan)

    def interval(self, begin: datetime) -> Measured:
        """The interval from `begin`."""
        around = self._works.during(begin)
        parts = condition(self._plan.faults, begin, trips_at=self._trips_at)
        means = self._machines.run(around, parts)
        exact = np.stack(
            [
                means.discharge_temp,
                means.oil_temp,
                means.discharge_pressure * _HECTOPASCAL,
                means.tank_pressure * _HECTOPASCAL,
                means.idle_pressure * _HECTOPASCAL,
                means.motor_current,
                means.idle_current,
                means.motor_temp,
                means.vibration,
                means.inlet_vacuum,
                means.load,
                means.running,
                around.room,
            ],
            axis=1,
        )
        values = self._sensors.read(begin, exact, around.powered, self._louder(begin))
        events = self._events(begin, around.powered, parts.stopped, means, values)
        return Measured(
            values=values, powered=around.powered, delivered=means.true_pressure * _HECTOPASCAL, events=events
        )

    def _louder(self, begin: datetime) -> npt.NDArray[np.float64]:
        louder = np.ones((len(self._plan.devices), len(SENSORS)))
        for odd in self._plan.oddities:
            if odd.kind == Harmless.NOISY_SENSOR and odd.start <= begin < odd.end:
                louder[odd.at, SIGNALS.index("vibration")] = _LOUDER
        return louder

    def _events(
        self,
        begin: datetime,
        powered: npt.NDArray[np.bool_],
        stopped: npt.NDArray[np.bool_],
        means: Means,
        values: npt.NDArray[np.float64],
    ) -> tuple[Event, ...]:
        """What the controllers report at the end of the interval from `begin`; an alarm once, until it is over."""
        now = begin + INTERVAL
        found = [(powered & ~self._was_powered, "state", "power_on")]
        self._was_powered = powered
        for code, (signal, sign, limit, over) in _ALARMS.items():
            value = sign * values[:, SIGNALS.index(signal)]
            raised = (value > sign * limit) | (self._told[code] & ~(value < sign * over))
            found.append((raised & ~self._told[code], "error", code))
            self._told[code] = raised
        for code, state in (
            ("temperature_trip", means.tripped),
            ("safety_valve", means.blowing),
            ("no_start", stopped),
        ):
            told = self._told.setdefault(code, np.zeros(len(powered), dtype=bool))
            found.append((state & ~told & powered, "error", code))
            self._told[code] = state
        chances, at = self._chatter.at(begin)
        for code, chance in zip(_A_DAY, chances[at], strict=True):
            found.append(((chance < _A_DAY[code] / PER_DAY) & powered, "error", code))
        return tuple(
            Event(at=int(at), time=now, kind=kind, code=code)
            for where, kind, code in found
            for at in np.flatnonzero(where)
        )

    def _draw(self, date: datetime) -> npt.NDArray[np.float64]:
        """[PER_DAY, codes, D] chances, 0..1, of the codes that mean nothing."""
        rng = np.random.default_rng([self._plan.seed, 9, number(date)])
        return rng.random((PER_DAY, len(_A_DAY), len(self._plan.devices)))


_ALARMS = {
    "high_temperature": ("discharge_temp", 1, 105.0, 95.0),
    "filter_full": ("inlet_vacuum", 1, 50.0, 40.0),
    "low_pressure": ("tank_pressure", -1, 5500.0, 6300.0),
}
"""Signal, direction, limit and the value at which an alarm of the controller is over."""
