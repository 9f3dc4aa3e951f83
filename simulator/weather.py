"""The weather of the sites and the hours of their clocks, the same for all products."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from simulator.days import PER_DAY, number
from simulator.plan import Oddity, Plan

_WEATHER_DAYS = 6


class Weather:
    """The weather at the sites of a plan's devices."""

    def __init__(self, plan: Plan) -> None:
        self._seed = plan.seed
        self._sites = sorted({device.site for device in plan.devices})
        self._site = np.array([self._sites.index(device.site) for device in plan.devices])

    def day(self, date: datetime) -> npt.NDArray[np.float64]:
        """[PER_DAY, D] what the weather of the day that begins at `date` adds to rooms, K, about 0.9 K widely spread."""
        today, tomorrow = self._midnight(date), self._midnight(date + timedelta(days=1))
        share = np.arange(PER_DAY) / PER_DAY
        weather = today + (tomorrow - today) * share[:, None]
        by_device: npt.NDArray[np.float64] = weather[:, self._site]
        return by_device

    def _midnight(self, date: datetime) -> npt.NDArray[np.float64]:
        """At each site at midnight; neighbouring days resemble each other."""
        total = np.zeros(len(self._sites))
        for back in range(_WEATHER_DAYS):
            rng = np.random.default_rng([self._seed, 5, number(date - timedelta(days=back))])
            total += 0.75**back * rng.standard_normal(len(self._sites))
        return 0.6 * total


def local_hours(plan: Plan, date: datetime) -> npt.NDArray[np.float64]:
    """[PER_DAY, D] the local time of day of each interval's begin, hours 0..24."""
    offsets = {
        zone: (ZoneInfo(zone).utcoffset(date) or timedelta(0)) / timedelta(hours=1)
        for zone in {device.time_zone for device in plan.devices}
    }
    offset = np.array([offsets[device.time_zone] for device in plan.devices])
    hours: npt.NDArray[np.float64] = (np.arange(PER_DAY)[:, None] / PER_DAY * 24 + offset) % 24
    return hours


def gentle(odd: Oddity, now: datetime, ramp: timedelta) -> float:
    """0..1: rises from the oddity's start within `ramp` and falls as slowly towards its end."""
    return min(1.0, (now - odd.start) / ramp, (odd.end - now) / ramp)
