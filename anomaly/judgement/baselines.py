"""What any detector must beat: no alarm, always an alarm, alarms at random, and the best simple rule."""

from collections.abc import Sequence

import numpy as np

from anomaly.detector import Track
from anomaly.episodes import Episodes
from anomaly.judgement.alarms import MONTH, Alarms, Sweep
from core.profile import Profile
from telemetry.window import Floats, Ints, Tick, Window

_Z = 3.0
"""The rule's own threshold: three standard deviations."""
_MOST_TICKS = 288


def always(first: Ints, last: Ints, components: int, every: int) -> Alarms:
    """An alarm for each component of each device, anew after each `every` microseconds."""
    rows = [
        (device, component, start, start + every, 1.0, 0)
        for device, (since, until) in enumerate(zip(first.tolist(), last.tolist(), strict=True))
        for start in range(since, until, every)
        for component in range(components)
    ]
    return Alarms.of(rows)


def random(first: Ints, last: Ints, components: int, budget: float, *, seed: int) -> Alarms:
    """Alarms at random times for random components, `budget` of them in a device-month."""
    dice = np.random.default_rng(seed)
    counts = dice.poisson(budget * np.maximum(last - first, 0) / MONTH)
    device = np.repeat(np.arange(len(first)), counts)
    start = (first[device] + dice.random(len(device)) * (last - first)[device]).astype(np.int64)
    return Alarms(
        device=device,
        component=dice.integers(components, size=len(device)),
        start=start,
        end=start,
        score=np.ones(len(device)),
        source=np.zeros(len(device), dtype=np.int64),
    )


def coin(ticks: Sequence[Ints]) -> Alarms:
    """Alarm or not by the toss of a coin, tick by tick. ticks: for each device their times."""
    dice = np.random.default_rng(0)
    rows: list[tuple[int, int, int, int, float, int]] = []
    for device, times in enumerate(ticks):
        chosen = times[dice.random(len(times)) < 0.5]
        rows += [(device, 0, time, time + 1, 1.0, 0) for time in chosen.tolist()]
    return Alarms.of(rows)


class SimpleRule:
    """z of a trailing mean of each signal against all the device's past, blamed on the signal's component.

    A signal without a component blames the profile's first one.
    """

    def __init__(self, profile: Profile, devices: int, mean_over: int) -> None:
        """mean_over: microseconds of the trailing mean."""
        tick = round(profile.tick.total_seconds() * 1e6)
        self.signals = profile.measured
        components = list(profile.components)
        self._columns = np.array([list(profile.signals).index(name) for name in self.signals], dtype=np.int64)
        tracks = [
            Track(
                component=profile.signals[name].component or components[0],
                failure_mode=name,
                kind="rule",
                on_delay=1,
                off_delay=1,
                off_below=1.0,
            )
            for name in self.signals
        ]
        size = len(tracks)
        self.sweep = Sweep(tracks, Episodes(tracks, np.zeros((size, size), dtype=bool)), components, devices, tick)
        self._length = min(max(1, mean_over // tick), _MOST_TICKS)
        self._ring = np.full((self._length, devices, size), np.nan)
        self._at = 0
        self._n = np.zeros((devices, size))
        self._mean = np.zeros((devices, size))
        self._square = np.zeros((devices, size))

    def take(self, window: Window) -> None:
        """Scores and learns each tick of a window."""
        for tick in window.ticks():
            self.sweep.take(tick, self._score(tick))

    def _score(self, tick: Tick) -> Floats:
        values = tick.values[:, self._columns]
        self._ring[self._at] = np.where(tick.heard[:, None], values, self._ring[self._at])
        self._at = (self._at + 1) % self._length
        known = np.isfinite(self._ring)
        count = known.sum(axis=0)
        mean = np.where(known, self._ring, 0.0).sum(axis=0) / np.maximum(count, 1)
        seen = np.isfinite(values) & (count > 0)
        spread = np.sqrt(self._square / np.maximum(self._n - 1, 1))
        ready = seen & (self._n >= max(20, 2 * self._length)) & (spread > 0)
        z = np.where(ready, np.abs(mean - self._mean) / np.where(spread > 0, spread, 1.0), np.nan)
        self._n += seen
        away = np.where(seen, mean - self._mean, 0.0)
        self._mean += away / np.maximum(self._n, 1)
        self._square += away * np.where(seen, mean - self._mean, 0.0)
        return z / _Z
