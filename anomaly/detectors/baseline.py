"""A device against its own past: robust self-baseline with slow drift, corrected for context.

Each judged signal is smoothed, explained by the profile's context signals (room temperature, load) through an
exponentially weighted regression that the device learns for itself, and the rest is held against its own usual spread.
What looks abnormal is not learnt (after river's QuantileFilter: score first, learn last).
"""

from typing import ClassVar

import numpy as np

from anomaly.asked import Asked
from anomaly.detector import Columns, Field, Layout, SignalEvidence, Track, believable, least_spread
from anomaly.detectors.spell import spell
from core.profile import Profile
from telemetry.window import Bools, Floats, Tick

WARM_UP, MEMORY, SMOOTH = 168, 336, 12
"""What a profile that gives no durations gets, in ticks: with hourly ticks a week, two weeks, half a day."""
_WIDEST, _GROWS = 1 / 4, 6.0
"""Without a duration the smoothing widens, as a device grows older than the horizon by so many horizons, up to this share of it:
what lasts for less foretells nothing, however often the device measures.
"""
_REMEMBERED = MEMORY / SMOOTH
"""Then the memory is at least this many times the smoothing: a device that is as wide as it gets has lived for as long as it remembers."""
_LASTS = 4
"""An alarm opens after a quarter of the smoothing and closes after the whole, where the profile says nothing else."""
_STEPS = 8
"""The regression sees values smoothed over 1/8 of the final smoothing: slow enough for lags, fast enough for days."""
_FLOOR, _OWN_FLOOR = 1e-5, 1e-2
_RELATIVE_FLOOR = 1e-3
"""The spread is never taken to be less than these shares of a signal's range, or of its own usual size where that is less,
and of its usual value, added up.
"""
_LEAST = 0.25
"""The spread of the smoothed rest is at least this share, in variance, of what independent values would have."""
_FEWEST = 20
"""So many ticks a signal must have been measured in before it is judged."""
_SILENT = 4
"""A signal that was not measured for so many times the smoothing, while others were, says nothing any more."""
_LEARN_ALL, _LEARN_NONE = 1.5, 3.0
"""Up to how many widths of the band a value is learnt with full weight, and from how many on not at all. A higher threshold
learns no more: a slow fault would widen its own band before it is found."""
_MOST = 3.0
"""A deviation beyond this many thresholds counts no more than this: one tick alone makes no alarm, and what lasts is still ranked."""
_SAME = 0.4
"""A level that moved by less than this share of the threshold has stayed where it is."""
_LEVELLED = 8
"""Whether it moved is seen by its mean over the memory divided by this."""
_ALLOWED, _DRIFTED = 0.1, 0.05
"""What is beyond this share of the threshold is added up as drift, and drift is abnormal at this share of the threshold times the
memory: a quarter of the threshold for a third of the memory, half of it for an eighth."""
_SCATTERED = 1.4
"""It is never abnormal at less than this many thresholds times the smoothing: so much adds up by chance."""
_MOST_AT_ONCE = 0.8
"""No tick adds more to a drift than this share of the threshold: what is far out shows without it."""
_MOST_DRIFT = 1.5
"""A drift that is over is forgotten soon, so it is never more than this."""


class Baseline:
    """Scores each failure mode by how far its symptoms are from the device's own normal, in the declared directions.

    A component that has signals but no failure mode with symptoms is watched for any deviation, as `abnormal`.
    """

    name: ClassVar[str] = "baseline"
    version: ClassVar[str] = "4"

    def __init__(self, profile: Profile) -> None:
        settings = profile.detectors.baseline
        if settings is None:
            raise ValueError(f"profile {profile.name} does not use the detector {self.name}")
        self._profile = profile
        self._threshold = settings.threshold
        names = list(profile.signals)
        self._judged, contexts = profile.measured, profile.contexts
        self._columns = np.array([names.index(n) for n in self._judged], dtype=np.int64)
        self._contexts = np.array([names.index(n) for n in contexts], dtype=np.int64)
        span = np.array([profile.signals[n].range[1] - profile.signals[n].range[0] for n in self._judged])
        self._floor = span * _FLOOR
        self._wild = believable(profile)
        self._ridge = (
            np.array([profile.signals[n].range[1] - profile.signals[n].range[0] for n in contexts]) * 0.005
        ) ** 2
        self._warm_up = spell(settings.warm_up, profile, WARM_UP)
        self._memory = spell(settings.memory, profile, max(MEMORY, 2 * self._warm_up))
        self._smooth = spell(settings.smooth, profile, SMOOTH)
        self._horizon = profile.horizon / profile.tick
        widest = min(self._horizon * _WIDEST, self._memory / _REMEMBERED if settings.memory is not None else np.inf)
        self._widest = max(self._smooth, widest) if settings.smooth is None else self._smooth
        self._remembered = _REMEMBERED if settings.memory is None else 0.0
        self._drifts = settings.drift
        self._asked = Asked.of(profile, self._judged)
        self.tracks = tuple(
            Track(
                component=component,
                failure_mode=mode,
                kind="degradation",
                on_delay=spell(settings.on_delay, profile, -(-self._smooth // _LASTS)),
                off_delay=spell(settings.off_delay, profile, self._smooth),
                off_below=1.0 - settings.deadband / settings.threshold,
            )
            for component, mode in self._asked.modes
        )
        s, c = len(self._judged), len(contexts)
        self.layout: Layout = {
            "known": Field(shape=(s,)),  # ticks since the signal was first measured
            "n": Field(shape=(s,)),  # ticks in which it was measured
            "age": Field(shape=(s,)),  # ticks since it was last measured before this one
            "fresh": Field(shape=(s,)),  # whether it was measured in the last tick
            "y": Field(shape=(s,)),  # signal, smoothed a little
            "c": Field(shape=(c,), start=np.nan),  # context, smoothed a little
            "weight": Field(shape=(s,)),  # ticks learnt, at most the memory
            "mean_y": Field(shape=(s,)),
            "mean_c": Field(shape=(s, c)),
            "var_c": Field(shape=(s, c, c)),
            "cov": Field(shape=(s, c)),
            "slope": Field(shape=(s, c)),
            "rest_var": Field(shape=(s,)),  # of what context does not explain
            "rest": Field(shape=(s,)),  # the same, smoothed: what is judged
            "spread": Field(shape=(s,)),  # its usual variance
            "level": Field(shape=(s,)),  # the deviation, smoothed once more
            "held": Field(shape=(s,)),  # the same when it last moved
            "still": Field(shape=(s,)),  # ticks since then, while it is strange
        }
        if self._drifts:
            # Upwards and downwards: deviations added up, 1 is abnormal.
            self.layout = {**self.layout, "drift": Field(shape=(2, s))}

    def score(self, tick: Tick, state: Columns) -> Floats:
        """[D, K] combined deviation of the symptoms, 1 at the threshold; NaN until the device's warm-up is over."""
        smooth = self._smoothing(state)
        self._follow(tick, state, smooth)
        deviation = self._deviation(state, smooth)
        if self._drifts:
            self._add_up(deviation, state, smooth)
        return self._fuse(self._strongest(deviation, state))

    def _smoothing(self, state: Columns) -> Floats:
        """[D, S], or [1, 1] where all are the same: over how many ticks the rest is smoothed."""
        if self._widest == self._smooth:
            return np.array([[float(self._smooth)]])
        older = np.clip((state["known"] / self._horizon - 1.0) / _GROWS, 0.0, 1.0)
        smoothing: Floats = self._smooth + older * (self._widest - self._smooth)
        return smoothing

    def _remembering(self, smooth: Floats) -> Floats:
        """[D, S] over how many ticks what is normal is learnt."""
        return np.maximum(self._memory, self._remembered * smooth)

    def _follow(self, tick: Tick, state: Columns, smooth: Floats) -> None:
        """Moves the running means of the present."""
        values = np.clip(tick.values, -self._wild, self._wild)
        y, c = values[:, self._columns], values[:, self._contexts]
        seen = np.isfinite(y)
        # Time runs in ticks in which the device was heard, so a signal that is measured seldom (a heater's power while it
        # heats) is smoothed over the same time as one that always is.
        passed = tick.heard[:, None] & ((state["n"] > 0) | seen)
        state["known"] += passed
        state["n"] += seen
        state["age"] = np.where(state["fresh"] > 0, 0.0, state["age"]) + passed
        state["fresh"] = seen.astype(float)
        age = state["age"]
        fast = _fast(smooth)
        step = np.maximum(_share(age, fast), 1.0 / np.maximum(state["n"], 1.0))
        state["y"] += np.where(seen, step * (np.where(seen, y, 0.0) - state["y"]), 0.0)
        known = np.isfinite(c)
        # As slowly as the signals, or the regression would find the context to be ahead of them.
        lag = fast.max(axis=1, keepdims=True, initial=1.0)
        moved = np.where(np.isfinite(state["c"]), state["c"] + (c - state["c"]) / lag, c)
        state["c"] = np.where(known, moved, state["c"])
        rest = state["y"] - self._expected(state)
        # Until the regression has seen a few independent values its rest means nothing.
        started = seen & (state["weight"] >= smooth)
        # A value far out counts only so much: a day with warm food in it is no trend.
        most = _MOST * self._threshold * self._width(state, smooth)
        rest = np.clip(rest, -most, most)
        slow = _share(age, smooth)
        state["rest"] += np.where(started, slow * (rest - state["rest"]), 0.0)

    def _expected(self, state: Columns) -> Floats:
        """[D, S] what the smoothed signal should be in the present context."""
        expected: Floats = state["mean_y"] + (state["slope"] * _away(state)).sum(axis=2)
        return expected

    def _width(self, state: Columns, smooth: Floats) -> Floats:
        """[D, S] usual spread of the judged rest; wider where the context is one that the device has hardly known."""
        fast = _fast(smooth)
        independent = np.maximum(state["weight"] / (2.0 * fast), 1.0)[:, :, None]
        own = np.diagonal(state["var_c"], axis1=2, axis2=3) + self._ridge
        unsure = (state["rest_var"][:, :, None] * _away(state) ** 2 / (independent * own)).sum(axis=2)
        least = _LEAST * state["rest_var"] * fast / smooth
        width: Floats = np.sqrt(np.maximum(state["spread"], least) + unsure)
        size = np.maximum(np.abs(state["mean_y"]), np.sqrt(state["rest_var"]))
        width += least_spread(self._floor, size, _OWN_FLOOR) + _RELATIVE_FLOOR * np.abs(state["mean_y"])
        return width

    def _deviation(self, state: Columns, smooth: Floats) -> Floats:
        """[D, S] signed deviation, 1 at the threshold; NaN in the warm-up, and for a signal that fell silent."""
        deviation = state["rest"] / (self._threshold * self._width(state, smooth))
        silent = (state["fresh"] == 0) & (state["age"] > np.maximum(_SILENT * smooth, _FEWEST))
        ready = (state["known"] >= self._warm_up) & (state["n"] >= _FEWEST) & ~silent
        return np.where(ready, deviation, np.nan)

    def _add_up(self, deviation: Floats, state: Columns, smooth: Floats) -> None:
        """Moves the two sums (Page's CUSUM): a deviation that the memory would swallow before it is large shows by lasting."""
        passed = np.where(np.isfinite(deviation), state["fresh"] * state["age"], 0.0)[:, None, :]
        sides = np.array([1.0, -1.0])[:, None]
        towards = np.clip(np.nan_to_num(deviation)[:, None, :] * sides, -_MOST_AT_ONCE, _MOST_AT_ONCE)
        enough = np.maximum(_DRIFTED * self._remembering(smooth), _SCATTERED * smooth)
        drift = state["drift"] + (towards - _ALLOWED) * passed / enough[:, None, :]
        # On the other side of normal it was no drift.
        drift = np.where(towards < 0, drift * np.maximum(1.0 - passed / smooth[:, None, :], 0.0), drift)
        state["drift"] = np.clip(drift, 0.0, _MOST_DRIFT)

    def _strongest(self, deviation: Floats, state: Columns) -> Floats:
        """[D, S] the deviation, or the drift where that says more; NaN where the deviation is not known."""
        if not self._drifts:
            return deviation
        drift = state["drift"][:, 0] - state["drift"][:, 1]
        return np.where(np.abs(drift) > np.abs(deviation), np.where(np.isfinite(deviation), drift, np.nan), deviation)

    def _fuse(self, deviation: Floats) -> Floats:
        """[D, K] from signals to failure modes, by the signals that are there; NaN where none is."""
        result = np.full((len(deviation), len(self._asked.modes)), np.nan)
        there = np.isfinite(deviation)
        known = np.where(there, deviation, 0.0)
        for k, (signs, either) in enumerate(zip(self._asked.signs, self._asked.either, strict=True)):
            if either.any():
                fused, count = np.abs(known[:, either]).max(axis=1), there[:, either].sum(axis=1)
            else:
                shown = signs != 0
                count = there[:, shown].sum(axis=1)
                # Stouffer's sum: several signs, each too weak alone, are strong together.
                fused = known[:, shown] @ signs[shown] / np.sqrt(np.maximum(count, 1))
            result[:, k] = np.where(count > 0, fused, np.nan)
        return result

    def learn(self, tick: Tick, state: Columns, abnormal: Bools) -> None:  # noqa: ARG002 — judged by signal, not by mode
        """Moves what is normal, with less weight the stranger a signal is, with none beyond the threshold."""
        seen = np.isfinite(tick.values[:, self._columns])
        smooth = self._smoothing(state)
        memory = self._remembering(smooth)
        signed = np.nan_to_num(self._deviation(state, smooth))
        deviation = np.abs(signed) * self._threshold
        trust = np.clip((_LEARN_NONE - deviation) / (_LEARN_NONE - _LEARN_ALL), 0.0, 1.0) * seen * state["age"]
        state["weight"] = np.minimum(state["weight"] + trust, memory)
        step = np.minimum(trust / np.maximum(state["weight"], 1.0), 1.0)
        known = np.isfinite(state["c"])[:, None, :]
        away_c = _away(state)
        first = (state["n"] <= 1.0)[:, :, None] & known
        state["mean_c"] += np.where(first, away_c, step[:, :, None] * away_c)
        away_c = np.where(first, 0.0, away_c)
        away_y = state["y"] - state["mean_y"]
        state["mean_y"] += step * away_y
        keep = 1.0 - step
        state["cov"] = keep[:, :, None] * (state["cov"] + (step * away_y)[:, :, None] * away_c)
        state["var_c"] = keep[:, :, None, None] * (
            state["var_c"] + step[:, :, None, None] * away_c[:, :, :, None] * away_c[:, :, None, :]
        )
        self._settle(state, signed, memory)
        self._regress(state)
        rest = state["y"] - self._expected(state)
        state["rest_var"] += step * (rest**2 - state["rest_var"])
        # Until it is learnt, the smoothed rest is taken to spread as widely as the rest itself.
        settled = state["weight"] > smooth
        moved = state["spread"] + step * (state["rest"] ** 2 - state["spread"])
        state["spread"] = np.where(settled, moved, state["rest_var"])

    def _settle(self, state: Columns, deviation: Floats, memory: Floats) -> None:
        """Takes a strange level for the new normal when it has not moved for as long as the memory: a part was exchanged,
        a setting was changed. Wear moves on, and each move starts the time anew.
        """
        passed = state["fresh"] * state["age"]
        state["level"] += _share(passed, np.maximum(1.0, memory / _LEVELLED)) * (deviation - state["level"])
        moved = np.abs(state["level"] - state["held"]) > _SAME
        state["held"] = np.where(moved, state["level"], state["held"])
        strange = np.abs(state["level"]) * self._threshold >= _LEARN_NONE
        state["still"] = np.where(strange & ~moved, state["still"] + passed, 0.0)
        new = state["still"] >= memory
        if new.any():
            state["mean_y"] += np.where(new, state["rest"], 0.0)
            for field in ("rest", "level", "held", "still"):
                state[field] = np.where(new, 0.0, state[field])
            if self._drifts:
                state["drift"] = np.where(new[:, None, :], 0.0, state["drift"])

    def _regress(self, state: Columns) -> None:
        """One Gauss-Seidel sweep of the ridge regression; the slopes follow as the moments move."""
        for j in range(len(self._contexts)):
            others = (state["slope"] * state["var_c"][:, :, j, :]).sum(axis=2)
            own = state["var_c"][:, :, j, j]
            explained = others - state["slope"][:, :, j] * own
            state["slope"][:, :, j] = (state["cov"][:, :, j] - explained) / (own + self._ridge[j])

    def because(self, tick: Tick, state: Columns, device: int, track: int) -> list[SignalEvidence]:  # noqa: ARG002 — the state holds it
        """Symptoms of the failure mode with the normal band in the present context and the value now."""
        asked = (self._asked.signs[track] != 0) | self._asked.either[track]
        own = {name: column[device : device + 1] for name, column in state.items()}
        smooth = self._smoothing(own)
        plain = self._deviation(own, smooth)
        signed = self._strongest(plain, own)
        deviation = signed[0]
        # A drift is judged by what lies outside a narrower band.
        band = np.where(deviation == plain[0], 1.0, _ALLOWED)
        width = self._width(own, smooth)[0] * self._threshold * band
        expected = self._expected(own)[0]
        strength = self._asked.shown(track, signed)[0]
        total = float(strength.sum()) or 1.0
        found = []
        for s, name in enumerate(self._judged):
            if not asked[s] or not np.isfinite(deviation[s]):
                continue
            found.append(
                SignalEvidence(
                    signal=name,
                    unit=self._profile.signals[name].unit,
                    normal_low=float(expected[s] - width[s]),
                    normal_high=float(expected[s] + width[s]),
                    seen=float(own["y"][0, s]),
                    contribution=float(strength[s]) / total,
                    direction="high" if deviation[s] > 0 else "low",
                )
            )
        return sorted(found, key=lambda e: -e.contribution)


def _fast(smooth: Floats) -> Floats:
    """What signals are smoothed by before the regression sees them, in ticks."""
    return np.maximum(1.0, smooth / _STEPS)


def _share(age: Floats, constant: Floats) -> Floats:
    """The weight of a new value after `age` ticks in an exponential mean with a time constant in ticks."""
    share: Floats = 1.0 - (1.0 - 1.0 / constant) ** age
    return share


def _away(state: Columns) -> Floats:
    """[D, S, C] how far the context is from what each signal was learnt in; 0 where the context is not known."""
    context = state["c"][:, None, :]
    away: Floats = np.where(np.isfinite(context), context - state["mean_c"], 0.0)
    return away
