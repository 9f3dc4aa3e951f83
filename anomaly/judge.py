"""Judges windows: runs a profile's detectors tick by tick and turns their scores into findings.

The same code judges live readings and history. A judge holds no state of its own; `State` goes in and comes out, so it
can be stored, restored and split by device.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from anomaly import detectors
from anomaly.detector import Columns, Detector, Field, Layout, Track, fresh, pack, unpack
from anomaly.finding import Change, FindingChange, moment, sentence
from core.profile import Profile
from telemetry.window import Bools, Floats, Ints, Tick, Window

_EPISODES = "episodes"
_EPISODES_VERSION = "1"


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
    """Judges all devices of one profile."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self._detectors: list[Detector] = detectors.of(profile)
        self._tracks: list[Track] = [t for d in self._detectors for t in d.tracks]
        self._owner = [(d, k) for d in self._detectors for k in range(len(d.tracks))]
        self._modes = list(dict.fromkeys((t.component, t.failure_mode) for t in self._tracks))
        self._mode_of = np.array(
            [self._modes.index((t.component, t.failure_mode)) for t in self._tracks], dtype=np.int64
        )
        self._on_delay = np.array([t.on_delay for t in self._tracks])
        self._off_delay = np.array([t.off_delay for t in self._tracks])
        self._off_below = np.array([t.off_below for t in self._tracks])
        self._explains = self._explanations()
        k, m = len(self._tracks), len(self._modes)
        self.layouts: dict[str, tuple[str, Layout]] = {d.name: (d.version, d.layout) for d in self._detectors}
        self.layouts[_EPISODES] = (
            _EPISODES_VERSION,
            {
                "run": Field(shape=(k,), dtype="<i4"),  # measured ticks in a row that were abnormal
                "calm": Field(shape=(k,), dtype="<i4"),  # measured ticks in a row that were normal, while on
                "since": Field(shape=(k,), dtype="<i8"),  # start of the run
                "on": Field(shape=(k,), dtype="?"),
                "open": Field(shape=(m,), dtype="?"),
                "by": Field(shape=(m,), dtype="<i4"),  # the track that opened it
                "began": Field(shape=(m,), dtype="<i8"),
            },
        )

    def _explanations(self) -> Bools:
        """[M, M] whether the failure mode of the row, while it is open, explains a symptom of the column's: then both
        would be one fault told twice.
        """
        shown, dragged = [], []
        for component, mode in self._modes:
            known = self.profile.failure_modes.get(mode)
            own = {n for n, s in self.profile.signals.items() if s.component == component}
            signals = set(known.symptoms) if known else own
            shown.append(signals)
            dragged.append(signals | set(known.consequences if known else ()))
        explains: Bools = np.array([[bool(a & b) for b in shown] for a in dragged], dtype=bool)
        explains = explains.reshape(len(shown), len(shown))
        np.fill_diagonal(explains, val=False)
        return explains

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

    def run(self, window: Window, state: State) -> list[FindingChange]:
        """Judges the window's ticks in order and moves `state`; returns what changed, oldest first.

        The window's devices and the state's positions are the same.
        """
        changes: list[FindingChange] = []
        scores = np.full((len(window.devices), len(self._tracks)), np.nan)
        last = np.zeros(len(window.devices), dtype=np.int64)
        peak = np.full((len(window.devices), len(self._modes)), -np.inf)
        for tick in window.ticks():
            now = self._score(tick, state)
            scores = np.where(tick.heard[:, None], now, scores)
            last = np.where(tick.heard, tick.time, last)
            changes += self._episodes(window, tick, state, scores)
            np.maximum(peak, self._by_mode(scores), out=peak, where=tick.heard[:, None])
        is_open = state.parts[_EPISODES]["open"] & (last > 0)[:, None]
        for device, mode in zip(*np.nonzero(is_open), strict=True):
            top = float(peak[device, mode])
            changes.append(self._change(Change.EXTENDED, window, state, device, mode, int(last[device]), top))
        return changes

    def _score(self, tick: Tick, state: State) -> Floats:
        columns = []
        for detector in self._detectors:
            own = state.parts[detector.name]
            score = detector.score(tick, own)
            detector.learn(tick, own, score >= 1.0)
            columns.append(score)
        scores: Floats = np.concatenate(columns, axis=1) if columns else np.empty((len(tick.heard), 0))
        return scores

    def _by_mode(self, scores: Floats) -> Floats:
        result = np.full((len(scores), len(self._modes)), -np.inf)
        for track, mode in enumerate(self._mode_of):
            result[:, mode] = np.fmax(result[:, mode], scores[:, track])
        return result

    def _episodes(self, window: Window, tick: Tick, state: State, scores: Floats) -> list[FindingChange]:
        e = state.parts[_EPISODES]
        valid = tick.heard[:, None] & np.isfinite(scores)
        above = valid & (scores >= 1.0)
        e["run"] = np.where(valid, np.where(above, e["run"] + 1, 0), e["run"])
        e["since"] = np.where(above & (e["run"] == 1), tick.time, e["since"])
        calm = valid & (scores < self._off_below)
        e["calm"] = np.where(valid, np.where(calm & e["on"], e["calm"] + 1, 0), e["calm"])
        e["on"] = (e["on"] | (e["run"] >= self._on_delay)) & (e["calm"] < self._off_delay)

        on = np.zeros_like(e["open"])
        for track, mode in enumerate(self._mode_of):
            on[:, mode] |= e["on"][:, track]
        changes = [
            self._change(Change.CLOSED, window, state, device, mode, tick.time, self._by_mode(scores)[device, mode])
            for device, mode in zip(*np.nonzero(e["open"] & ~on), strict=True)
        ]
        e["open"] &= on
        waiting = on & ~e["open"]
        if waiting.any():
            strength = self._by_mode(scores)
            for device in np.nonzero(waiting.any(axis=1))[0]:
                # The strongest explanation first; what it explains then waits for as long as it is open.
                for mode in np.argsort(-strength[device]):
                    if waiting[device, mode] and not (self._explains[:, mode] & e["open"][device]).any():
                        changes.append(self._open(window, tick, state, scores, int(device), int(mode)))  # noqa: PERF401 — opening changes what the condition sees
        return changes

    def _open(self, window: Window, tick: Tick, state: State, scores: Floats, device: int, mode: int) -> FindingChange:
        e = state.parts[_EPISODES]
        tracks = [k for k in np.nonzero(self._mode_of == mode)[0] if e["on"][device, k]]
        track = int(max(tracks, key=lambda k: np.nan_to_num(scores[device, k])))
        e["open"][device, mode] = True
        e["by"][device, mode] = track
        e["began"][device, mode] = e["since"][device, track]
        detector, own = self._owner[track]
        evidence = tuple(detector.because(tick, state.parts[detector.name], device, own))
        score = float(scores[device, track])
        change = self._change(Change.OPENED, window, state, device, mode, tick.time, score)
        return replace(change, evidence=evidence, because=sentence(self.profile, evidence, change.began_at))

    def _change(
        self, change: Change, window: Window, state: State, device: int, mode: int, time: int, score: float
    ) -> FindingChange:
        e = state.parts[_EPISODES]
        track = int(e["by"][device, mode])
        component, failure_mode = self._modes[mode]
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
