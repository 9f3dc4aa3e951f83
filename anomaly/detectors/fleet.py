"""A device against the other devices of its profile at the same time: what all of them do is weather, not a fault.

Each signal's distance from the device's own usual level is compared with the median distance of all devices heard in the
tick. What is left is smoothed, and held against both its usual spread for this device and its spread over the fleet now.
"""

from typing import ClassVar

import numpy as np

from anomaly.asked import Asked
from anomaly.detector import Columns, Field, Layout, SignalEvidence, Track, alone, least_spread, or_zero
from anomaly.detectors.renewal import Renewal
from core.profile import Profile
from telemetry.window import Bools, Floats, Tick

FEWEST = 8
"""Fewer devices are no fleet: the median of their distances is then no better than one of them."""
_WARM_UP, _MEMORY, _SMOOTH = 40, 1000, 12
"""Ticks, where the profile gives no time."""
_SAMPLE = 2000
"""A median of so many devices is as good as one of all of them: off by a fortieth of the spread."""
_TO_SIGMA = 1.4826
"""From the median of absolute distances to the standard deviation, if they were normal."""
_FLOOR, _OWN_FLOOR = 1e-4, 1e-2
"""The spread is never taken to be less than this share of a signal's range, or of its own usual size where that is less."""
_LEARN_ALL, _LEARN_NONE = 0.4, 0.8
"""Up to which deviation a value is learnt with full weight, and from which on not at all; 1 is the threshold."""
_MOST = 3.0
"""A single distance beyond this many thresholds counts no more than this."""


class Fleet:
    """Scores failure modes by their symptoms, and components without any by whatever deviates most."""

    name: ClassVar[str] = "fleet"
    version: ClassVar[str] = "2"

    def __init__(self, profile: Profile) -> None:
        settings = profile.detectors.fleet
        if settings is None:
            raise ValueError(f"profile {profile.name} does not use the detector {self.name}")
        self._profile = profile
        self._threshold = settings.threshold
        self._warm_up = settings.warm_up / profile.tick if settings.warm_up else _WARM_UP
        self._memory = max(settings.memory / profile.tick if settings.memory else _MEMORY, self._warm_up)
        self._smooth = max(1.0, settings.smooth / profile.tick if settings.smooth else _SMOOTH)
        names = list(profile.signals)
        self._judged = profile.measured
        self._columns = np.array([names.index(n) for n in self._judged], dtype=np.int64)
        ranges = np.array([profile.signals[n].range for n in self._judged]).reshape(-1, 2)
        self._low, self._span = ranges[:, 0], ranges[:, 1] - ranges[:, 0]
        self._asked = Asked.of(profile, self._judged)
        self._renewal = Renewal(profile, self._judged, self._asked, _LEARN_NONE)
        self._smoothing = np.array([[self._smooth]])
        self.tracks = tuple(
            Track(
                component=component,
                failure_mode=mode,
                kind="degradation",
                on_delay=settings.on_delay,
                off_delay=settings.off_delay,
                off_below=0.8,
            )
            for component, mode in self._asked.modes
        )
        s = (len(self._judged),)
        self.layout: Layout = {
            "n": Field(shape=s, dtype="<f4"),  # ticks learnt, at most the memory
            "level": Field(shape=s),  # the device's own, without what all do; in shares of the range, as what follows
            "newest": Field(shape=s, start=np.nan),  # the value
            "apart": Field(shape=s),  # newest distance from own level and fleet
            "rest": Field(shape=s),  # the same, smoothed: what is judged
            "common": Field(shape=s),  # what the fleet did when it was judged
            "spread": Field(shape=s),  # its usual variance
            "across": Field(shape=s),  # its spread over the fleet when it was judged
            "judged": Field(shape=s, dtype="?"),  # whether there was a fleet to compare it with
            **self._renewal.layout,
        }

    def score(self, tick: Tick, state: Columns) -> Floats:
        """[D, K] deviation from the fleet, 1 at the threshold; NaN in the warm-up and without a fleet."""
        if len(tick.replaced.device):
            self._renewal.begin(tick.replaced, self._apart(state), self._smoothing, state)
        self._follow(tick, state)
        return self._asked.fuse(self._deviation(state))

    def _follow(self, tick: Tick, state: Columns) -> None:
        values = tick.values[:, self._columns]
        seen = np.isfinite(values)
        # A value far beyond the range says no more than one just beyond it, and squares stay finite.
        share = np.clip((values - self._low) / self._span, -1.0, 2.0)
        own = np.where(seen & (state["n"] > 0), share - state["level"], np.nan)
        settled = state["n"] >= self._warm_up / 2
        known = np.where(settled, own, np.nan)
        common, count = _median(known)
        common = np.where(count >= FEWEST, common, 0.0)
        fleet = (count >= FEWEST) & seen
        # A device that joins starts at its own value less what the fleet does at this time.
        state["level"] = np.where(seen & (state["n"] == 0), share - common, state["level"])
        # Until it is settled, a device learns its level with or without others.
        apart = np.where((fleet | ~settled) & np.isfinite(own), own - common, 0.0)
        bounded = settled & (state["renewing"] <= 0)
        most = np.where(bounded, _MOST * self._threshold * self._width(state), np.inf)
        state["apart"] = np.clip(apart, -most, most)
        over = np.minimum(np.maximum(state["n"], 1.0), self._smooth)
        renewed = self._renewal.since(self._smoothing, state)
        if renewed is not None:
            over = np.minimum(over, renewed)
        step = (fleet & settled) / over
        state["rest"] += step * (state["apart"] - state["rest"])
        state["newest"] = np.where(seen, share, state["newest"])
        state["common"] = np.where(fleet, common, state["common"])
        middle, _ = _median(np.where(np.isfinite(known), state["rest"], np.nan))
        far, _ = _median(np.where(np.isfinite(known), np.abs(state["rest"] - middle), np.nan))
        state["across"] = np.where(fleet, _TO_SIGMA * far, state["across"])
        state["judged"] = np.where(tick.heard[:, None], np.where(seen, fleet, state["judged"]), state["judged"])

    def _width(self, state: Columns) -> Floats:
        """[D, S] spread of what is judged: the device's own usual one or the fleet's now, whichever is wider."""
        size = np.maximum(np.abs(state["level"] + self._low / self._span), np.sqrt(state["spread"]))
        width: Floats = np.maximum(np.sqrt(state["spread"]), state["across"])
        return width + least_spread(_FLOOR, size, _OWN_FLOOR)

    def _deviation(self, state: Columns) -> Floats:
        """[D, S] 1 at the threshold; NaN where it is not known, or may be what a new part is like."""
        return self._renewal.known(self._apart(state), state)

    def _apart(self, state: Columns) -> Floats:
        ready = state["judged"] & (state["n"] >= self._warm_up)
        return np.where(ready, state["rest"] / (self._threshold * self._width(state)), np.nan)

    def learn(self, tick: Tick, state: Columns, abnormal: Bools) -> None:  # noqa: ARG002 — weighed by each signal's deviation
        """Level and spread move, with less weight the stranger a signal is."""
        seen = np.isfinite(tick.values[:, self._columns])
        if self._renewal.goes_on(state):
            passed = (seen & state["judged"]).astype(float)
            new = self._renewal.over(passed, self._apart(state), state)
            state["level"] += np.where(new, state["rest"], 0.0)
            for field in ("apart", "rest"):
                state[field] = np.where(new, 0.0, state[field])
        deviation = np.abs(or_zero(self._apart(state)))
        trust = np.clip((_LEARN_NONE - deviation) / (_LEARN_NONE - _LEARN_ALL), 0.0, 1.0) * seen
        state["n"] = np.minimum(state["n"] + trust, self._memory).astype(np.float32)
        step = trust / np.maximum(state["n"], 1.0)
        state["level"] += step * state["apart"]
        state["spread"] += step * (state["rest"] ** 2 - state["spread"])

    def because(self, tick: Tick, state: Columns, device: int, track: int) -> list[SignalEvidence]:  # noqa: ARG002 — the state holds it
        """Signals that speak for it: where this device would be if it did as the fleet does, and where it is."""
        own = alone(device, state)
        deviation = self._deviation(own)
        shown = self._asked.shown(track, deviation)[0]
        total = float(shown.sum()) or 1.0
        expected = (own["level"] + own["common"])[0]
        width = self._threshold * self._width(own)[0]
        found = []
        for s in np.argsort(-shown, kind="stable"):
            if not np.isfinite(deviation[0, s]) or not (self._asked.signs[track, s] or self._asked.either[track, s]):
                continue
            low, span = float(self._low[s]), float(self._span[s])
            found.append(
                SignalEvidence(
                    signal=self._judged[s],
                    unit=self._profile.signals[self._judged[s]].unit,
                    normal_low=low + span * float(expected[s] - width[s]),
                    normal_high=low + span * float(expected[s] + width[s]),
                    seen=low + span * float(expected[s] + own["rest"][0, s]),
                    contribution=float(shown[s]) / total,
                    direction="high" if deviation[0, s] > 0 else "low",
                )
            )
        return found


def _median(values: Floats) -> tuple[Floats, Floats]:
    """[S] median over devices of what is known, 0 where nothing is; and [S] how many that is, of the whole fleet."""
    counts: Floats = np.isfinite(values).sum(axis=0).astype(float)
    # Every n-th device, so that the answer does not hang on a random number.
    some = np.sort(values[:: max(1, len(values) // _SAMPLE)].T, axis=1)
    known = np.isfinite(some).sum(axis=1)
    if not some.shape[1]:
        return np.zeros(len(counts)), counts
    row = np.arange(len(some))
    low = some[row, np.maximum(known - 1, 0) // 2]
    high = some[row, np.minimum(known // 2, some.shape[1] - 1)]
    return np.where(known > 0, (low + high) / 2.0, 0.0), counts
