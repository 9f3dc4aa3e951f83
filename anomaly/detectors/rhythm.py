"""What each signal is by the hour of the day, on working days and at weekends, as each device learns it for itself: sun, shifts,
cooking times.
"""

from datetime import timedelta

import numpy as np

from anomaly.detector import Columns, Field, Layout, or_zero, total
from anomaly.detectors.rest import share
from core.profile import Profile
from telemetry.window import Bools, Floats, Ints

_HOUR, _HOURS = 3_600_000_000, 24
_MONDAY = 4
"""The first day since the epoch that was one."""
_DAYS = np.array([5.0, 2.0])
"""Of a week: working days, and the weekend."""
_LONGEST = timedelta(hours=6)
"""A longer tick is of no hour."""
_WEEK = timedelta(days=7)
_SETTLED = timedelta(days=2)
"""Before, what is left is told from the mean of a few hours."""
_FIRST = 0.9
"""Hours say something once so much of a day was learnt."""
_SMOOTHINGS = 10
"""So many times the smoothing it must have been followed for, or a week, to be compared."""
_TELLING, _STILL = 1 / 2, 2 / 3
"""It is believed once it leaves less than this share of what is left without it, in variance, until it leaves more than that."""
_APART, _ALIKE = 2.0, 1.5
"""Weekends are told apart once they differ from working days by more than this many times what chance explains, until it is less."""
_SHIFT, _WITHIN = timedelta(hours=12), 0.75
"""What is as at another hour of the day is a holiday, or work late: so long may it last and come to this share of the threshold."""
_ODD = 0.25
"""From this share of a day, or of what the rest is smoothed over, it is no usual time."""
_AT_ONCE = 2000
"""Devices whose hours are looked at together."""
_MOST_ODD = 15.0
"""After so many more odd days than others the device has another rhythm."""
_HASTY = 3.0
"""A value far out moves what is usual at its hour as if it were no more than this many usual spreads out."""


class Rhythm:
    """The mean of what an explanation leaves of S signals in each hour of the day (UTC), less the mean of the week: a level that moves
    is no rhythm. Saturdays and Sundays are told apart where they differ. Believed of a signal once less is left by it.
    """

    def __init__(self, profile: Profile, signals: int) -> None:
        self._day = timedelta(days=1) / profile.tick
        self._week, self._settled = _WEEK / profile.tick, _SETTLED / profile.tick
        self._shift = _SHIFT / profile.tick
        self._visit = max(self._day / _HOURS, 1.0)
        s, small = (signals,), "<f4"
        self.layout: Layout = {
            "hours": Field(shape=(2, _HOURS, *s), dtype=small, start=np.nan),
            "days": Field(shape=(2, *s), dtype=small),  # learnt of each kind, at most its part of the memory
            "all_hours": Field(shape=s, dtype=small),  # the mean of the week
            "lowest": Field(shape=s, dtype=small),  # what the hours add at least, and at most
            "highest": Field(shape=s, dtype=small),
            "apart": Field(shape=s, dtype=small),  # whether weekends are told apart
            "without": Field(
                shape=s, dtype=small
            ),  # mean square of what is left without it, in the same ticks as with it
            "rhythmic": Field(shape=s, dtype=small),  # whether it is believed
            "other": Field(shape=s, dtype=small),  # whether the newest value was as at another hour
            "odd_lately": Field(shape=s, dtype=small),  # the share of such ticks in what the rest is smoothed over
            "odd": Field(shape=s, dtype=small),  # such ticks of today
            "odd_days": Field(shape=s, dtype=small),  # days with such ticks, less days without
            "today": Field(),  # the day of the newest tick, since the epoch
        }

    @staticmethod
    def shows(profile: Profile, memory: float) -> bool:
        """Whether so many ticks are days enough to know a rhythm by, and a tick is short enough."""
        return memory * profile.tick >= _WEEK and profile.tick <= _LONGEST

    def told(self, time: int, state: Columns) -> tuple[Floats, Bools]:
        """[D, S] what the hour adds to the explanation, and whether that is known. time: microseconds since the epoch."""
        hours = state["hours"][:, :, _hour(time)]
        adds = np.where(state["apart"] > 0, hours[:, _weekend(time)], _of_week(hours)) - state["all_hours"]
        known = np.isfinite(adds) & (total(state["days"].swapaxes(1, 2)) >= _FIRST)
        return np.where(known, adds, 0.0), known

    def rest(self, time: int, left: Floats, threshold: Floats, smooth: Floats, state: Columns) -> tuple[Floats, Bools]:
        """[D, S] what is left of what an explanation leaves, and whether the hour is known. What would be usual at another hour makes no
        alarm within a day. threshold: [D, S] from which on a rest is abnormal, once it is smoothed over `smooth` ticks.
        """
        adds, known = self.told(time, state)
        most = _WITHIN / (1.0 - np.exp(-self._shift / smooth)) * threshold
        within = np.clip(left, state["lowest"], state["highest"])
        cut = np.clip(within - adds, -most, most)
        state["other"][:] = known & (cut != within - adds)
        return cut + left - within, known

    def usual(self, passed: Floats, smooth: Floats, state: Columns) -> Bools:
        """[D, S] whether days go as they do, so that they may be learnt from. passed: ticks since the value before. smooth: in ticks."""
        other = state["other"] * (passed > 0)
        state["odd_lately"] += share(passed, smooth) * (other - state["odd_lately"])
        state["odd"] += other
        found: Bools = state["odd_lately"] < _ODD
        return found

    def believed(self, state: Columns) -> Bools:
        """[D, S] where the hour explains the signal, too."""
        found: Bools = state["rhythmic"] > 0
        return found

    def learn(self, time: int, left: Floats, scatter: Floats, trust: Floats, memory: Floats, state: Columns) -> None:
        """Takes what an explanation leaves of a tick's values, [D, S]. scatter: usual variance of what is left of them by the hour.
        trust: how far they are to be learnt from. memory: in ticks.
        """
        hour, kind = _hour(time), _weekend(time)
        most = np.maximum(memory / self._week * _DAYS[kind], 1.0)
        days = np.minimum(state["days"][:, kind] + trust / self._day, most)
        state["days"][:, kind] = days
        before = state["hours"][:, kind, hour]
        step = np.minimum(trust / np.maximum(days * self._visit, 1.0), 1.0)
        most = np.where(state["rhythmic"] > 0, _HASTY * np.sqrt(scatter), np.inf)
        moved = before + step * np.clip(left - before, -most, most)
        state["hours"][:, kind, hour] = np.where(np.isnan(before) & (trust > 0), left, moved)

    def believe(
        self, by_hour: Floats, without: Floats, step: Floats, followed: Floats, smooth: Floats, state: Columns
    ) -> None:
        """Asks whether it explains anything. by_hour: [D, S] the usual variance of what is left by it, smoothed over `smooth` ticks.
        without: what is left without it now; step: the share that this tick has in both. followed: for how many ticks it was.
        """
        state["without"] += step * (without**2 - state["without"])
        enough = followed >= np.maximum(self._week, _SMOOTHINGS * smooth)
        most = np.where(state["rhythmic"] > 0, _STILL, _TELLING) * state["without"]
        state["rhythmic"][:] = enough & (by_hour < most)

    def look(self, time: int, scatter: Floats, state: Columns) -> Bools:
        """Once a day: the mean of the week, and whether weekends are another kind of day. scatter: [D, S] usual variance of what is left
        by it of single values. Returns where something else is told from now on.
        """
        changed = np.zeros(scatter.shape, dtype=bool)
        today = time // _HOUR // _HOURS
        due = np.nonzero(state["today"] != today)[0]
        state["today"][due] = today
        # A day begins for all devices at once, and their hours are many numbers.
        for first in range(0, len(due), _AT_ONCE):
            some = due[first : first + _AT_ONCE]
            changed[some] = self._look(some, scatter[some], state)
        if (another := state["odd_days"] >= _MOST_ODD).any():
            self.begin(another, state)
            changed |= another
        return changed

    def _look(self, some: Ints, scatter: Floats, state: Columns) -> Bools:
        """The same for some devices, by their positions."""
        hours, before = state["hours"][some], state["apart"][some] > 0
        middle = state["all_hours"][some] = or_zero(_mean(_of_week(hours)))
        state["lowest"][some] = np.fmin.reduce(hours, axis=(1, 2)) - middle
        state["highest"][some] = np.fmax.reduce(hours, axis=(1, 2)) - middle
        differ = _mean((hours[:, 1] - hours[:, 0]) ** 2)
        by_chance = scatter * total(1.0 / np.maximum(state["days"][some].swapaxes(1, 2), 1.0))
        apart: Bools = differ > np.where(before, _ALIKE, _APART) * by_chance
        state["apart"][some] = apart
        odd = np.where(state["odd"][some] > _ODD * self._day, 1.0, -1.0)
        state["odd_days"][some] = np.maximum(state["odd_days"][some] + odd, 0.0)
        state["odd"][some] = 0.0
        changed: Bools = apart != before
        return changed

    def settled(self, lived: Floats) -> Bools:
        """[D, S] whether signals that were known for so many ticks have a mean."""
        return lived >= self._settled

    @staticmethod
    def begin(anew: Bools, state: Columns) -> None:
        """Forgets all where another explanation is believed from now on, [D, S]: it leaves something else."""
        some = np.nonzero(anew.any(axis=1))[0]
        gone = anew[some, None]
        state["hours"][some] = np.where(gone[:, None], np.nan, state["hours"][some])
        state["days"][some] = np.where(gone, 0.0, state["days"][some])
        for field in ("all_hours", "lowest", "highest", "odd_days", "apart", "rhythmic"):
            state[field][anew] = 0.0


def _of_week(hours: Floats) -> Floats:
    """The mean of working days and weekends, the second axis; of one where the other is not known."""
    work, free = hours[:, 0], hours[:, 1]
    both = (work * _DAYS[0] + free * _DAYS[1]) / _DAYS.sum()
    return np.where(np.isnan(both), np.where(np.isnan(work), free, work), both)


def _mean(hours: Floats) -> Floats:
    """The mean of the known hours, the second axis; NaN where none is."""
    known = np.isfinite(hours)
    count = known.sum(axis=1)
    return np.where(count > 0, np.where(known, hours, 0.0).sum(axis=1) / np.maximum(count, 1), np.nan)


def _hour(time: int) -> int:
    return time // _HOUR % _HOURS


def _weekend(time: int) -> int:
    return int((time // _HOUR // _HOURS - _MONDAY) % 7 >= _DAYS[0])
