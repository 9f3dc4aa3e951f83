"""What homes do to their refrigerators: room climate, doors, and the harmless oddities.

All random numbers of a day come from a generator keyed by seed and date, so a day is the same however the time is cut.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from simulator.days import PER_DAY, Daily, number
from simulator.fridge.thermal import STEP, Design, Surroundings
from simulator.plan import INTERVAL, Plan
from simulator.weather import Weather, gentle, local_hours

STEPS = int(INTERVAL.total_seconds() / STEP)


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

_OPENINGS_BY_HOUR = np.array([1, 0.5, 0.3, 0.3, 0.5, 1, 4, 8, 7, 4, 4, 6, 10, 8, 4, 4, 6, 10, 13, 11, 8, 6, 4, 2])
_OPENINGS_BY_HOUR = _OPENINGS_BY_HOUR / _OPENINGS_BY_HOUR.sum()
_FREEZER_SHARE = 0.15
_WARM_FOOD_JOULE = 9e5


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """One UTC day of all homes, before oddities: room [PER_DAY, D]; draw, seconds, freezer [PER_DAY * STEPS, D]."""

    room: npt.NDArray[np.float64]
    openings: npt.NDArray[np.float64]
    chance: npt.NDArray[np.float32]
    seconds: npt.NDArray[np.float32]
    freezer: npt.NDArray[np.bool_]


class Homes:
    """The surroundings of all devices of a plan."""

    def __init__(self, plan: Plan, design: Design) -> None:
        self._plan = plan
        self._design = design
        self._weather = Weather(plan)
        self._days = Daily(self._draw, plan)

    def during(self, start: datetime) -> Surroundings:
        """The surroundings in the interval from `start` (aware, UTC)."""
        day, at = self._days.at(start)
        steps = slice(at * STEPS, (at + 1) * STEPS)
        room, openings = day.room[at].copy(), day.openings[at].copy()
        warm_food = np.zeros_like(room)
        powered = np.ones(len(room), dtype=bool)
        for odd in self._plan.oddities:
            if odd.start <= start < odd.end:
                match Harmless(odd.kind):
                    case Harmless.HEAT_WAVE:
                        room[odd.at] += 7 * gentle(odd, start, timedelta(hours=12))
                    case Harmless.WARMER_ROOM:
                        room[odd.at] += 4 * gentle(odd, start, timedelta(hours=1))
                    case Harmless.PARTY:
                        openings[odd.at] = max(openings[odd.at] * 4, 0.2)
                    case Harmless.HOLIDAY:
                        openings[odd.at] = 0
                    case Harmless.POWER_CUT:
                        powered[odd.at] = False
                    case Harmless.WARM_FOOD:
                        warm_food[odd.at] = _WARM_FOOD_JOULE / (odd.end - odd.start).total_seconds()
                    case Harmless.WIFI_OUTAGE:
                        pass  # Changes when readings arrive, not what is measured: see fleet.
        opened = np.where(day.chance[steps] < openings, day.seconds[steps], 0.0)
        freezer = day.freezer[steps]
        door = np.stack([np.where(freezer, 0, opened), np.where(freezer, opened, 0)], axis=1)
        return Surroundings(room=room, door=door, warm_food=warm_food, powered=powered)

    def _draw(self, date: datetime) -> Day:
        count, d = len(self._plan.devices), self._design
        rng = np.random.default_rng([self._plan.seed, 4, number(date)])
        hour = local_hours(self._plan, date)
        weekend = 1.25 if date.weekday() >= 5 else 1.0
        return Day(
            room=d.room + self._weather.day(date) + d.room_swing * np.cos((hour - 17) / 24 * 2 * np.pi),
            openings=_OPENINGS_BY_HOUR[hour.astype(int)] * d.openings * weekend / 60,
            chance=rng.random((PER_DAY * STEPS, count), dtype=np.float32),
            seconds=np.minimum(rng.standard_exponential((PER_DAY * STEPS, count), dtype=np.float32) * 14 + 3, 60),
            freezer=rng.random((PER_DAY * STEPS, count), dtype=np.float32) < _FREEZER_SHARE,
        )
