"""Which devices each member of a model knows and which ticks of them it is shown: devices are dealt into parts, and each member
leaves two of them out.
"""

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from anomaly.learning.examples import Examples
from telemetry.window import Bools, Ints

FOLDS = 5
_NEXT = tuple((fold, (fold + 1) % FOLDS) for fold in range(FOLDS))
_OTHER = tuple((fold, (fold + 2) % FOLDS) for fold in range(FOLDS))
"""The parts of the devices that a member of a model did not know. Each device is unknown to two members of either kind, and what
those say together scatters nearly as little as what all say of a new device: so limits set by the one hold for the other.
"""
_REACHES = (1 / 2, 1 / 4, 1 / 8)
"""How early signs show differs, and few failures do not say how early: members look within all of the horizon or a share of it,
and speak together.
"""
_ENOUGH = 60_000
"""Healthy ticks that a member is shown."""
_Fit = TypeVar("_Fit")


class Design(NamedTuple):
    """What a member of a model is: the parts of the devices that it does not know, and within how many ticks a failure counts."""

    folds: tuple[int, int]
    reach: float

    def knows_not(self, fold_of: Ints) -> Bools:
        """[D] which devices it does not know."""
        unknown: Bools = np.isin(fold_of, self.folds)
        return unknown


Members = tuple[tuple[Design, _Fit], ...]
"""Fits, each with what it was learnt from."""


def farthest(horizon: float) -> list[Design]:
    """Those that look as far as the horizon, enough to tell kinds of fits by."""
    return [Design(folds, horizon) for folds in _NEXT]


def designs(examples: Examples, component: int, fold_of: Ints, horizon: float, lead: float) -> list[Design]:
    """The members of a component's model: the horizon and shares of it by turns with the one and the other kind of pairs, so that
    they are learnt from ever other devices. What tells only failures that are nearer than the lead would tell them too late.
    """
    possible = [horizon, *(max(horizon * share, 1.0) for share in _REACHES if horizon * share > lead)]
    remaining = examples.remaining[:, component]
    reaches = [reach for reach in possible if everywhere(examples, remaining <= reach, fold_of)]
    others = reaches[1::2] or reaches
    return [
        *(Design(folds, reach) for folds in _NEXT for reach in reaches[::2]),
        *(Design(folds, reach) for folds in _OTHER for reach in others),
    ]


def everywhere(examples: Examples, some: Bools, fold_of: Ints) -> bool:
    """Whether some of the examples are left, whichever folds are set apart."""
    return all((some & ~np.isin(fold_of[examples.device], folds)).any() for folds in _NEXT + _OTHER)


def dealt(examples: Examples, horizon: float, devices: int) -> Ints:
    """[D] the fold of each device, so that devices with failures are dealt out evenly; -1 where there is no example."""
    near = np.bincount(examples.device, (examples.remaining <= horizon).any(axis=1), minlength=devices)
    there = np.bincount(examples.device, minlength=devices) > 0
    order = np.lexsort((np.arange(devices), -near))
    order = order[there[order]]
    fold = np.full(devices, -1, dtype=np.int64)
    fold[order] = np.arange(len(order)) % FOLDS
    return fold


def shown(examples: Examples, design: Design, healthy: Bools, fold_of: Ints, seed: int) -> Bools:
    """[N] what a member learns from: all that leads up to failures of the devices it may know, and as much of healthy time as is
    enough. Of more, each member is shown ticks drawn for itself, so together they know nearly all. Where time before failures was
    recorded more often than other time, each is shown every n-th tick of it, other members other ones.
    """
    there = ~design.knows_not(fold_of)[examples.device]
    at = np.nonzero(there & healthy)[0]
    chosen = np.random.default_rng((seed, *design.folds, round(design.reach)))
    there[at[chosen.permutation(len(at))[_ENOUGH:]]] = False
    step = every(examples, design.reach)
    if step > 1:
        before = there & ~healthy
        order = np.lexsort((examples.times, examples.device))
        order = order[before[order]]
        there &= healthy
        there[order[int(chosen.integers(step)) :: step]] = True
    return there


def every(examples: Examples, reach: float) -> int:
    """Of how many ticks before failures members with that reach are shown one; so that two or so are left before each failure."""
    return max(1, int(min(examples.seldom, reach / 2)))


def not_knowing(members: Sequence[tuple[Design, _Fit]], fold: int | None) -> tuple[_Fit, ...]:
    """Those that did not know the devices of a fold; all for devices that none knew."""
    return tuple(fit for design, fit in members if fold is None or fold in design.folds)
