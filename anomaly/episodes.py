"""When abnormal behaviour begins and ends: on-delay, off-delay, deadband, and one episode where two explain one fault.

Pure array code over rows. A row is a device; a backtest gives each device a row for every threshold it tries, so what
it counts is decided by the code that runs live.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from anomaly.detector import Columns, Field, Layout, Track, or_zero
from telemetry.window import Bools, Floats, Ints

_OUTWEIGHS = 2.0
"""What may be the same fault as one that is open is told beside it where it is so many times as strong."""
_UNKNOWN = -1e300
"""What is not known is the weakest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """What one tick changed, as columns: the rows and failure modes that closed, and those that opened, by a track."""

    closed: tuple[Ints, Ints]
    opened: tuple[Ints, Ints]
    opened_by: Ints


class Episodes:
    """The episodes of K tracks, which ask about M failure modes. It holds no state: `Columns` goes in and moves."""

    version = "1"

    def __init__(self, tracks: Sequence[Track], explains: Bools, rivals: Bools | None = None) -> None:
        """explains: [M, M] whether the failure mode of the row, while it is open, keeps the column's from opening. rivals: [M, M]
        whether it does so unless the column's is much stronger; None: none does.
        """
        self.modes = list(dict.fromkeys((t.component, t.failure_mode) for t in tracks))
        self.mode_of = np.array([self.modes.index((t.component, t.failure_mode)) for t in tracks], dtype=np.int64)
        self._on_delay = np.array([t.on_delay for t in tracks])
        self._off_delay = np.array([t.off_delay for t in tracks])
        self._off_below = np.array([t.off_below for t in tracks])
        self._explains = explains
        self._rivals = np.zeros_like(explains) if rivals is None else rivals
        self._rivalry = bool(self._rivals.any())
        k, m = len(tracks), len(self.modes)
        self.layout: Layout = {
            "run": Field(shape=(k,), dtype="<i4"),  # measured ticks in a row that were abnormal
            "calm": Field(shape=(k,), dtype="<i4"),  # measured ticks in a row that were normal, while on
            "since": Field(shape=(k,), dtype="<i8"),  # start of the run
            "on": Field(shape=(k,), dtype="?"),
            "open": Field(shape=(m,), dtype="?"),
            "by": Field(shape=(m,), dtype="<i4"),  # the track that opened it
            "began": Field(shape=(m,), dtype="<i8"),
        }

    def by_mode(self, scores: Floats) -> Floats:
        """[R, M] the highest score of each failure mode, -inf where none is known."""
        result = np.full((len(scores), len(self.modes)), -np.inf)
        for track, mode in enumerate(self.mode_of):
            result[:, mode] = np.fmax(result[:, mode], scores[:, track])
        return result

    def step(self, time: int, heard: Bools, scores: Floats, state: Columns) -> Steps:
        """Takes one tick. time: its start. heard: [R]. scores: [R, K], abnormal from 1 on. Moves `state`."""
        e = state
        valid = heard[:, None] & np.isfinite(scores)
        above = valid & (scores >= 1.0)
        e["run"] = np.where(valid, np.where(above, e["run"] + 1, 0), e["run"])
        e["since"] = np.where(above & (e["run"] == 1), time, e["since"])
        calm = valid & (scores < self._off_below)
        e["calm"] = np.where(valid, np.where(calm & e["on"], e["calm"] + 1, 0), e["calm"])
        e["on"] = (e["on"] | (e["run"] >= self._on_delay)) & (e["calm"] < self._off_delay)

        # What waited while another was open, and is no longer abnormal when that closes, was a part of it.
        abnormal = e["run"] > 0
        ripe = e["on"] & abnormal
        on, waiting = self._any(e["on"]), self._any(ripe)
        rows, modes = np.nonzero(e["open"] & ~on)
        e["open"] &= on
        opened, by = self._open(scores, ripe, waiting & ~e["open"], e)
        return Steps(closed=(rows, modes), opened=opened, opened_by=by)

    def _open(self, scores: Floats, ripe: Bools, waiting: Bools, e: Columns) -> tuple[tuple[Ints, Ints], Ints]:
        rows = np.nonzero(waiting.any(axis=1))[0]
        waiting, strength = waiting[rows], self.by_mode(scores[rows])
        ripening = self._any((e["run"][rows] > 0) & ~e["on"][rows]) & ~waiting
        found = []
        while len(rows):
            kept = self._kept(e["open"][rows], strength)
            free = waiting & ~kept
            free &= ~self._outdone(ripening & ~kept, strength)
            some = free.any(axis=1)
            rows, waiting, strength, free = rows[some], waiting[some], strength[some], free[some]
            ripening = ripening[some]
            # The strongest explanation first; what it explains then waits for as long as it is open.
            mode = np.argmax(np.where(free, np.maximum(strength, _UNKNOWN), -np.inf), axis=1)
            asked = (self.mode_of[None, :] == mode[:, None]) & ripe[rows]
            track = np.argmax(np.where(asked, or_zero(scores[rows]), -np.inf), axis=1)
            e["open"][rows, mode] = True
            e["by"][rows, mode] = track
            e["began"][rows, mode] = e["since"][rows, track]
            waiting[np.arange(len(rows)), mode] = False
            found.append((rows, mode, track))
        if not found:
            none = np.empty(0, dtype=np.int64)
            return (none, none), none
        row, mode, track = (np.concatenate(column) for column in zip(*found, strict=True))
        order = np.argsort(row, kind="stable")
        return (row[order], mode[order]), track[order]

    def _any(self, by_track: Bools) -> Bools:
        """[R, M] where any track of a failure mode is so, from [R, K]."""
        result = np.zeros((len(by_track), len(self.modes)), dtype=bool)
        for track, mode in enumerate(self.mode_of):
            result[:, mode] |= by_track[:, track]
        return result

    def _outdone(self, ripening: Bools, strength: Floats) -> Bools:
        """[R, M] what would be explained by something stronger that is abnormal, but not for long enough yet: which of two it is, is
        told once both had their time. It waits for no longer than that takes, or until the other is weaker or gone.
        """
        result = np.zeros_like(ripening)
        some = np.nonzero(ripening.any(axis=1))[0]
        if len(some):
            stronger = strength[some][:, :, None] > strength[some][:, None, :]
            result[some] = (ripening[some][:, :, None] & stronger & (self._explains | self._rivals)).any(axis=1)
        return result

    def _kept(self, opened: Bools, strength: Floats) -> Bools:
        """[R, M] what is kept from opening by what is open. opened: [R, M]. strength: [R, M] the highest scores."""
        kept: Bools = opened @ self._explains
        if self._rivalry:
            enough = np.where(np.isfinite(strength), _OUTWEIGHS * strength, np.inf)
            weaker = strength[:, None, :] < enough[:, :, None]
            kept |= (opened[:, :, None] & self._rivals & weaker).any(axis=1)
        return kept
