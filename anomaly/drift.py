"""Says when what devices send no longer looks like what a model was learnt from.

A model keeps the 5 %, 50 % and 95 % quantile of each signal in healthy time. Of a healthy fleet as it was, 5 % of the
readings lie below the band, 45 % and 45 % in its halves, 5 % above: the population stability index tells how far the
shares have moved from that, and beside it stands how many devices lie outside as a whole.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from anomaly.learning.conditions import followed
from anomaly.learning.features import Features, Matrix
from anomaly.learning.model import Model
from core.profile import Profile
from telemetry.window import Floats, Ints, Window

SHIFTED = 0.25
"""The index from which on a signal counts as shifted; below 0.1 it is as it was (the usual rule of thumb)."""
FEWEST_DEVICES = 5
"""Of fewer devices, one with a habit of its own would look like drift."""
_SHARES = np.array([0.05, 0.45, 0.45, 0.05])
_LEAST = 1e-3
"""A share is never taken to be smaller: its logarithm stays finite."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalDrift:
    """One signal, in usual conditions where the model corrects for them. low, high: its band. index: population stability
    index. outside: the share of devices whose mean lies outside the band; around 0.1 and less is as it was.
    """

    signal: str
    unit: str
    low: float
    high: float
    index: float
    outside: float

    @property
    def shifted(self) -> bool:
        """Whether it no longer looks as it did."""
        return self.index >= SHIFTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """A look at `days` days of `devices` devices. unknown_codes: error codes they sent that the model never met."""

    days: float
    devices: int
    signals: tuple[SignalDrift, ...] = ()
    unknown_codes: tuple[str, ...] = ()

    @property
    def enough(self) -> bool:
        """Whether there were enough devices to say anything."""
        return self.devices >= FEWEST_DEVICES and bool(self.signals)

    @property
    def shifted(self) -> list[SignalDrift]:
        """The signals that no longer look as they did, most first."""
        return sorted((s for s in self.signals if s.shifted), key=lambda s: -s.index) if self.enough else []

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Self:
        """From its own `asdict`."""
        return cls(
            days=told["days"],
            devices=told["devices"],
            signals=tuple(SignalDrift(**s) for s in told["signals"]),
            unknown_codes=tuple(told["unknown_codes"]),
        )


@dataclass(slots=True)
class Tally:
    """Counts windows, of different devices or times. A device stands in the windows of one call of `take` alone."""

    profile: Profile
    model: Model
    _usual: Matrix = field(init=False)
    _counts: Ints = field(init=False)
    _outside: Ints = field(init=False)
    _measured: Ints = field(init=False)
    _devices: int = 0
    _codes: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        names = Features(self.profile, self.model.vocabulary).names
        at = [names.index(f"{signal}.now") for signal in self.profile.signals]
        self._usual = self.model.usual[:, at]
        self._counts = np.zeros((len(at), len(_SHARES)), dtype=np.int64)
        self._outside = np.zeros(len(at), dtype=np.int64)
        self._measured = np.zeros(len(at), dtype=np.int64)

    def take(self, windows: Iterable[Window]) -> None:
        """Counts the ticks of some devices."""
        total: Floats | None = None
        for measured, window in self._in_usual_conditions(windows):
            sums = np.stack([np.nansum(measured, axis=0), np.isfinite(measured).sum(axis=0)])
            total = sums if total is None else total + sums
            self._codes |= {window.events.names[what] for what in set(window.events.what.tolist())}
            # As exact as the band is, or a value that is the band's edge would lie beside it.
            values = measured.astype(np.float32)
            for at, (low, middle, high) in enumerate(self._usual.T):
                seen = values[:, :, at][np.isfinite(values[:, :, at])]
                below, above = (seen < low).sum(), (seen > high).sum()
                upper = (seen > middle).sum() - above
                self._counts[at] += (below, len(seen) - below - upper - above, upper, above)
        if total is None:
            return
        self._devices += int((total[1].sum(axis=1) > 0).sum())
        with np.errstate(invalid="ignore"):
            means = total[0] / total[1]
        self._measured += np.isfinite(means).sum(axis=0)
        means = means.astype(np.float32)
        self._outside += ((means < self._usual[0]) | (means > self._usual[2])).sum(axis=0)

    def _in_usual_conditions(self, windows: Iterable[Window]) -> Iterator[tuple[Floats, Window]]:
        """What was measured [T, D, S] as the model sees it, and the window that it is of."""
        conditions = self.model.conditions
        if conditions is None:
            yield from ((window.values, window) for window in windows)
            return
        contexts, corrected = conditions.places(list(self.profile.signals))
        for window, context in followed(windows, contexts):
            values = window.values.copy()
            values[:, :, corrected] = conditions.corrected(values[:, :, corrected], context)
            yield values, window

    def drift(self, days: float) -> Drift:
        """What was counted, over so many days. A signal that the model or the devices do not know is left out."""
        signals = list(self.profile.signals.items())
        known = [at for at in range(len(signals)) if np.isfinite(self._usual[:, at]).all() and self._measured[at]]
        return Drift(
            days=days,
            devices=self._devices,
            signals=tuple(
                SignalDrift(
                    signal=signals[at][0],
                    unit=signals[at][1].unit,
                    low=float(self._usual[0, at]),
                    high=float(self._usual[2, at]),
                    index=index(self._counts[at].tolist(), tuple(self._usual[:, at].tolist())),
                    outside=float(self._outside[at] / self._measured[at]),
                )
                for at in known
            ),
            unknown_codes=tuple(sorted(self._codes - set(self.model.vocabulary.codes))),
        )


def index(counts: Sequence[int], band: tuple[float, float, float]) -> float:
    """The population stability index of counts below, in the lower and upper half of, and above a band.

    Where edges of the band are one value (a heater that is mostly off), the halves are one, and less than 5 % beyond that
    edge is as it was: how many there were is not known.
    """
    low, middle, high = band
    seen = np.array(counts, dtype=np.float64) / max(sum(counts), 1)
    usual = _SHARES.copy()
    if low == middle:
        usual[0] = min(usual[0], seen[0])
    if middle == high:
        usual[3] = min(usual[3], seen[3])
    if middle in (low, high):
        seen = np.array([seen[0], seen[1] + seen[2], seen[3]])
        usual = np.array([usual[0], 1.0 - usual[0] - usual[3], usual[3]])
    seen, usual = np.maximum(seen, _LEAST), np.maximum(usual, _LEAST)
    return float(((seen - usual) * np.log(seen / usual)).sum())
