"""What models learn from: ticks of devices with their features and how long each component still had.

A failure is told to a model by all the ticks that lead up to it; of healthy time of large fleets a part is drawn.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np

from anomaly.detector import fresh
from anomaly.learning.conditions import Conditions, followed
from anomaly.learning.features import Features, Matrix
from core.errors import InvalidInput
from core.profile import Profile
from telemetry.window import Bools, Floats, Ints, Window

_MOST_ROWS = 300_000
"""Ticks of devices to learn from; of longer histories the healthy ticks are drawn."""
_ENOUGH = 40_000
"""Ticks of devices that tell what conditions make of signals."""
_SNAPSHOTS = 3.0
"""Where other time was recorded so many times more seldom than time before failures, the history is one of snapshots; less may be a
device that stands still in summer.
"""
_MOST_MISSING = 0.5
"""A feature that is not known for more than this share of the ticks before failures is not learnt from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """Failures of D devices: device, component: [N] positions. time, began: [N] when each was, and since when it is known to have shown,
    microseconds since the epoch.
    """

    device: Ints
    component: Ints
    time: Ints
    began: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """N ticks of devices to learn from, at the end of each tick.

    rows: [N, F] features. device: [N] positions. times: [N] microseconds since the epoch. weight: [N] how many ticks each stands for. remaining: [N, C] ticks to the
    next failure of each component, inf where none is known. followed: [N] ticks for which the device was still watched.
    seldom: how much more seldom other time was recorded than time before failures.
    """

    rows: Matrix
    device: Ints
    times: Ints
    weight: Floats
    remaining: Floats
    followed: Floats
    seldom: float = 1.0


def collect(
    profile: Profile,
    features: Features,
    windows: Iterable[Window],
    failed: Failed,
    *,
    devices: Bools,
    until: int | None,
    ticks: float,
    watched: Ints,
    seed: int = 0,
) -> Examples:
    """Draws examples from windows of all devices.

    devices: [D] those to learn from. until: microseconds; ticks that end after it are left out. ticks: about how many
    ticks of devices there are. watched: [D] up to when each device was watched.
    """
    tick = profile.tick // timedelta(microseconds=1)
    horizon = profile.horizon / profile.tick
    state = fresh(features.layout, len(devices))
    chosen = np.random.default_rng(seed)
    share = min(1.0, _MOST_ROWS / max(ticks, 1.0))
    failing = np.zeros(len(devices), dtype=bool)
    failing[failed.device] = True
    due: dict[int, list[tuple[int, Ints, Ints]]] = {}
    order = np.argsort(failed.time, kind="stable")
    for device in np.nonzero(failing)[0].tolist():
        own = order[failed.device[order] == device]
        each = [own[failed.component[own] == c] for c in range(len(profile.components))]
        due[device] = [(c, failed.time[at], failed.began[at]) for c, at in enumerate(each)]
    found: list[Examples] = []
    coverage = _Coverage(len(devices))
    for window in windows:
        for step in window.ticks():
            end = step.time + tick
            if until is not None and end > until:
                break
            features.follow(step, state)
            at = np.nonzero(step.heard & devices)[0]
            remaining = np.full((len(at), len(profile.components)), np.inf)
            broken = np.zeros(len(at), dtype=bool)
            for row in np.nonzero(failing[at])[0].tolist():
                for component, times, began in due[int(at[row])]:
                    following = np.searchsorted(times, end)
                    if following < len(times):
                        remaining[row, component] = (times[following] - end) / tick
                        broken[row] |= began[following] <= end
                    if following and end - times[following - 1] <= horizon * tick:
                        broken[row] |= state["since"][at[row], component] < times[following - 1] // tick
            near: Bools = np.asarray((remaining <= horizon).any(axis=1))
            coverage.take(at, near, end)
            # What has failed and is not replaced, or shows long before it fails, is no healthy example.
            kept = near | ((chosen.random(len(at)) < share) & ~broken)
            at = at[kept]
            last = watched[at] if until is None else np.minimum(watched[at], until)
            found.append(
                Examples(
                    rows=features.read({name: column[at] for name, column in state.items()}),
                    device=at,
                    times=np.full(len(at), end),
                    weight=np.where(near[kept], 1.0, 1.0 / share),
                    remaining=remaining[kept],
                    followed=(last - end) / tick,
                )
            )
    if not found:
        raise InvalidInput("there is no telemetry to learn from")
    whole = {f: np.concatenate([getattr(e, f) for e in found]) for f in Examples.__dataclass_fields__ if f != "seldom"}
    seldom = coverage.seldom(failed, tick, horizon)
    whole["weight"] = np.where((whole["remaining"] <= horizon).any(axis=1), 1.0, seldom * whole["weight"])
    return Examples(**whole, seldom=seldom)


class _Coverage:
    """How much of the time of D devices was recorded, before failures and else. Where little more than the time before failures was
    kept, it would look as if all that is unusual led to one.
    """

    def __init__(self, devices: int) -> None:
        self._first = np.full(devices, -1, dtype=np.int64)
        self._last = np.zeros(devices, dtype=np.int64)
        self._near = self._else = 0

    def take(self, at: Ints, near: Bools, end: int) -> None:
        """Devices that were heard in a tick, and whether each was near a failure."""
        self._first[at] = np.where(self._first[at] < 0, end, self._first[at])
        self._last[at] = end
        self._near += int(near.sum())
        self._else += int((~near).sum())

    def seldom(self, failed: Failed, tick: int, horizon: float) -> float:
        """How much more seldom other time was recorded than time before failures; 1 where it was not."""
        heard = np.nonzero(self._first >= 0)[0]
        possible = float(((self._last - self._first)[heard] / tick + 1).sum())
        near = 0.0
        for device in np.intersect1d(np.unique(failed.device), heard).tolist():
            first, last = self._first[device], self._last[device]
            times = np.unique(failed.time[failed.device == device])
            times = times[(times > first) & (times <= last + horizon * tick)]
            near += np.minimum(np.diff(times, prepend=first) / tick, horizon).sum()
        if not (self._near and self._else and near):
            return 1.0
        found = min(self._near / near, 1.0) * (possible - near) / self._else
        return found if found >= _SNAPSHOTS else 1.0


def conditions_of(
    profile: Profile,
    windows: Iterable[Window],
    failed: Failed,
    *,
    devices: Bools,
    until: int | None,
    ticks: float,
    seed: int = 0,
) -> Conditions | None:
    """From the ticks of some devices in a history that are farther than the horizon before a failure; takes what `collect`
    takes. None where they explain nothing.
    """
    if not profile.contexts or not profile.measured:
        return None
    names = list(profile.signals)
    context_at, measured_at = ([names.index(name) for name in own] for own in (profile.contexts, profile.measured))
    tick, horizon = (length // timedelta(microseconds=1) for length in (profile.tick, profile.horizon))
    share = min(1.0, _ENOUGH / max(ticks, 1.0))
    chosen = np.random.default_rng(seed)
    parts = []
    for window, context in followed(windows, context_at):
        ends = window.times + tick
        taken = window.heard & devices & (chosen.random(window.heard.shape) < share)
        if until is not None:
            taken &= (ends <= until)[:, None]
        shows = np.minimum(failed.time - horizon, failed.began)
        for device, low, high in zip(failed.device.tolist(), *np.searchsorted(ends, (shows, failed.time)), strict=True):
            taken[low:high, device] = False
        parts.append((context[taken], window.values[:, :, measured_at][taken], np.nonzero(taken)[1]))
    if not parts:
        return None
    context, values, device = (np.concatenate(own) for own in zip(*parts, strict=True))
    return Conditions.learn(profile.contexts, profile.measured, context, values, device)


def known_enough(examples: Examples, horizon: float) -> Examples:
    """The same without features that are hardly ever known before a failure: whether they are known at all would then be
    taken for a sign, though it only says how the history was recorded.
    """
    near = (examples.remaining <= horizon).any(axis=1)
    missing = np.isnan(examples.rows[near]).mean(axis=0) if near.any() else np.zeros(examples.rows.shape[1])
    return replace(examples, rows=np.where(missing > _MOST_MISSING, np.float32(0), examples.rows))


def lives(examples: Examples, component: int, tick: int) -> int:
    """How many different failures of a component the examples lead up to."""
    remaining = examples.remaining[:, component]
    return len(np.unique(_failures(examples, remaining, np.isfinite(remaining), tick), axis=1).T)


def _failures(examples: Examples, remaining: Floats, some: Bools, tick: int) -> Ints:
    """[2, N] the device and the tick of the failure that some of the examples lead up to."""
    ends = np.rint(examples.times[some] / tick + remaining[some]).astype(np.int64)
    return np.stack([examples.device[some], ends])


def foreseen(examples: Examples, component: int, odds: Floats, horizon: float, lead: float, tick: int) -> Floats:
    """How well these log odds tell each failure, in time, from healthy time; higher is better: how rare it is that healthy
    time looks as bad, as a logarithm. Quick, and only to choose a kind of model by: the backtest judges episodes.
    """
    remaining = examples.remaining[:, component]
    healthy = remaining > horizon
    span = max(horizon * tick / 2, 1.0)
    block = np.stack([examples.device[healthy], (examples.times[healthy] / span).astype(np.int64)])
    _, at = np.unique(block, axis=1, return_inverse=True)
    most = np.full(at.max() + 1 if len(at) else 0, -np.inf)
    np.maximum.at(most, at.ravel(), odds[healthy])
    seen = (remaining >= lead) & (remaining <= horizon)
    _, at = np.unique(_failures(examples, remaining, seen, tick), axis=1, return_inverse=True)
    best = np.full(at.max() + 1 if len(at) else 0, -np.inf)
    np.maximum.at(best, at.ravel(), odds[seen])
    worse = len(most) - np.searchsorted(np.sort(most), best)
    return -np.log1p(worse)
