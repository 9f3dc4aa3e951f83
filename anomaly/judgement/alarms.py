"""Alarms as columns, at many thresholds at once, and the time over which they were possible."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from anomaly.detector import Track, fresh
from anomaly.episodes import Episodes
from telemetry.window import Bools, Floats, Ints, Tick, Window

MONTH = 30 * 86_400_000_000
"""A device-month, microseconds."""
FACTORS: tuple[float, ...] = tuple(2.0 ** (step / 12) for step in range(-40, 49))
"""The thresholds that are tried, against the profile's own (1). They stand close, since of a budget that lies between two
of them the rest is lost: a model's score is a root of the odds, and one step is a quarter more odds.
"""
LIVE = FACTORS.index(1.0)
_LEVELS = np.array(FACTORS)
_NOT_OF_A_COMPONENT = {"silence", "sensor"}
"""Kinds of findings that blame no component: they are no prediction of a failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarms:
    """N alarm episodes. device, component: [N] positions. start: [N] when it opened, end: [N] when it closed,
    microseconds since the epoch. score: [N] at the opening. source: [N] position of the track that opened it.
    """

    device: Ints
    component: Ints
    start: Ints
    end: Ints
    score: Floats
    source: Ints

    @classmethod
    def of(cls, rows: Sequence[tuple[int, int, int, int, float, int]]) -> Self:
        """Alarms of tuples in the order of the fields."""
        table = np.array(rows, dtype=float).reshape(len(rows), 6)
        whole = np.array([row[:4] for row in rows], dtype=np.int64).reshape(len(rows), 4)
        return cls(
            device=whole[:, 0],
            component=whole[:, 1],
            start=whole[:, 2],
            end=whole[:, 3],
            score=table[:, 4],
            source=table[:, 5].astype(np.int64),
        )

    def __len__(self) -> int:
        return len(self.start)

    def take(self, at: Ints | Bools) -> Self:
        """Those at some positions, or where a mask says so."""
        return type(self)(
            device=self.device[at],
            component=self.component[at],
            start=self.start[at],
            end=self.end[at],
            score=self.score[at],
            source=self.source[at],
        )

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Those of several parts of a fleet, after each other."""
        return cls(**{f: np.concatenate([getattr(p, f) for p in parts]) for f in cls.__dataclass_fields__})

    def merged(self, cooldown: int) -> Self:
        """Episodes of one device and component that begin sooner than `cooldown` after the end of the one before are
        one: one contact with the customer. Oldest first by device and component.
        """
        if not len(self):
            return self
        order = np.lexsort((self.start, self.component, self.device))
        device, component = self.device[order], self.component[order]
        start, end = self.start[order], self.end[order]
        group = np.cumsum(np.diff(device, prepend=device[0]).astype(bool) | np.diff(component, prepend=-1).astype(bool))
        # The latest end so far within the group: by rank, so that groups can be told apart by adding to it.
        ranked = np.sort(end)
        rank = np.searchsorted(ranked, end) + group * len(self)
        latest = ranked[np.maximum.accumulate(rank) - group * len(self)]
        first = np.ones(len(self), dtype=bool)
        first[1:] = (group[1:] != group[:-1]) | (start[1:] >= latest[:-1] + cooldown)
        at = np.nonzero(first)[0]
        result = self.take(order[at])
        result.end[:] = latest[np.append(at[1:], len(self)) - 1]
        return result


class Sweep:
    """Opens and closes episodes at each of `FACTORS` while a judge runs, by the judge's own episode code.

    Hand `take` to `Judge.run` as its record. The scores are those of the profile's own threshold; a detector that does
    not learn from what it flags is not run anew at each threshold.
    """

    def __init__(
        self, tracks: Sequence[Track], episodes: Episodes, components: Sequence[str], devices: int, tick: int
    ) -> None:
        self._episodes = episodes
        self._components = np.array(
            [
                components.index(t.component) if t.component in components and t.kind not in _NOT_OF_A_COMPONENT else -1
                for t in tracks
            ],
            dtype=np.int64,
        )
        self._devices = devices
        self._tick = tick
        rows = devices * len(FACTORS)
        self._state = fresh(episodes.layout, rows)
        self._opened = np.zeros((rows, len(episodes.modes)), dtype=np.int64)
        self._score = np.zeros((rows, len(episodes.modes)))
        self._by = np.zeros((rows, len(episodes.modes)), dtype=np.int64)
        self._last = np.zeros(devices, dtype=np.int64)
        self._busy = np.zeros(rows, dtype=bool)
        self._found: list[tuple[Ints, Ints, Ints, Floats, Ints]] = []

    def take(self, tick: Tick, scores: Floats) -> None:
        """One tick of the judge: scores [D, K]."""
        # Where nothing goes on and a score is below a threshold, a tick changes nothing: most are so at most thresholds.
        highest = np.where(tick.heard, np.fmax.reduce(scores, axis=1, initial=-np.inf), -np.inf)
        rows = np.nonzero(self._busy | (_LEVELS[:, None] <= highest).ravel())[0]
        device, level = rows % self._devices, rows // self._devices
        state = {name: column[rows] for name, column in self._state.items()}
        steps = self._episodes.step(tick.time, tick.heard[device], scores[device] / _LEVELS[level, None], state)
        for name, column in state.items():
            self._state[name][rows] = column
        self._busy[rows] = (state["run"] > 0).any(axis=1) | state["on"].any(axis=1) | state["open"].any(axis=1)
        # A tick is judged when it is over.
        now = tick.time + self._tick
        self._last = np.where(tick.heard, now, self._last)
        closed, modes = steps.closed
        self._close(rows[closed], modes, np.full(len(closed), now))
        opened, modes = steps.opened
        self._opened[rows[opened], modes] = now
        self._by[rows[opened], modes] = steps.opened_by
        self._score[rows[opened], modes] = scores[device[opened], steps.opened_by]

    def _close(self, rows: Ints, modes: Ints, ends: Ints) -> None:
        if len(rows):
            at = (rows, modes)
            self._found.append((rows, self._opened[at], ends, self._score[at], self._by[at]))

    def alarms(self) -> list[Alarms]:
        """For each factor, the episodes so far; one that is still open ends where its device was last heard."""
        found = list(self._found)
        rows, modes = np.nonzero(self._state["open"])
        at = (rows, modes)
        found.append((rows, self._opened[at], self._last[rows % self._devices], self._score[at], self._by[at]))
        row, start, end, score, by = (np.concatenate(column) for column in zip(*found, strict=True))
        component = self._components[by]
        whole = Alarms(device=row % self._devices, component=component, start=start, end=end, score=score, source=by)
        level = row // self._devices
        return [whole.take((level == at) & (component >= 0)) for at in range(len(FACTORS))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of the history: some devices, each from a time to another (excluded). devices: [D]; since, until: [D]."""

    devices: Bools
    since: Ints
    until: Ints

    def holds(self, device: Ints, time: Ints) -> Bools:
        """[N] whether each time of each device lies in it."""
        found: Bools = self.devices[device] & (time >= self.since[device]) & (time < self.until[device])
        return found


class Exposure:
    """Counts the time in which each device was heard: alarms were possible then. A gap longer than `silence` counts as
    that long. `dangers` are spans (device, from, to) around failures, which are no healthy time; they may overlap.
    """

    def __init__(self, part: Part, dangers: Sequence[tuple[int, int, int]], *, tick: int, silence: int) -> None:
        self._part = part
        self._dangers = _disjoint(dangers)
        self._tick = tick
        self._silence = max(silence, tick)
        self._last = np.full(len(part.devices), -1, dtype=np.int64)
        self.heard = np.zeros(len(part.devices), dtype=np.int64)
        self.danger = np.zeros(len(part.devices), dtype=np.int64)

    def take(self, window: Window) -> None:
        """One window; windows come in the order of time."""
        times = window.times[:, None]
        heard = window.heard
        seen = np.where(heard, times, -1)
        before = np.maximum.accumulate(np.concatenate([self._last[None, :], seen]), axis=0)
        gap = np.where(before[:-1] < 0, self._tick, np.minimum(times - before[:-1], self._silence))
        self._last = before[-1]
        inside = heard & self._part.devices & (times >= self._part.since) & (times < self._part.until)
        gap = np.where(inside, gap, 0)
        self.heard += gap.sum(axis=0)
        for device, low, high in self._dangers:
            cut = slice(*np.searchsorted(window.times, (low, high)).tolist())
            self.danger[device] += gap[cut, device].sum()

    @property
    def months(self) -> Floats:
        """[D] device-months heard."""
        months: Floats = self.heard / MONTH
        return months

    @property
    def healthy_months(self) -> Floats:
        """[D] device-months heard that are not near a failure."""
        months: Floats = (self.heard - self.danger) / MONTH
        return months


def _disjoint(spans: Sequence[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    result: list[tuple[int, int, int]] = []
    for device, low, high in sorted(spans):
        if result and result[-1][0] == device and low <= result[-1][2]:
            result[-1] = (device, result[-1][1], max(high, result[-1][2]))
        else:
            result.append((device, low, high))
    return result
