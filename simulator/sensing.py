"""What sensors make of exact values: noise, rounding, and silence without power; the same for all products."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt

from simulator.days import PER_DAY, Daily, number
from simulator.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensor:
    """One signal: its name, decimals, standard deviation of its noise, and whether it can read below zero."""

    signal: str
    decimals: int
    noise: float
    negative: bool = False


class Sensors:
    """The sensors of all devices of a plan."""

    def __init__(self, plan: Plan, sensors: tuple[Sensor, ...]) -> None:
        self._plan = plan
        self._scale = 10.0 ** np.array([s.decimals for s in sensors])
        self._spread = np.array([s.noise for s in sensors])
        self._least = np.array([-np.inf if s.negative else 0.0 for s in sensors])
        self._noise = Daily(self._draw, plan)

    def read(
        self,
        begin: datetime,
        exact: npt.NDArray[np.float64],
        powered: npt.NDArray[np.bool_],
        louder: npt.NDArray[np.float64] | float = 1.0,
    ) -> npt.NDArray[np.float64]:
        """[D, S] what is measured of `exact` [D, S] in the interval from `begin`; noise is `louder` [D, S] times usual."""
        noise, at = self._noise.at(begin)
        # A part that stands still or is broken open reads exactly nothing.
        noisy = np.where(exact == 0, 0, exact + self._spread * louder * noise[at])
        noisy = np.maximum(noisy, self._least)
        rounded: npt.NDArray[np.float64] = np.round(noisy * self._scale) / self._scale + 0.0
        rounded[~powered] = np.nan
        return rounded

    def _draw(self, date: datetime) -> npt.NDArray[np.float32]:
        rng = np.random.default_rng([self._plan.seed, 7, number(date)])
        return rng.standard_normal((PER_DAY, len(self._plan.devices), len(self._spread)), dtype=np.float32)
