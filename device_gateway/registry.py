"""Which devices there are and which number each of their signals is stored under, held in memory.

Only what is asked for is loaded, and asking again is rated: a flood of strangers costs no flood of queries.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

import numpy as np

from core.profile import Profile


class Offsets(dict[str, int]):
    """The place of each signal in its profile; -1 for one that the profile does not name."""

    def __missing__(self, signal: str) -> int:
        return -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A device as the database knows it. `series` gives the number of each signal of the profile, and is empty when
    `profile` is no loaded profile.
    """

    name: str
    id: int
    profile: str
    series: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A device in memory. `base` is where its signals begin in the registry's columns."""

    id: int
    profile: str
    base: int
    offsets: Offsets | None
    ignores_unknown: bool


LookUp = Callable[[Collection[str]], Iterable[Found]]
"""Finds devices by name. Those that do not exist are left out."""


class Registry:
    """Devices by name, and series, device and range by slot.

    look_up: asks the database. Raises what that raises. clock: seconds, monotonic. At most `burst` look-ups at once
    and one each `interval` seconds in the long run.
    """

    def __init__(
        self,
        profiles: dict[str, Profile],
        look_up: LookUp,
        clock: Callable[[], float],
        *,
        burst: int = 20,
        interval: float = 0.5,
    ) -> None:
        self._profiles = profiles
        self._look_up = look_up
        self._clock = clock
        self._burst = burst
        self._interval = interval
        self._left = float(burst)
        self._asked = clock()
        self._offsets = {name: Offsets({s: at for at, s in enumerate(p.signals)}) for name, p in profiles.items()}
        self._known: dict[str, Known] = {}
        self._used = 0
        self.learned = 0
        """How often something new was learned."""
        self.device = np.zeros(0, dtype=np.int32)
        self.series = np.zeros(0, dtype=np.int32)
        self.low = np.zeros(0)
        self.high = np.zeros(0)

    def get(self, name: str) -> Known | None:
        """The device, if it is known."""
        return self._known.get(name)

    def refresh(self, names: Collection[str]) -> bool:
        """Asks the database about `names`; True when that taught something new. False, unasked, when asked too often."""
        now = self._clock()
        self._left = min(self._burst, self._left + (now - self._asked) / self._interval)
        self._asked = now
        if self._left < 1:
            return False
        self._left -= 1
        learned = [self._learn(found) for found in self._look_up(names)]
        return any(learned)

    def _learn(self, found: Found) -> bool:
        old = self._known.get(found.name)
        if old and (old.id, old.profile) == (found.id, found.profile):
            return False
        profile = self._profiles.get(found.profile)
        base = self._used
        if profile:
            self._reserve(len(profile.signals))
            mine = slice(base, self._used)
            self.device[mine] = found.id
            self.series[mine] = [found.series[s] for s in profile.signals]
            self.low[mine] = [s.range[0] for s in profile.signals.values()]
            self.high[mine] = [s.range[1] for s in profile.signals.values()]
        self.learned += 1
        self._known[found.name] = Known(
            id=found.id,
            profile=found.profile,
            base=base,
            offsets=self._offsets.get(found.profile),
            ignores_unknown=profile is not None and profile.unknown_signals == "ignore",
        )
        return True

    def _reserve(self, count: int) -> None:
        self._used += count
        if self._used > len(self.series):
            size = max(1024, 2 * self._used)
            for column in (self.device, self.series, self.low, self.high):
                column.resize(size, refcheck=False)
