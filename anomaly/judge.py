"""Judges windows: runs a profile's detectors tick by tick and turns their scores into findings.

The same code judges live readings and history. A judge holds no state of its own; `State` goes in and comes out, so it
can be stored, restored and split by device.
"""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Self

import numpy as np

from anomaly import detectors
from anomaly.detector import Columns, Detector, Layout, Prognosis, SignalEvidence, Track, fresh, pack, unpack
from anomaly.detectors.counters import Counters
from anomaly.detectors.failure_model import Answers, FailureModel
from anomaly.detectors.limits import Limits
from anomaly.detectors.sensors import Sensors
from anomaly.episodes import Episodes
from anomaly.explanations import explanations, rivals
from anomaly.finding import Change, FindingChange, moment, sentence
from anomaly.learning.features import Matrix
from anomaly.learning.model import Model
from core.profile import Profile
from telemetry.window import Bools, Floats, Ints, Tick, Window

EPISODES = "episodes"
_AHEAD = 50_000
"""A model looks at as many ticks at once as make so many rows: each of its trees costs some time to be asked at all."""
_EVIDENCE_EVERY, _EVIDENCE_ALL = 8, 256
"""The evidence of a finding that goes on is renewed once in so many ticks where more than so many go on at once."""

Record = Callable[[Tick, Floats], None]
"""Takes a tick and the [D, K] scores of the tracks after it; NaN is "don't know yet". They must not be changed."""


@dataclass(frozen=True, slots=True)
class State:
    """All that a judge knows of D devices: the columns of each detector and of the episodes."""

    parts: dict[str, Columns]

    def take(self, at: Ints) -> Self:
        """The state of the devices at the positions `at`, copied."""
        return type(self)({name: {f: c[at] for f, c in columns.items()} for name, columns in self.parts.items()})

    def put(self, at: Ints, part: Self) -> None:
        """Writes `part` over the devices at the positions `at`."""
        for name, columns in part.parts.items():
            for field, column in columns.items():
                self.parts[name][field][at] = column

    def grow(self, more: Self) -> Self:
        """A state with these devices and then those of `more`."""
        return type(self)(
            {
                name: {f: np.concatenate([c, more.parts[name][f]]) for f, c in columns.items()}
                for name, columns in self.parts.items()
            }
        )


class Judge:
    """Judges all devices of one profile, where there is one with a model that was learnt from its failures."""

    def __init__(self, profile: Profile, model: Model | None = None, *, alone: bool = False) -> None:
        """alone: the model judges without the detectors that need none."""
        self.profile = profile
        self.model = model
        self._detectors: list[Detector] = detectors.of(profile, model)
        if alone:
            self._detectors = [d for d in self._detectors if isinstance(d, FailureModel)]
        self._tracks: list[Track] = [t for d in self._detectors for t in d.tracks]
        self._owner = [(d, k) for d in self._detectors for k in range(len(d.tracks))]
        # A model that knows how a component fails speaks for it; the others go on learning, in case it is taken back.
        self._model_at = next((at for at, d in enumerate(self._detectors) if isinstance(d, FailureModel)), None)
        self._counters = next((d for d in self._detectors if isinstance(d, Counters)), None)
        by_model = np.array([isinstance(d, FailureModel) for d, _ in self._owner], dtype=bool)
        kinds = np.array([t.kind for t in self._tracks], dtype=object)
        unlearnt = (kinds == "degradation") & ~by_model
        known = model.components if model is not None else {}
        self._muted: Bools = unlearnt & np.array([t.component in known for t in self._tracks], dtype=bool)
        self._factors = np.where(unlearnt, model.factor if model is not None else 1.0, 1.0)
        self._doubtful: Bools = (kinds != "sensor") & ~by_model
        modes = list(dict.fromkeys((t.component, t.failure_mode) for t in self._tracks))
        self.episodes = Episodes(self._tracks, explanations(profile, modes), rivals(modes))
        self.layouts: dict[str, tuple[str, Layout]] = {d.name: (d.version, d.layout) for d in self._detectors}
        # Episodes of other tracks are not gone on with.
        asked = zlib.crc32(
            repr([(d.name, t.component, t.failure_mode) for d in self._detectors for t in d.tracks]).encode()
        )
        self.layouts[EPISODES] = (f"{self.episodes.version}.{asked:08x}", self.episodes.layout)

    @property
    def tracks(self) -> Sequence[Track]:
        """The questions asked about each device, in the order of the scores' columns."""
        return self._tracks

    def fresh(self, devices: int) -> State:
        """The state of devices that were never judged."""
        return State({name: fresh(layout, devices) for name, (_, layout) in self.layouts.items()})

    def pack(self, state: State, at: int) -> list[tuple[str, str, bytes]]:
        """Detector, version and packed state of the device at position `at`."""
        return [(name, v, pack(layout, state.parts[name], at)) for name, (v, layout) in self.layouts.items() if layout]

    def unpack(self, state: State, at: int, name: str, version: str, packed: bytes) -> bool:
        """Restores one part of a device's state; False when it comes from another version and starts anew."""
        known = self.layouts.get(name)
        return known is not None and known[0] == version and unpack(known[1], packed, state.parts[name], at)

    def still_open(self, state: State, at: int) -> list[tuple[str, str]]:
        """Component and failure mode of what is open of the device at position `at`."""
        return [self.episodes.modes[mode] for mode in np.nonzero(state.parts[EPISODES]["open"][at])[0]]

    def acquaint(self, everyone: State, state: State) -> None:
        """Tells devices that are judged apart from others of their fleet what is known of all of them."""
        if self._counters is not None:
            self._counters.acquaint(everyone.parts[Counters.name], state.parts[Counters.name])

    def follow(self, window: Window, state: State) -> None:
        """Shows the model alone what is past: nothing is judged."""
        for detector in self._detectors:
            if isinstance(detector, FailureModel):
                for tick in window.ticks():
                    detector.take(tick, state.parts[detector.name])

    def remaining(self, state: State, devices: Ints) -> Floats:
        """[N, 3] P10, P50 and P90 of the ticks to failure of devices at some positions; NaN where no model knows."""
        for detector in self._detectors:
            if isinstance(detector, FailureModel):
                return detector.remaining(state.parts[detector.name], devices)
        return np.full((len(devices), 3), np.nan)

    def run(self, window: Window, state: State, record: Record | None = None) -> list[FindingChange]:
        """Judges the window's ticks in order and moves `state`; returns what changed, oldest first.

        The window's devices and the state's positions are the same. `record` is told each tick and its scores.
        """
        changes: list[FindingChange] = []
        scores = np.full((len(window.devices), len(self._tracks)), np.nan)
        last = np.zeros(len(window.devices), dtype=np.int64)
        peak = np.full((len(window.devices), len(self.episodes.modes)), -np.inf)
        ticks = list(window.ticks())
        step = max(1, _AHEAD // max(len(window.devices), 1))
        for first in range(0, len(ticks), step):
            ahead = self._look_ahead(ticks[first : first + step], state)
            for at, tick in enumerate(ticks[first : first + step]):
                now = self._score(tick, state, ahead.scores[at] if ahead else None)
                scores = np.where(tick.heard[:, None], now, scores)
                last = np.where(tick.heard, tick.time, last)
                if record is not None:
                    record(tick, scores)
                changes += self._episodes(window, tick, state, scores, partial(ahead.row, at) if ahead else None)
                np.maximum(peak, self.episodes.by_mode(scores), out=peak, where=tick.heard[:, None])
        return changes + self._extended(window, state, last, peak)

    def _extended(self, window: Window, state: State, last: Ints, peak: Floats) -> list[FindingChange]:
        """What goes on at the end of a window. last: [D] the newest tick of each device. peak: [D, M] highest scores."""
        e = state.parts[EPISODES]
        found = np.argwhere(e["open"] & (last > 0)[:, None])
        if not len(found):
            return []
        newest = _newest(window)
        remaining: dict[tuple[int, int], Prognosis | None] = {}
        opened_by = e["by"][found[:, 0], found[:, 1]]
        for track in np.unique(opened_by).tolist():
            detector, own = self._owner[track]
            if isinstance(detector, FailureModel):
                devices = found[opened_by == track, 0]
                told = detector.prognoses(state.parts[detector.name], devices, own)
                remaining |= {(device, track): one for device, one in zip(devices.tolist(), told, strict=True)}
        # Evidence costs far more than a score, so where there is much of it each device has its turn to have it renewed.
        tick = self.profile.tick // timedelta(microseconds=1)
        ticks = (int(window.times[-1]) - int(window.times[0])) // tick + 1
        every = _EVIDENCE_EVERY if len(found) > _EVIDENCE_ALL else 1
        turn = (window.devices + int(window.times[-1]) // tick) % every < ticks
        changes = []
        for (device, mode), track in zip(found.tolist(), opened_by.tolist(), strict=True):
            change = self._change(
                Change.EXTENDED, window, state, device, mode, int(last[device]), float(peak[device, mode])
            )
            evidence = self._evidence(newest, state, device, track) if turn[device] else ()
            changes.append(replace(change, evidence=evidence, prognosis=remaining.get((device, track))))
        return changes

    def _evidence(self, tick: Tick, state: State, device: int, track: int) -> tuple[SignalEvidence, ...]:
        detector, own = self._owner[track]
        found = detector.because(tick, state.parts[detector.name], device, own)
        if self._counters is not None and not isinstance(detector, Sensors | Limits | Counters | FailureModel):
            found = [self._counters.told(one, state.parts[Counters.name], device) for one in found]
        return tuple(found)

    def _look_ahead(self, ticks: Sequence[Tick], state: State) -> Answers | None:
        if self._model_at is None:
            return None
        model = self._detectors[self._model_at]
        assert isinstance(model, FailureModel)
        return model.answer(ticks, state.parts[model.name])

    def _score(self, tick: Tick, state: State, ahead: Floats | None) -> Floats:
        columns = []
        faulty: Bools | None = None
        for at, detector in enumerate(self._detectors):
            if at == self._model_at and ahead is not None:
                columns.append(ahead)
                continue
            own = state.parts[detector.name]
            score = detector.score(tick, own)
            detector.learn(tick, own, score >= 1.0)
            columns.append(score)
            if isinstance(detector, Sensors):
                tick, faulty = detector.trusted(tick, score), np.asarray(score >= 1.0)
            elif isinstance(detector, Counters):
                tick = detector.left(tick, own)
        scores: Floats = np.concatenate(columns, axis=1) if columns else np.empty((len(tick.heard), 0))
        if self.model is not None:
            scores /= self._factors
            scores[:, self._muted] = np.nan
        if faulty is not None and faulty.any():
            self._doubt(tick, state, scores, faulty)
        return scores

    def _doubt(self, tick: Tick, state: State, scores: Floats, faulty: Bools) -> None:
        """Forgets scores that stand on a faulty sensor most of all: what it said last may still be in a running mean.

        faulty: [D, S]. Such a score is not known, so it neither matures nor closes anything. A model is believed: it learnt
        from what sensors really send.
        """
        names = list(self.profile.signals)
        some = np.asarray(faulty.any(axis=1, keepdims=True))
        for device, track in np.argwhere((scores >= 1.0) & self._doubtful & some).tolist():
            evidence = self._evidence(tick, state, device, track)
            # An error code is no sensor's.
            if evidence and evidence[0].signal in names and faulty[device, names.index(evidence[0].signal)]:
                scores[device, track] = np.nan

    def _episodes(
        self, window: Window, tick: Tick, state: State, scores: Floats, row_of: Callable[[int], Matrix] | None
    ) -> list[FindingChange]:
        steps = self.episodes.step(tick.time, tick.heard, scores, state.parts[EPISODES])
        changes = []
        if len(steps.closed[0]):
            strength = self.episodes.by_mode(scores)
            for device, mode in zip(*map(np.ndarray.tolist, steps.closed), strict=True):
                top = strength[device, mode]
                changes.append(self._change(Change.CLOSED, window, state, device, mode, tick.time, top))
        for device, mode, track in zip(*map(np.ndarray.tolist, (*steps.opened, steps.opened_by)), strict=True):
            score = float(scores[device, track])
            change = self._change(Change.OPENED, window, state, device, mode, tick.time, score)
            detector, own = self._owner[track]
            prognosis = None
            if isinstance(detector, FailureModel) and row_of is not None:
                # The model's state is already further.
                row = row_of(device)
                evidence = tuple(detector.because_of(row, own))
                (prognosis,) = detector.prognoses_of(row, own)
            else:
                evidence = self._evidence(tick, state, device, track)
            because = sentence(self.profile, evidence, change.began_at)
            changes.append(replace(change, evidence=evidence, because=because, prognosis=prognosis))
        return changes

    def _change(
        self, change: Change, window: Window, state: State, device: int, mode: int, time: int, score: float
    ) -> FindingChange:
        e = state.parts[EPISODES]
        track = int(e["by"][device, mode])
        component, failure_mode = self.episodes.modes[mode]
        known = self.profile.failure_modes.get(failure_mode)
        detector, _ = self._owner[track]
        return FindingChange(
            change=change,
            device=int(window.devices[device]),
            kind=self._tracks[track].kind,
            component=component,
            failure_mode=failure_mode,
            severity=known.severity if known else "warning",
            detector=detector.name,
            version=detector.version,
            began_at=moment(int(e["began"][device, mode])),
            # A tick is judged when it is over.
            at=moment(time) + self.profile.tick,
            score=float(score),
        )


def _newest(window: Window) -> Tick:
    """A tick of the newest value of each device and signal in the window."""
    seen = np.isfinite(window.values)
    at = len(window.times) - 1 - np.argmax(seen[::-1], axis=0)
    values = np.take_along_axis(window.values, at[None], axis=0)[0]
    return Tick(time=int(window.times[-1]), values=values, heard=np.asarray(window.heard.any(axis=0)))
