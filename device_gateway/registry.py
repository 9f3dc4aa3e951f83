"""Which devices there are and which number each of their signals is stored under, held in memory.

Only what is asked for is loaded, and asking again is rated: a flood of strangers costs no flood of queries.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from core.profile import Column, Profile


class Offsets(dict[str, int]):
    """The place of each signal in its profile; -1 for one that the profile does not name."""

    def __missing__(self, signal: str) -> int:
        return -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A device as the database knows it. `series` gives the number of each signal of the profile and of those beyond it
    that were kept, and is empty when `profile` is no loaded profile.
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
    unknown: str
    columns: Mapping[str, Column]
    units: Mapping[str, str]
    components: Collection[str]
    kept: int = 0


Strangers = Mapping[str, Collection[str]]
"""Names of devices, and those of their signals that are not known."""
LookUp = Callable[[Strangers], Iterable[Found]]
"""Finds devices by name. Those that do not exist are left out. Gives signals a number where the profile keeps them."""


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

    def refresh(self, strangers: Strangers) -> bool:
        """Asks the database about `strangers`; True when that taught something new. False, unasked, when asked too often."""
        now = self._clock()
        self._left = min(self._burst, self._left + (now - self._asked) / self._interval)
        self._asked = now
        if self._left < 1:
            return False
        self._left -= 1
        learned = [self._learn(found) for found in self._look_up(strangers)]
        return any(learned)

    def _learn(self, found: Found) -> bool:
        old = self._known.get(found.name)
        profile = self._profiles.get(found.profile)
        extra = [s for s in found.series if s not in profile.signals] if profile else []
        if old and (old.id, old.profile, old.kept) == (found.id, found.profile, len(extra)):
            return False
        base = self._used
        offsets = self._offsets.get(found.profile)
        if profile:
            signals = [*profile.signals, *extra]
            self._reserve(len(signals))
            mine = slice(base, self._used)
            self.device[mine] = found.id
            self.series[mine] = [found.series[s] for s in signals]
            # Nothing is known of the range of a signal that the profile does not name.
            self.low[mine] = [s.range[0] for s in profile.signals.values()] + [-np.inf] * len(extra)
            self.high[mine] = [s.range[1] for s in profile.signals.values()] + [np.inf] * len(extra)
            if extra:
                offsets = Offsets({signal: at for at, signal in enumerate(signals)})
        self.learned += 1
        self._known[found.name] = Known(
            id=found.id,
            profile=found.profile,
            base=base,
            offsets=offsets,
            unknown=profile.unknown_signals if profile else "dead_letter",
            columns=profile.columns if profile else {},
            units={name: signal.unit for name, signal in profile.signals.items()} if profile else {},
            components=profile.components.keys() if profile else (),
            kept=len(extra),
        )
        return True

    def _reserve(self, count: int) -> None:
        self._used += count
        if self._used > len(self.series):
            size = max(1024, 2 * self._used)
            for column in (self.device, self.series, self.low, self.high):
                column.resize(size, refcheck=False)
