"""Who judges whom in a backtest: devices that a model was learnt from are judged by models that did not know them."""

import numpy as np

from anomaly.finding import FindingChange
from anomaly.judge import Judge, Record
from anomaly.judgement import remaining
from anomaly.judgement.remaining import LifeFigures, Prognoses
from anomaly.judgement.rules import Rules
from anomaly.learning.training import Learnt
from core.profile import Profile
from telemetry.recorded import RemainingLife
from telemetry.window import Floats, Ints, Window


class Group:
    """Some devices that are judged alike: by one judge, from a time on by another one that goes on with its state."""

    def __init__(self, judge: Judge, devices: Ints, then: Judge | None = None, since: int = 0) -> None:
        self.judge, self.devices = judge, devices
        self._then, self._since = then, since
        self._state = judge.fresh(len(devices))

    def remaining(self, devices: Ints) -> Floats:
        """[N, 3] P10, P50 and P90 of the ticks to failure of some of its devices."""
        judge = self._then or self.judge
        return judge.remaining(self._state, np.searchsorted(self.devices, devices))

    def run(self, window: Window, record: Record) -> list[FindingChange]:
        part = window if len(self.devices) == len(window.devices) else window.part(self.devices)
        if self._then is None:
            return self.judge.run(part, self._state, record)
        before, after = part.cut(self._since)
        found = self.judge.run(before, self._state, record)
        return found + self._then.run(after, self._state, record)


class Lives:
    """Asks how long devices still have, at the times for which that is known."""

    def __init__(self, truth: RemainingLife | None, tick: int) -> None:
        known = truth.device >= 0 if truth is not None else np.empty(0, dtype=bool)
        self._device = truth.device[known] if truth is not None else np.empty(0, dtype=np.int64)
        self._time = truth.times[known] if truth is not None else np.empty(0, dtype=np.int64)
        self._found = np.full((len(self._time), 3), np.nan)
        self._tick = tick

    def run(self, group: Group, window: Window, record: Record) -> list[FindingChange]:
        """Runs a group over a window, and asks it after each tick of which a life is known."""
        mine = np.nonzero(np.isin(self._device, group.devices))[0]
        starts = self._time[mine] - self._time[mine] % self._tick
        changes: list[FindingChange] = []
        if len(window.times):
            within = (starts >= window.times[0]) & (starts <= window.times[-1])
            for start in np.unique(starts[within]).tolist():
                piece, window = window.cut(start + self._tick)
                changes += group.run(piece, record)
                at = mine[starts == start]
                self._found[at] = group.remaining(self._device[at])
        return changes + group.run(window, record)

    def judge(self, truth: RemainingLife, cap: float | None) -> LifeFigures | None:
        known = np.isfinite(self._found).all(axis=1)
        if not known.any():
            return None
        p10, p50, p90 = self._found[known].T
        told = Prognoses(device=self._device[known], times=self._time[known], p10=p10, p50=p50, p90=p90)
        return remaining.judge(told, truth, cap)


def groups_of(profile: Profile, size: int, learnt: Learnt | None, rules: Rules) -> list[Group]:
    """Devices that a model was learnt from are judged by models that did not know them."""
    everyone = np.arange(size, dtype=np.int64)
    if learnt is None:
        return [Group(Judge(profile), everyone)]
    judge = Judge(profile, learnt.model)
    result = [
        Group(Judge(profile, fold), everyone[learnt.fold_of == at], judge, rules.train_until)
        if rules.train_until is not None
        else Group(Judge(profile, fold), everyone[learnt.fold_of == at])
        for at, fold in enumerate(learnt.folds)
    ]
    return [g for g in [*result, Group(judge, everyone[learnt.fold_of < 0])] if len(g.devices)]
