"""Broken relations between the signals of a device: principal component analysis with Hotelling's T2 and Q (SPE).

Each device learns its own mean and covariance while it is healthy. T2 measures how far it is within the directions in
which it usually moves, Q how far outside of them: two signals may each be in their band and yet not belong together.
Q's axes are weighed by their own variance (Hawkins), or a small but telling one would drown in the noise of the others.
Both are held against what they usually are for this device, so no distribution is assumed.
"""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from anomaly.asked import ABNORMAL, unexplained
from anomaly.detector import Columns, Field, Layout, SignalEvidence, Track, alone
from core.profile import Profile, Role
from telemetry.window import Bools, Floats, Marks, Tick

_WARM_UP, _MEMORY, _SMOOTH = 360, 4000, 5
"""Ticks, where the profile gives no time."""
_KEPT = 0.5
"""Share of the variance within the directions of T2; the rest is Q's."""
_FLOOR = 1e-5
_RELATIVE_FLOOR = 1e-3
"""The spread is never taken to be less than these shares of a signal's range and of its usual value, added up."""
_FAR = 10.0
"""A value further than this many spreads from the mean counts no more than this."""
_LEARN_ALL, _LEARN_NONE = 0.4, 0.8
"""Up to which score a tick is learnt with full weight, and from which on not at all."""
_LEAST_SPREAD = 0.1
"""A statistic's own spread is at least this share of its usual value, and of 1."""
_ENOUGH = 1 / 4
"""A signal is judged from this share of the warm-up on; after a replacement its mean is found anew for as long."""
_ABOVE = 1.25
"""So many times further than it ever was when it was normal, a statistic must be."""
_FORGET = 4.0
"""How far it was is forgotten over so many memories."""
_BLAMED_FROM = 0.25
"""Below this score nobody is blamed, so no contributions are worked out."""
_NOT_BLAMED = 0.95
"""The score of a component whose signals contribute less than another's ends here."""


class Correlation:
    """Watches the components that have signals but no failure mode with symptoms, as `abnormal`.

    The one whose signals contribute most to the statistic is blamed.
    """

    name: ClassVar[str] = "correlation"
    version: ClassVar[str] = "2"

    def __init__(self, profile: Profile) -> None:
        settings = profile.detectors.correlation
        if settings is None:
            raise ValueError(f"profile {profile.name} does not use the detector {self.name}")
        self._profile = profile
        self._threshold = settings.threshold
        self._warm_up = settings.warm_up / profile.tick if settings.warm_up else _WARM_UP
        self._memory = max(settings.memory / profile.tick if settings.memory else _MEMORY, self._warm_up)
        self._smooth = max(1.0, settings.smooth / profile.tick if settings.smooth else _SMOOTH)
        self._enough = _ENOUGH * self._warm_up
        self._names = list(profile.signals)
        ranges = np.array([profile.signals[n].range for n in self._names])
        self._low, self._span = ranges[:, 0], ranges[:, 1] - ranges[:, 0]
        parts = [s.component if s.role is Role.MEASURE else None for s in profile.signals.values()]
        self._of = {c: np.array([p == c for p in parts]) for c in profile.components}
        # One signal alone has no relations.
        watched = unexplained(profile) if len(self._names) > 1 else []
        self._member = np.array([[p == c for p in parts] for c in watched], dtype=np.float32).reshape(-1, len(parts))
        self.tracks = tuple(
            Track(
                component=component,
                failure_mode=ABNORMAL,
                kind="degradation",
                on_delay=settings.on_delay,
                off_delay=settings.off_delay,
                off_below=0.8,
            )
            for component in watched
        )
        s = len(self._names)
        self.layout: Layout = (
            {
                "n": Field(shape=(s,), dtype="<f4"),  # ticks learnt of each signal, at most the memory
                "age": Field(dtype="<f4"),  # ticks learnt
                "mean": Field(shape=(s,)),  # of each signal, in shares of its range, as all that follows
                "away": Field(shape=(s,), dtype="<f4"),  # from the mean, newest
                "recent": Field(shape=(s,), dtype="<f4"),  # from the mean, smoothed
                "renewing": Field(shape=(s,), dtype="<f4"),  # ticks in which a new part may find another mean
                "before": Field(shape=(s,), dtype="<f4"),  # what was recent and strange when it was replaced
                "cov": Field(shape=(s, s), dtype="<f4"),
                "width": Field(shape=(s,), dtype="<f4", start=1.0),  # the spread when the axes were found
                "axes": Field(shape=(s, s), dtype="<f4"),  # columns are eigenvectors of the correlation
                "inverse": Field(shape=(s,), dtype="<f4"),  # 1 / eigenvalue of each axis, negative of Q's
                "due": Field(dtype="<f4", start=self._warm_up / 2),  # the age at which the axes are found anew
                "found": Field(dtype="?"),  # whether there are axes
                "size": Field(shape=(2,), dtype="<f4"),  # square roots of T2 and Q now
                "sizes": Field(dtype="<f4"),  # ticks of which their usual size is known
                "usual": Field(shape=(2,)),  # their mean
                "spread": Field(shape=(2,)),  # their variance
                "highest": Field(shape=(2,)),  # what was the furthest above the mean and normal, slowly forgotten
            }
            if watched
            else {}
        )

    def score(self, tick: Tick, state: Columns) -> Floats:
        """[D, K] how far the statistic of the blamed component is beyond its usual size, 1 at the threshold; NaN in the
        warm-up.
        """
        if not self.tracks:
            return np.empty((len(tick.heard), 0))
        if len(tick.replaced.device):
            self._renew(tick.replaced, state)
        self._follow(tick, state)
        strength = self._strength(state).max(axis=1)
        score = np.repeat(np.maximum(strength, 0.0)[:, None], len(self.tracks), axis=1)
        ready = self._ready(state)
        hot = np.nonzero(ready & (strength >= _BLAMED_FROM))[0]
        if len(hot) and len(self.tracks) > 1:
            blame = self._contributions({name: column[hot] for name, column in state.items()}) @ self._member.T
            most = blame.max(axis=1, keepdims=True)
            share = blame / np.where(most > 0, most, 1.0)
            score[hot] = np.where(share >= 1.0, score[hot], np.minimum(score[hot] * share, _NOT_BLAMED))
        return np.where(ready[:, None], score, np.nan)

    def _ready(self, state: Columns) -> Bools:
        ready: Bools = state["found"] & (state["age"] >= self._warm_up)
        return ready

    def _renew(self, replaced: Marks, state: Columns) -> None:
        """Lets the signals of replaced components find another mean."""
        strange = self._ready(state) & (self._strength(state).max(axis=1) >= _LEARN_NONE)
        for device, what in zip(replaced.device.tolist(), replaced.what.tolist(), strict=True):
            own = self._of.get(replaced.names[what])
            if own is None:
                continue
            parts = self._contributions(alone(device, state))[0]
            told = strange[device] & (parts > parts.mean())
            state["before"][device] = np.where(own, told * state["recent"][device], state["before"][device])
            state["renewing"][device] = np.where(own, self._enough, state["renewing"][device])

    def _hidden(self, state: Columns) -> Bools:
        """[D, S] what may be what a new part is like; not where a signal is strange on the same side as before: then it was not that part."""
        hidden: Bools = (state["renewing"] > 0) & ~(state["before"] * state["recent"] > 0)
        return hidden

    def _follow(self, tick: Tick, state: Columns) -> None:
        """Moves what is smoothed, and the two statistics."""
        seen = np.isfinite(tick.values)
        # A value far beyond the range says no more than one just beyond it, and squares stay finite.
        share = np.clip((np.where(seen, tick.values, 0.0) - self._low) / self._span, -1.0, 2.0)
        fresh = seen & (state["n"] == 0)
        state["mean"] = np.where(fresh, share, state["mean"])
        renewing = state["renewing"] > 0
        far = np.where(state["found"][:, None] & ~renewing, _FAR * state["width"], np.inf)
        state["away"] = np.where(seen, np.clip(share - state["mean"], -far, far), 0.0).astype(np.float32)
        over = np.minimum(np.maximum(state["n"] + 1.0, 1.0), self._smooth)
        step = seen / np.where(renewing, self._enough - state["renewing"] + 1.0, over)
        state["recent"] += step * (state["away"] - state["recent"])
        along = self._along(state)
        square = along * along
        inverse = state["inverse"]
        sizes = np.stack(
            [(square * np.maximum(inverse, 0.0)).sum(axis=1), -(square * np.minimum(inverse, 0.0)).sum(axis=1)], axis=1
        )
        state["size"] = np.where(tick.heard[:, None], np.sqrt(sizes), state["size"])

    def _along(self, state: Columns) -> NDArray[np.float32]:
        """[D, S] the smoothed distance from the mean along the axes."""
        recent = np.where(self._hidden(state), np.float32(0), state["recent"])
        along: NDArray[np.float32] = np.einsum("ds,dsk->dk", recent / state["width"], state["axes"])
        return along

    def _strength(self, state: Columns) -> Floats:
        """[D, 2] how far T2 and Q are above their usual size, 1 at the threshold."""
        spread = np.sqrt(state["spread"]) + _LEAST_SPREAD * np.minimum(state["usual"], 1.0) + 1e-6
        # Some devices have days that are unlike others (a load of warm food): what was normal before is no fault now.
        least = np.maximum(self._threshold * spread, _ABOVE * state["highest"])
        strength: Floats = (state["size"] - state["usual"]) / least
        return strength

    def _contributions(self, state: Columns) -> Floats:
        """[D, S] what each signal adds to the statistic that is further out; never negative."""
        along = self._along(state)
        inverse = state["inverse"]
        # The symmetric roots of T2's and Q's forms: the squares of their elements add up to the statistic.
        outside = np.argmax(self._strength(state), axis=1)[:, None] == 1
        root = np.where(outside == (inverse < 0), np.sqrt(np.abs(inverse)), 0.0) * along
        parts: Floats = np.einsum("dsk,dk->ds", state["axes"], root) ** 2
        return parts

    def learn(self, tick: Tick, state: Columns, abnormal: Bools) -> None:  # noqa: ARG002 — weighed by the strength itself
        """Mean, covariance and usual size move, with less weight the stranger the device is; axes are found anew seldom."""
        if not self.tracks:
            return
        strength = self._strength(state).max(axis=1)
        trust = np.clip((_LEARN_NONE - strength) / (_LEARN_NONE - _LEARN_ALL), 0.0, 1.0)
        trust = np.where(self._ready(state), trust, 1.0) * tick.heard
        renewing = (state["renewing"] > 0).any(axis=1)
        if renewing.any():
            # What is learnt of some signals alone breaks the relations to the others.
            trust = np.where(renewing, 0.0, trust)
            self._settle(tick, state)
        weight = trust[:, None] * np.isfinite(tick.values)
        state["n"] = np.minimum(state["n"] + weight, self._memory).astype(np.float32)
        step = (weight / np.maximum(state["n"], 1.0)).astype(np.float32)
        away = state["away"]
        root = np.sqrt(step)
        both = root[:, :, None] * root[:, None, :]
        # The distance is that before the mean moved: a signal that wanders gets the width of its wandering.
        state["cov"] += both * (away[:, :, None] * away[:, None, :] - state["cov"])
        state["mean"] += step * away
        self._know_sizes(state, trust)
        state["age"] += trust.astype(np.float32)
        due = np.nonzero(state["age"] >= state["due"])[0]
        if len(due):
            self._find_axes(state, due)

    def _settle(self, tick: Tick, state: Columns) -> None:
        """Lets the time of new parts pass; what they are like when it is over is normal."""
        hidden = self._hidden(state)
        state["renewing"] = np.maximum(state["renewing"] - np.isfinite(tick.values), 0.0).astype(np.float32)
        new = hidden & (state["renewing"] <= 0)
        state["mean"] += np.where(new, state["recent"], 0.0)
        for field in ("away", "recent"):
            state[field] = np.where(new, np.float32(0), state[field])

    def _know_sizes(self, state: Columns, trust: Floats) -> None:
        trust = trust * state["found"]
        state["sizes"] = np.minimum(state["sizes"] + trust, self._memory).astype(np.float32)
        step = (trust / np.maximum(state["sizes"], 1.0))[:, None]
        off = state["size"] - state["usual"]
        state["usual"] += step * off
        # At the very start the mean is not yet known, and everything is far from it.
        calm = (step > 0) & (state["sizes"] >= self._warm_up / 8)[:, None]
        kept = state["highest"] * (1.0 - 1.0 / (_FORGET * self._memory))
        state["highest"] = np.where(calm, np.maximum(kept, off), state["highest"])
        state["spread"] = (1.0 - step) * (state["spread"] + step * off**2)

    def _find_axes(self, state: Columns, due: NDArray[np.intp]) -> None:
        """The principal axes of the devices at the positions `due`.

        numpy's `eigh` solves all of them in one call. scikit-learn's PCA has no batches and wants rows, not a covariance: it
        would be a Python loop over devices, and would keep a window of rows for each.
        """
        size = len(self._names)
        cov, n = state["cov"][due].astype(float), state["n"][due]
        own = np.diagonal(cov, axis1=1, axis2=2)
        usual = np.abs(state["mean"][due] + self._low / self._span)
        width = np.sqrt(np.maximum(own, 0.0)) + _FLOOR + _RELATIVE_FLOOR * usual
        # A signal that was measured too seldom is not judged: its width is without end.
        width = np.where(n >= self._enough, width, np.inf)
        with np.errstate(invalid="ignore"):
            correlation = np.nan_to_num(cov / (width[:, :, None] * width[:, None, :]))
        # Few ticks make a correlation of many signals look stronger than it is: shrink it (Ledoit and Wolf's idea).
        shrink = (size / (size + np.maximum(state["age"][due], 1.0)))[:, None, None]
        correlation = (1.0 - shrink) * correlation + shrink * np.eye(size)
        values, axes = np.linalg.eigh(correlation)
        values = np.maximum(values, 1e-6)
        # eigh gives the smallest first; the largest that hold the share are T2's.
        before = np.cumsum(values[:, ::-1], axis=1)[:, ::-1] - values
        kept = before < _KEPT * values.sum(axis=1, keepdims=True)
        state["width"][due] = width
        state["axes"][due] = axes
        state["inverse"][due] = np.where(kept, 1.0, -1.0) / values
        state["found"][due] = True
        age = state["age"][due]
        state["due"][due] = age + np.maximum(np.minimum(age, self._memory) / 8.0, 1.0)

    def because(self, tick: Tick, state: Columns, device: int, track: int) -> list[SignalEvidence]:  # noqa: ARG002 — the statistic is of the device
        """All signals with their usual width around their mean, and what they are now; those that contribute most first."""
        own = alone(device, state)
        parts = self._contributions(own)[0]
        total = float(parts.sum()) or 1.0
        mean, width, recent = own["mean"][0], own["width"][0], own["recent"][0]
        found = []
        for s in np.argsort(-parts, kind="stable"):
            if not np.isfinite(width[s]):
                continue
            middle, span = self._low[s] + self._span[s] * mean[s], self._span[s]
            found.append(
                SignalEvidence(
                    signal=self._names[s],
                    unit=self._profile.signals[self._names[s]].unit,
                    normal_low=float(middle - span * self._threshold * width[s]),
                    normal_high=float(middle + span * self._threshold * width[s]),
                    seen=float(middle + span * recent[s]),
                    contribution=float(parts[s]) / total,
                    direction="high" if recent[s] > 0 else "low",
                )
            )
        return found
