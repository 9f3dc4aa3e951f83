"""When abnormal behaviour begins and ends: on-delay, off-delay, deadband, and one episode where two explain one fault.

Pure array code over rows. A row is a device; a backtest gives each device a row for every threshold it tries, so what
it counts is decided by the code that runs live.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from anomaly.detector import Columns, Field, Layout, Track
from telemetry.window import Bools, Floats, Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """What one tick changed, as columns: the rows and failure modes that closed, and those that opened, by a track."""

    closed: tuple[Ints, Ints]
    opened: tuple[Ints, Ints]
    opened_by: Ints


class Episodes:
    """The episodes of K tracks, which ask about M failure modes. It holds no state: `Columns` goes in and moves."""

    version = "1"

    def __init__(self, tracks: Sequence[Track], explains: Bools) -> None:
        """explains: [M, M] whether the failure mode of the row, while it is open, keeps the column's from opening."""
        self.modes = list(dict.fromkeys((t.component, t.failure_mode) for t in tracks))
        self.mode_of = np.array([self.modes.index((t.component, t.failure_mode)) for t in tracks], dtype=np.int64)
        self._on_delay = np.array([t.on_delay for t in tracks])
        self._off_delay = np.array([t.off_delay for t in tracks])
        self._off_below = np.array([t.off_below for t in tracks])
        self._explains = explains
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

        on = np.zeros_like(e["open"])
        for track, mode in enumerate(self.mode_of):
            on[:, mode] |= e["on"][:, track]
        rows, modes = np.nonzero(e["open"] & ~on)
        e["open"] &= on
        opened, by = self._open(scores, on & ~e["open"], e)
        return Steps(closed=(rows, modes), opened=opened, opened_by=by)

    def _open(self, scores: Floats, waiting: Bools, e: Columns) -> tuple[tuple[Ints, Ints], Ints]:
        rows = np.nonzero(waiting.any(axis=1))[0]
        none = np.empty(0, dtype=np.int64)
        if not len(rows):
            return (none, none), none
        found: list[tuple[Ints, Ints, Ints]] = []
        # The strongest explanation first; what it explains then waits for as long as it is open.
        ranked = np.argsort(-self.by_mode(scores[rows]), axis=1)
        for rank in range(ranked.shape[1]):
            modes = ranked[:, rank]
            explained = (e["open"][rows] & self._explains[:, modes].T).any(axis=1)
            now = waiting[rows, modes] & ~explained
            if not now.any():
                continue
            row, mode = rows[now], modes[now]
            own = (self.mode_of[None, :] == mode[:, None]) & e["on"][row]
            track = np.argmax(np.where(own, np.nan_to_num(scores[row]), -np.inf), axis=1)
            e["open"][row, mode] = True
            e["by"][row, mode] = track
            e["began"][row, mode] = e["since"][row, track]
            found.append((row, mode, track))
        if not found:
            return (none, none), none
        row, mode, track = (np.concatenate(column) for column in zip(*found, strict=True))
        order = np.argsort(row, kind="stable")
        return (row[order], mode[order]), track[order]
