"""What works do to their compressors: shifts, breaks, weekends, leaks of the air lines, the climate of the room, the
schedule of services, and the harmless oddities.

All random numbers of a day come from a generator keyed by seed and date, so a day is the same however the time is cut.
"""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from simulator.air_compressor.screw import STEP, Design, Lane, Surroundings
from simulator.days import PER_DAY, Daily, number
from simulator.plan import INTERVAL, Plan
from simulator.weather import Weather, gentle, local_hours

STEPS = int(INTERVAL.total_seconds() / STEP)

SERVICES = {"inlet_filter": (45.0, 75.0), "oil_circuit": (80.0, 110.0)}
"""Shortest and longest time between two renewals of a part, days."""

_BREAKS = ((3.0, 0.25), (6.0, 0.5), (11.0, 0.5))
"""Hours after the first shift's begin, and how long nearly nothing runs then."""

_WANDER = np.array([0.005, 0.04, 0.03, 0.03])
_WANDER_DAYS = 8


class Harmless(StrEnum):
    """What is odd about a healthy device for a while."""

    HEAT_WAVE = "heat_wave"
    HOLIDAY = "holiday"
    PRODUCTION_PEAK = "production_peak"
    OPEN_HOSE = "open_hose"
    NOISY_SENSOR = "noisy_sensor"
    POWER_CUT = "power_cut"
    NETWORK_OUTAGE = "network_outage"


DURATION_HOURS = {
    Harmless.HEAT_WAVE: (48.0, 120.0),
    Harmless.HOLIDAY: (48.0, 240.0),
    Harmless.PRODUCTION_PEAK: (24.0, 120.0),
    Harmless.OPEN_HOSE: (8.0, 60.0),
    Harmless.NOISY_SENSOR: (24.0, 72.0),
    Harmless.POWER_CUT: (1.0, 5.0),
    Harmless.NETWORK_OUTAGE: (2.0, 30.0),
}
"""Shortest and longest time of each oddity, hours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """One UTC day of all works, before oddities, [PER_DAY, D]; `flicker` [PER_DAY * STEPS, D] is the air's minute by minute.

    working: share of the usual demand, 0..1. use, leaks: shares of the capacity. supply: multiple of the voltage.
    wander: [4, D] multiples of friction, vibration, the filter's resistance and the pressure without load.
    """

    room: npt.NDArray[np.float64]
    working: npt.NDArray[np.float64]
    use: Lane
    leaks: Lane
    supply: npt.NDArray[np.float64]
    wander: npt.NDArray[np.float64]
    flicker: npt.NDArray[np.float32]


class Works:
    """The surroundings of all devices of a plan."""

    def __init__(self, plan: Plan, design: Design) -> None:
        self._plan = plan
        self._design = design
        self._weather = Weather(plan)
        self._days = Daily(self._draw, plan)
        self._services: dict[datetime, list[tuple[str, int]]] = defaultdict(list)
        first = {(service.component, service.at): service.time for service in reversed(plan.services)}
        self._renewed = {component: np.zeros(len(plan.devices)) for component in SERVICES}
        for component, pace in SERVICES.items():
            for at in range(len(plan.devices)):
                due = first.get((component, at), plan.start + timedelta(days=pace[0] / 2))
                self._renewed[component][at] = due.timestamp() / 86400 - pace[0]
        for service in plan.services:
            self._services[service.time].append((service.component, service.at))

    def during(self, start: datetime) -> Surroundings:
        """The surroundings in the interval from `start` (aware, UTC); called for each interval in turn."""
        for component, done in self._services.get(start, ()):
            self._renewed[component][done] = start.timestamp() / 86400
        (day, at), d = self._days.at(start), self._design
        room, working, leaks = day.room[at].copy(), day.working[at].copy(), day.leaks.copy()
        powered = np.ones(len(room), dtype=bool)
        for odd in self._plan.oddities:
            if odd.start <= start < odd.end:
                match Harmless(odd.kind):
                    case Harmless.HEAT_WAVE:
                        room[odd.at] += 8 * gentle(odd, start, timedelta(hours=12))
                    case Harmless.HOLIDAY:
                        working[odd.at] = 0
                    case Harmless.PRODUCTION_PEAK:
                        # More is made, and into the evening; the compressor still holds the pressure.
                        working[odd.at] = max(1.3 * working[odd.at], 0.6)
                    case Harmless.OPEN_HOSE:
                        leaks[odd.at] += 0.06
                    case Harmless.POWER_CUT:
                        powered[odd.at] = False
                    case Harmless.NOISY_SENSOR | Harmless.NETWORK_OUTAGE:
                        pass  # Changes what is measured or when it arrives, not what happens.
        flicker = day.flicker[at * STEPS : (at + 1) * STEPS]
        taken = d.capacity * np.minimum((day.use * working + leaks) * flicker, 0.95)
        return Surroundings(
            room=room,
            taken=taken,
            supply=day.supply[at],
            filter_age=self._age("inlet_filter", start),
            oil_age=self._age("oil_circuit", start),
            powered=powered,
            friction=day.wander[0],
            vibration=day.wander[1],
            resistance=day.wander[2],
            venting=day.wander[3],
        )

    def _age(self, component: str, now: datetime) -> Lane:
        """How far the part has aged, 1 at the end of the usual time between renewals; a part left longer goes on."""
        days = now.timestamp() / 86400 - self._renewed[component]
        age: Lane = np.clip(days / np.mean(SERVICES[component]), 0, 2)
        return age

    def _draw(self, date: datetime) -> Day:
        count, d = len(self._plan.devices), self._design
        rng = np.random.default_rng([self._plan.seed, 4, number(date)])
        hour = local_hours(self._plan, date)
        since = hour - d.begins
        ends = d.ends - d.begins
        weekday = date.weekday()
        if weekday == 5:
            ends = np.where(d.saturdays, 6.0, 0.0)
        elif weekday == 6:
            ends = np.zeros(count)
        working = ((since >= 0) & (since < ends)).astype(float)
        for begin, length in _BREAKS:
            working[(since >= begin) & (since < begin + length)] *= 0.3
        slow = rng.standard_normal((PER_DAY // 6, count))
        return Day(
            room=d.room + 1.5 * self._weather.day(date) + d.room_swing * np.cos((hour - 16) / 24 * 2 * np.pi),
            working=working * np.exp(0.1 * np.repeat(slow, 6, axis=0)),
            use=d.use * np.exp(0.08 * rng.standard_normal(count)),
            leaks=d.leaks * np.exp(0.06 * rng.standard_normal(count)),
            supply=1 + 0.006 * rng.standard_normal(count) + 0.004 * np.cos((hour - 3) / 24 * 2 * np.pi),
            wander=np.exp(self._wander(date)),
            flicker=np.exp(0.25 * rng.standard_normal((PER_DAY * STEPS, count), dtype=np.float32)),
        )

    def _wander(self, date: datetime) -> npt.NDArray[np.float64]:
        """[4, D] how far the devices' manner is from their usual one on the day `date`; neighbouring days are alike."""
        total = np.zeros((4, len(self._plan.devices)))
        for back in range(_WANDER_DAYS):
            rng = np.random.default_rng([self._plan.seed, 10, number(date - timedelta(days=back))])
            total += 0.7**back * rng.standard_normal(total.shape)
        wander: npt.NDArray[np.float64] = _WANDER[:, None] * np.sqrt(1 - 0.7**2) * total
        return wander
