"""What the conditions that a device works in (its context signals: weather, load, operating mode) make of its other signals,
learnt from healthy time of a whole fleet. Models then see each value as it would be in usual conditions.
"""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from sklearn.tree import DecisionTreeRegressor

from telemetry.window import Floats, Ints, Window

_KINDS = (1, 8, 32)
"""Conditions are told apart as at most so many kinds: of these the one that explains unknown devices best."""
_FEWEST = 20
"""Ticks that make a kind."""
_BETTER = 0.05
"""More kinds are taken where they leave a twentieth less of the variance unexplained, in the mean of the signals."""
_EXPLAINED = 0.1
"""A signal is corrected where conditions explain this share of its variance within devices that were not learnt from."""
_FEWEST_DEVICES = 4
_RIDGE = 1e-3
"""Against slopes of contexts that hardly move: the ridge, as a share of the variance of a context."""
_SHRUNK = 5.0
"""The spread in a kind of conditions is taken to be as on the whole, as firmly as if that had been seen so many times."""
_LEAST = 1e-9
"""No spread is nothing."""
_TRIMMED = 1e-3
"""This share of the values at each end may be anything: they count as the last one before."""
_BEYOND = 2.0
"""A context is followed as far as so many of its spreads beyond what was seen."""
_ROUNDS = 2
"""Kinds and slopes are found by turns: so often."""
_NAMES = ("contexts", "signals")
"""Which parts are names; all others are arrays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """K kinds of conditions, told apart by C context signals, and what S signals are in each of them.

    contexts, signals: names. scale: [C] spread of each context. known: [2, C] its least and greatest value. Kinds are the leaves
    of a tree of N nodes: context, limit: [N] by which context, in its unit, a node parts, -1 at a leaf; below: [N, 2] the nodes
    at or below the limit and above it; kind: [N] of a leaf, 0 being the most usual. centre: [K, C] mean contexts of each kind.
    mean, spread: [K, S] of each signal there. slope: [C, S] how a signal moves as a context moves by its spread around the centre.
    """

    contexts: tuple[str, ...]
    signals: tuple[str, ...]
    scale: Floats
    known: Floats
    context: Ints
    limit: Floats
    below: Ints
    kind: Ints
    centre: Floats
    mean: Floats
    spread: Floats
    slope: Floats

    def places(self, signals: Sequence[str]) -> tuple[list[int], list[int]]:
        """Positions of the contexts and of the corrected signals among a profile's signals."""
        names = list(signals)
        return [names.index(name) for name in self.contexts], [names.index(name) for name in self.signals]

    def corrected(self, values: Floats, context: Floats) -> Floats:
        """What values [..., S] measured in contexts [..., C] would be in usual conditions. A context that is not known is
        taken to be the most usual.
        """
        expected, spread = self.expected(context)
        result: Floats = self.mean[0] + (values - expected) / spread * self.spread[0]
        return result

    def as_measured(self, values: Floats, context: Floats) -> Floats:
        """The other way round: what is measured in contexts where it would be `values` in usual conditions."""
        expected, spread = self.expected(context)
        result: Floats = expected + (values - self.mean[0]) / self.spread[0] * spread
        return result

    def expected(self, context: Floats) -> tuple[Floats, Floats]:
        """Mean and spread [..., S] of the signals in contexts [..., C]."""
        context = np.where(np.isfinite(context), context, self.centre[0])
        # Slopes hold a little beyond what was seen, not as far as a broken sensor may go.
        beyond = _BEYOND * self.scale
        context = np.clip(context, self.known[0] - beyond, self.known[1] + beyond)
        node = np.zeros(context.shape[:-1], dtype=np.int64)
        while (parted := self.context[node] >= 0).any():
            own = np.take_along_axis(context, self.context[node][..., None], axis=-1)[..., 0]
            node = np.where(parted, self.below[node, (own > self.limit[node]).astype(np.int64)], node)
        kind = self.kind[node]
        return self.mean[kind] + (context - self.centre[kind]) / self.scale @ self.slope, self.spread[kind]

    @classmethod
    def learn(
        cls, contexts: tuple[str, ...], signals: tuple[str, ...], context: Floats, values: Floats, device: Ints
    ) -> Self | None:
        """From N healthy ticks of devices; None where conditions explain no signal, or too few devices are known to say so.

        context: [N, C]. values: [N, S]. NaN where not known. device: [N].
        """
        devices, device = np.unique(device, return_inverse=True)
        if len(devices) < _FEWEST_DEVICES:
            return None
        context, values = _trimmed(context), _trimmed(values)
        kinds, left = 0, np.ones(len(signals))
        for tried in _KINDS:
            parts = []
            for part in (device % 2 == 0, device % 2 == 1):
                expected, _ = cls._fit(contexts, signals, context[part], values[part], tried).expected(context[~part])
                parts.append(_unexplained(values[~part], expected, device[~part]))
            most = np.maximum(*parts)
            if np.log(most).clip(max=0.0).mean() < np.log(left).clip(max=0.0).mean() - _BETTER:
                kinds, left = tried, most
        some = left <= 1.0 - _EXPLAINED
        if not some.any():
            return None
        names = tuple(name for name, own in zip(signals, some, strict=True) if own)
        return cls._fit(contexts, names, context, values[:, some], kinds)

    @classmethod
    def _fit(
        cls, contexts: tuple[str, ...], signals: tuple[str, ...], context: Floats, values: Floats, kinds: int
    ) -> Self:
        there = np.isfinite(context)
        middle = [np.median(context[own, at]) if own.any() else 0.0 for at, own in enumerate(there.T)]
        context = np.where(there, context, middle)
        spread = context.std(axis=0)
        scale = np.where(spread > 0, spread, 1.0)
        whole = _standard(values)
        fewest = _FEWEST if kinds > 1 else len(whole)
        tree = DecisionTreeRegressor(max_leaf_nodes=max(kinds, 2), min_samples_leaf=fewest, random_state=0)
        away = context / scale
        slope = np.zeros((len(contexts), len(signals)))
        for _ in range(_ROUNDS):
            # Once what moves evenly with the contexts is known, the tree need not tell that in steps.
            leaf = tree.fit(context, whole - away @ slope).apply(context)
            slope = _slopes(whole, away, np.unique(leaf, return_inverse=True)[1])
        parts = tree.tree_
        times = np.bincount(leaf, minlength=parts.node_count)
        leaves = np.argsort(-times, kind="stable")[: np.count_nonzero(times)]
        kind_of = np.zeros(parts.node_count, dtype=np.int64)
        kind_of[leaves] = np.arange(len(leaves))
        kind = kind_of[leaf]
        centre = _means(context, kind)
        found = [_signal(own, kind, (context - centre[kind]) / scale, len(leaves)) for own in values.T]
        mean, spread, slope = (np.stack(part, axis=1) for part in zip(*found, strict=True))
        return cls(
            contexts=contexts,
            signals=signals,
            scale=scale,
            known=np.stack([context.min(axis=0), context.max(axis=0)]),
            context=np.maximum(parts.feature, -1).astype(np.int64),
            limit=parts.threshold,
            below=np.stack([parts.children_left, parts.children_right], axis=1),
            kind=kind_of,
            centre=centre,
            mean=mean,
            spread=spread,
            slope=slope,
        )

    def told(self) -> dict[str, list[Any]]:
        """As plain lists, to be stored."""
        parts = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: list(part) if name in _NAMES else part.tolist() for name, part in parts.items()}

    @classmethod
    def of(cls, told: Mapping[str, list[Any]]) -> Self:
        """From what `told` gave."""
        return cls(**{name: tuple(part) if name in _NAMES else np.array(part) for name, part in told.items()})  # type: ignore[arg-type]


def _trimmed(columns: Floats) -> Floats:
    """[N, S] the same without what is far out for once."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice", RuntimeWarning)
        low, high = np.nanquantile(columns, (_TRIMMED, 1.0 - _TRIMMED), axis=0)
    return np.clip(columns, low, high)


def _standard(values: Floats) -> Floats:
    """[N, S] signals in spreads from their mean, 0 where they were not measured."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Mean of empty slice|Degrees of freedom", RuntimeWarning)
        spread = np.nanstd(values, axis=0)
        standard = np.nan_to_num((values - np.nanmean(values, axis=0)) / np.where(spread > 0, spread, 1.0))
    return np.asarray(standard, dtype=np.float64)


def _slopes(values: Floats, away: Floats, kind: Ints) -> Floats:
    """[C, S] how signals move with contexts within kinds of conditions; values: [N, S], away: [N, C], kind: [N]."""
    return _ridge(away - _means(away, kind)[kind], values - _means(values, kind)[kind])


def _means(columns: Floats, group: Ints) -> Floats:
    """[G, S] the mean of each of the columns [N, S] in each group; group: [N] from 0, none of them empty."""
    sums = np.stack([np.bincount(group, own) for own in columns.T], axis=1)
    means: Floats = sums / np.bincount(group)[:, None]
    return means


def _ridge(x: Floats, y: Floats) -> Floats:
    """[C] or [C, S] the slopes of y [N] or [N, S] along x [N, C]."""
    slopes = np.linalg.solve(x.T @ x + _RIDGE * len(x) * np.eye(x.shape[1]), x.T @ y)
    return np.asarray(slopes, dtype=np.float64)


def _signal(values: Floats, kind: Ints, away: Floats, kinds: int) -> tuple[Floats, Floats, Floats]:
    """Mean and spread [K] of a signal in each kind of conditions, and its slopes [C]."""
    seen = np.isfinite(values)
    y, kind, away = values[seen], kind[seen], away[seen]
    if not len(y):
        return np.zeros(kinds), np.ones(kinds), np.zeros(away.shape[1])
    times = np.bincount(kind, minlength=kinds)
    mean = np.where(times > 0, np.bincount(kind, y, minlength=kinds) / np.maximum(times, 1), y.mean())
    slope = _ridge(away, y - mean[kind])
    rest = (y - mean[kind] - away @ slope) ** 2
    whole = max(float(rest.mean()), _LEAST**2)
    spread = np.sqrt((np.bincount(kind, rest, minlength=kinds) + _SHRUNK * whole) / (times + _SHRUNK))
    return mean, spread, slope


def _unexplained(values: Floats, expected: Floats, device: Ints) -> Floats:
    """[S] the share of each signal's variance within devices that is not explained; values, expected: [N, S], device: [N]."""
    shares = np.ones(values.shape[1])
    for at, (own, told) in enumerate(zip(values.T, expected.T, strict=True)):
        seen = np.isfinite(own)
        whole = _within(own[seen], device[seen])
        if whole > 0:
            shares[at] = max(_within(own[seen] - told[seen], device[seen]) / whole, _LEAST)
    return shares


def _within(values: Floats, device: Ints) -> float:
    """The sum of squares of values around the mean of their device."""
    times = np.maximum(np.bincount(device), 1)
    return float(((values - (np.bincount(device, values) / times)[device]) ** 2).sum())


def held(context: Floats, last: Floats) -> Floats:
    """[T, D, C] the newest known value at each of T ticks, from those of the ticks [T, D, C] and before them [D, C]."""
    whole = np.concatenate([last[None], context])
    at = np.where(np.isfinite(whole), np.arange(len(whole))[:, None, None], 0)
    newest: Floats = np.take_along_axis(whole, np.maximum.accumulate(at, axis=0), axis=0)[1:]
    return newest


def followed(windows: Iterable[Window], contexts: Sequence[int]) -> Iterator[tuple[Window, Floats]]:
    """Each window, all of the same devices, and its contexts [T, D, C], given by their positions among its signals: the newest
    known, from window to window.
    """
    last: Floats | None = None
    for window in windows:
        own = window.values[:, :, contexts]
        context = held(own, np.full(own.shape[1:], np.nan) if last is None else last)
        last = context[-1] if len(context) else last
        yield window, context
