"""Judges by a model that was learnt from known failures: the chance that a component fails within the horizon."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import ClassVar

import numpy as np

from anomaly.detector import Columns, Layout, Prognosis, SignalEvidence, Track
from anomaly.learning.features import Features, Matrix
from anomaly.learning.model import Model, log_odds
from core import units
from core.profile import Profile
from telemetry.window import Bools, Floats, Ints, Tick

_OFF_DELAY = 1 / 4
"""An alarm is over when the chance has been low for this share of the horizon."""
_OFF_BELOW = 0.8
_TELLING = 0.02
"""What explains less than this share of a score is not told."""
_AGES = ("in_place", "ago")
"""What is told of an age, in ticks."""
_TOO_WIDE = 0.9
"""A remaining time is not predictable yet when P10 to P90 covers this share of the horizon."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What a model said at T ticks of D devices. scores: [T, D, K]. heard: [T, D]. rows: [N, F] the numbers that it saw, of
    the devices that were heard, tick after tick.
    """

    scores: Floats
    heard: Bools
    rows: Matrix

    def row(self, tick: int, device: int) -> Matrix:
        """[1, F] the numbers that it saw of a device that was heard at a tick; both are positions."""
        at = np.count_nonzero(self.heard[:tick]) + np.count_nonzero(self.heard[tick, :device])
        return self.rows[at : at + 1]


class FailureModel:
    """Scores each component that the model knows; 1 is the model's limit."""

    name: ClassVar[str] = "failure_model"

    def __init__(self, profile: Profile, model: Model) -> None:
        self._profile = profile
        self._model = model
        self._features = Features(profile, model.vocabulary, model.conditions)
        self._parts = [model.components[name] for name in model.components]
        self.version = model.version
        self.layout: Layout = self._features.layout
        self.tracks = tuple(
            Track(
                component=name,
                failure_mode=_mode_of(profile, name),
                kind="degradation",
                on_delay=1,
                off_delay=max(1, round(model.horizon * _OFF_DELAY)),
                off_below=_OFF_BELOW,
            )
            for name in model.components
        )

    def score(self, tick: Tick, state: Columns) -> Floats:
        """[D, K] the chance of a failure as a score; NaN where the device was not heard."""
        scores: Floats = self.answer([tick], state).scores[0]
        return scores

    def answer(self, ticks: Sequence[Tick], state: Columns) -> Answers:
        """What it says at each of several ticks, one after the other: a model answers many at once far sooner."""
        rows = []
        for tick in ticks:
            self._features.follow(tick, state)
            rows.append(self._rows(state, np.nonzero(tick.heard)[0]))
        heard = np.stack([tick.heard for tick in ticks])
        scores = np.full((*heard.shape, len(self._parts)), np.nan)
        found = np.concatenate(rows)
        if len(found):
            for track, part in enumerate(self._parts):
                scores[heard, track] = part.score(found)
        return Answers(scores=scores, heard=heard, rows=found)

    def take(self, tick: Tick, state: Columns) -> None:
        """Takes a tick into the devices' past without an answer."""
        self._features.follow(tick, state)

    def learn(self, tick: Tick, state: Columns, abnormal: Bools) -> None:
        """It learnt before; what a device shows now moves nothing."""

    def prognoses(self, state: Columns, devices: Ints, track: int) -> list[Prognosis | None]:
        """For each of some devices (positions): how long the track's component still has; None: not predictable yet."""
        return self.prognoses_of(self._rows(state, devices), track)

    def prognoses_of(self, rows: Matrix, track: int) -> list[Prognosis | None]:
        """The same of devices of which it saw these numbers."""
        remaining = self._parts[track].remaining
        if remaining is None or not len(rows):
            return [None] * len(rows)
        found = remaining.predict(rows, self._model.horizon)
        tick = self._profile.tick
        return [
            None
            if high - low >= _TOO_WIDE * self._model.horizon
            else Prognosis(p10=low * tick, p50=middle * tick, p90=high * tick)
            for low, middle, high in found.tolist()
        ]

    def remaining(self, state: Columns, devices: Ints) -> Floats:
        """[N, 3] P10, P50 and P90 of the ticks until the first of the components fails, of devices at some positions; NaN
        where no model knows. A P90 of the horizon means that or more.
        """
        rows = self._rows(state, devices)
        found = [p.remaining.predict(rows, self._model.horizon) for p in self._parts if p.remaining is not None]
        if not found or not len(devices):
            return np.full((len(devices), 3), np.nan)
        each = np.stack(found)
        first = np.argmin(each[:, :, 1], axis=0)
        result: Floats = each[first, np.arange(len(devices))]
        return result

    def because(self, tick: Tick, state: Columns, device: int, track: int) -> list[SignalEvidence]:  # noqa: ARG002 — the state holds it
        """By how much the chance would fall if a signal, an error code or an age were as usual."""
        return self.because_of(self._rows(state, np.array([device])), track)

    def because_of(self, row: Matrix, track: int) -> list[SignalEvidence]:
        """The same of a device of which it saw these numbers, [1, F]."""
        sources = list(dict.fromkeys(self._features.sources))
        what_if: Matrix = np.repeat(row, len(sources) + 1, axis=0)
        for at, source in enumerate(sources):
            own = np.array([s == source for s in self._features.sources])
            what_if[at + 1, own] = self._model.usual[1, own]
        odds = log_odds(self._parts[track].chance(what_if))
        fall = np.clip(odds[0] - odds[1:], 0.0, None)
        shares = fall / (fall.sum() or 1.0)
        found = [self._evidence(source, float(share), row[0]) for source, share in zip(sources, shares, strict=True)]
        told = [e for e in found if e is not None and e.contribution >= _TELLING]
        # What has no band to be told leaves its share to the others.
        whole = sum(e.contribution for e in told) or 1.0
        return sorted((replace(e, contribution=e.contribution / whole) for e in told), key=lambda e: -e.contribution)

    def _evidence(self, source: str, share: float, row: Matrix) -> SignalEvidence | None:
        signal = self._profile.signals.get(source)
        names = [f"{source}.mean_0.0625"] if signal else [f"{source}.{what}" for what in ("count_0.5", *_AGES)]
        what = next((name for name in names if name in self._features.names), None)
        if what is None:
            return None
        at = self._features.names.index(what)
        age = what.endswith(_AGES)
        told = np.array([*self._model.usual[:, at], row[at]], dtype=np.float64)
        if signal:
            told = self._features.shown(row, source, told)
        low, middle, high, seen = told.tolist()
        if not np.isfinite(seen):
            return None
        hours = self._profile.tick / timedelta(hours=1) if age else 1.0
        return SignalEvidence(
            signal=source,
            unit=signal.unit if signal else "h" if age else units.COUNT,
            normal_low=low * hours if np.isfinite(low) else None,
            normal_high=high * hours if np.isfinite(high) else None,
            seen=seen * hours,
            contribution=share,
            direction="high" if not seen < middle else "low",
        )

    def _rows(self, state: Columns, at: Ints) -> Matrix:
        return self._features.read({name: column[at] for name, column in state.items()})


def _mode_of(profile: Profile, component: str) -> str:
    """The failure mode an alarm is told as: the component's only one, else just that it is failing."""
    modes = [name for name, mode in profile.failure_modes.items() if mode.component == component]
    return modes[0] if len(modes) == 1 else "failing"
