"""What homes do to their refrigerators: room climate, doors, and the harmless oddities.

All random numbers of a day come from a generator keyed by seed and date, so a day is the same however the time is cut.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from simulator.plan import INTERVAL, Harmless, Oddity, Plan
from simulator.thermal import STEP, Design, Surroundings

STEPS = int(INTERVAL.total_seconds() / STEP)
PER_DAY = int(timedelta(days=1) / INTERVAL)

_OPENINGS_BY_HOUR = np.array([1, 0.5, 0.3, 0.3, 0.5, 1, 4, 8, 7, 4, 4, 6, 10, 8, 4, 4, 6, 10, 13, 11, 8, 6, 4, 2])
_OPENINGS_BY_HOUR = _OPENINGS_BY_HOUR / _OPENINGS_BY_HOUR.sum()
_FREEZER_SHARE = 0.15
_WEATHER_DAYS = 6
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
        self._sites = sorted({device.site for device in plan.devices})
        self._site = np.array([self._sites.index(device.site) for device in plan.devices])
        self._day: Day | None = None
        self._date: datetime | None = None

    def during(self, start: datetime) -> Surroundings:
        """The surroundings in the interval from `start` (aware, UTC)."""
        date = start.replace(hour=0, minute=0, second=0, microsecond=0)
        if self._day is None or date != self._date:
            self._day, self._date = self._draw(date), date
        day = self._day
        at = int((start - date) / INTERVAL)
        steps = slice(at * STEPS, (at + 1) * STEPS)
        room, openings = day.room[at].copy(), day.openings[at].copy()
        warm_food = np.zeros_like(room)
        powered = np.ones(len(room), dtype=bool)
        for odd in self._plan.oddities:
            if odd.start <= start < odd.end:
                match odd.kind:
                    case Harmless.HEAT_WAVE:
                        room[odd.at] += 7 * _gentle(odd, start, timedelta(hours=12))
                    case Harmless.WARMER_ROOM:
                        room[odd.at] += 4 * _gentle(odd, start, timedelta(hours=1))
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
        rng = np.random.default_rng([self._plan.seed, 4, _number(date)])
        offsets = {
            zone: (ZoneInfo(zone).utcoffset(date) or timedelta(0)) / timedelta(hours=1)
            for zone in {device.time_zone for device in self._plan.devices}
        }
        offset = np.array([offsets[device.time_zone] for device in self._plan.devices])
        share = np.arange(PER_DAY) / PER_DAY
        hour = (share[:, None] * 24 + offset) % 24
        today, tomorrow = self._weather(date), self._weather(date + timedelta(days=1))
        weather = today + (tomorrow - today) * share[:, None]
        weekend = 1.25 if date.weekday() >= 5 else 1.0
        return Day(
            room=d.room + weather[:, self._site] + d.room_swing * np.cos((hour - 17) / 24 * 2 * np.pi),
            openings=_OPENINGS_BY_HOUR[hour.astype(int)] * d.openings * weekend / 60,
            chance=rng.random((PER_DAY * STEPS, count), dtype=np.float32),
            seconds=np.minimum(rng.standard_exponential((PER_DAY * STEPS, count), dtype=np.float32) * 14 + 3, 60),
            freezer=rng.random((PER_DAY * STEPS, count), dtype=np.float32) < _FREEZER_SHARE,
        )

    def _weather(self, date: datetime) -> npt.NDArray[np.float64]:
        """What the weather adds to the rooms of each site at midnight, K; neighbouring days resemble each other."""
        total = np.zeros(len(self._sites))
        for back in range(_WEATHER_DAYS):
            rng = np.random.default_rng([self._plan.seed, 5, _number(date - timedelta(days=back))])
            total += 0.75**back * rng.standard_normal(len(self._sites))
        return 0.6 * total


def _number(date: datetime) -> int:
    return (date - datetime(1970, 1, 1, tzinfo=UTC)).days


def _gentle(odd: Oddity, now: datetime, ramp: timedelta) -> float:
    """0..1: rises from the oddity's start within `ramp` and falls as slowly towards its end."""
    return min(1.0, (now - odd.start) / ramp, (odd.end - now) / ramp)
