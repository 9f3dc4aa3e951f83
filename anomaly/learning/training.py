"""Learns models from a history with known failures, by the features that judge live.

Devices are the unit: what is said of a device while thresholds are set comes from a model that was learnt on others.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple, TypeVar

import numpy as np
from joblib import Parallel, delayed
from sklearn.linear_model import LogisticRegression

from anomaly.learning.conditions import Conditions
from anomaly.learning.examples import Examples, foreseen, known_enough, lives
from anomaly.learning.features import Features, Matrix, Vocabulary
from anomaly.learning.fits import LARGE, SMALL, beside, chance, rest, targets
from anomaly.learning.forest import Forest
from anomaly.learning.logistic import Logistic, Scale
from anomaly.learning.model import ComponentModel, Model, Quantiles, Remaining, estimates, hash_of, together
from core.profile import Profile
from telemetry.window import Bools, Floats, Ints

FOLDS = 5
_NEXT = tuple((fold, (fold + 1) % FOLDS) for fold in range(FOLDS))
_OTHER = tuple((fold, (fold + 2) % FOLDS) for fold in range(FOLDS))
"""The parts of the devices that a member of a model did not know. Each device is unknown to two members of either kind, and what
those say together scatters nearly as little as what all say of a new device: so limits set by the one hold for the other.
"""
FEWEST = 5
"""Failures of a component, on different devices or not, from which on a model of it is worth its name."""
_FEWEST_LIVES = 20
"""Failures from which on the remaining time is learnt too."""
_MANY = 50
"""Failures from which on a model may be larger."""
_REACHES = (1 / 2, 1 / 4, 1 / 8)
"""How early signs show differs, and few failures do not say how early: members look within all of the horizon or a share of it,
and speak together.
"""
_WORTH = 0.05
"""A regression speaks beside the trees where that makes healthy time that looks as bad as a failure rarer by a twentieth."""
_ENOUGH = 60_000
"""Healthy ticks that a member is shown."""
_INSIDE = 0.8
"""Share of true lives that P10 to P90 is to hold."""


class _Design(NamedTuple):
    """What a member of a model is: the parts of the devices that it does not know, and within how many ticks a failure counts."""

    folds: tuple[int, int]
    reach: float

    def knows_not(self, fold_of: Ints) -> Bools:
        """[D] which devices it does not know."""
        unknown: Bools = np.isin(fold_of, self.folds)
        return unknown


Members = tuple[tuple[_Design, Forest], ...]
_Fit = TypeVar("_Fit", Quantiles, Logistic)


@dataclass(frozen=True, slots=True, kw_only=True)
class Learnt:
    """A model, and for each device that it was learnt from one that did not know the device: fold_of: [D], -1 for others."""

    model: Model
    folds: tuple[Model, ...]
    fold_of: Ints


def learn(
    profile: Profile,
    vocabulary: Vocabulary,
    examples: Examples,
    *,
    devices: int,
    lead: float,
    conditions: Conditions | None = None,
    jobs: int = 1,
    seed: int = 0,
) -> Learnt | None:
    """Fits a model of each component with enough failures; None where none has.

    lead: ticks before a failure at which it must be told at the latest. jobs: fits at the same time, by joblib.
    """
    horizon = profile.horizon / profile.tick
    tick = profile.tick // timedelta(microseconds=1)
    examples = known_enough(examples, horizon)
    texts = Features(profile, vocabulary).categories
    names = list(profile.components)
    fold_of = _folds(examples, horizon, devices)
    lives_of = [lives(examples, at, tick) for at in range(len(names))]
    known = [at for at in range(len(names)) if lives_of[at] >= FEWEST and _everywhere(examples, at, horizon, fold_of)]
    if not known:
        return None
    designs = {
        at: _designs([reach for reach in _reaches(horizon, lead) if _everywhere(examples, at, reach, fold_of)])
        for at in known
    }
    # Those that look as far as the horizon, enough to tell sizes by.
    farthest = [_Design(folds, horizon) for folds in _NEXT]
    enough = [at for at in known if lives_of[at] >= _FEWEST_LIVES]

    # Members of the same design are shown the same, whichever component they are of.
    healthy: Bools = np.asarray((examples.remaining > horizon).all(axis=1))
    shown = {own: _shown(examples, own, healthy, fold_of, seed) for own in {own for at in known for own in designs[at]}}
    usual = _usual(examples.rows[healthy], texts)
    scale = Scale.of(examples.rows[healthy], usual, texts)

    # One pool for all of it: the examples are handed to the workers once.
    with Parallel(n_jobs=jobs) as run:

        def fitted(asked: Mapping[int, Sequence[_Design]], size: Mapping[str, Any]) -> dict[int, Members]:
            each = [(at, design) for at in asked for design in asked[at]]
            fits = run(delayed(chance)(examples, at, shown[own], own.reach, size, texts, seed) for at, own in each)
            by = dict(zip(each, fits, strict=True))
            return {at: tuple((own, by[at, own]) for own in asked[at]) for at in asked}

        def worth(at: int, members: Members) -> Floats:
            """How well those that look as far as the horizon tell each failure of devices that they did not know."""
            odds = _unknown(examples, fold_of, [member for member in members if member[0] in farthest])
            return foreseen(examples, at, odds, horizon, lead, tick)

        members = fitted(designs, SMALL)
        # Where many failures are known they may be larger.
        tried = fitted({at: farthest for at in known if lives_of[at] >= _MANY}, LARGE)
        large = [at for at, own in tried.items() if _better(worth(at, own), worth(at, members[at]))]
        others = fitted({at: [own for own in designs[at] if own not in farthest] for at in large}, LARGE)
        members |= {at: tried[at] + others[at] for at in large}
        plain = run(delayed(beside)(examples, at, shown[own], horizon, scale) for at in known for own in farthest)
        rests = run(
            delayed(rest)(examples, at, ~own.knows_not(fold_of), own.reach, texts, seed)
            for at in enough
            for own in farthest
        )
    lasting = {at: tuple(rests[FOLDS * n : FOLDS * (n + 1)]) for n, at in enumerate(enough)}
    straight = {at: tuple(plain[FOLDS * n : FOLDS * (n + 1)]) for n, at in enumerate(known)}
    parts: list[dict[str, ComponentModel]] = [{} for _ in range(FOLDS + 1)]
    card: dict[str, Any] = {}
    for at in known:
        trees = _unknown(examples, fold_of, members[at])
        regression = _unknown(examples, fold_of, tuple(zip(farthest, straight[at], strict=True)))
        slope, weight, intercept = _calibrated(examples, at, horizon, trees, regression)
        gained = foreseen(examples, at, slope * trees + weight * regression, horizon, lead, tick)
        if weight and np.mean(gained - foreseen(examples, at, trees, horizon, lead, tick)) < _WORTH:
            slope, weight, intercept = _calibrated(examples, at, horizon, trees)
        margin = _margin(examples, at, horizon, fold_of, lasting[at]) if at in enough else 0.0
        # All of them judge new devices, and those that did not know a device judge that.
        for part, fold in zip(parts, (None, *range(FOLDS)), strict=True):
            chosen = [model for design, model in members[at] if fold is None or fold in design.folds]
            part[names[at]] = ComponentModel(
                members=tuple(chosen),
                slope=slope,
                beside=Logistic.mean(_not_knowing(straight[at], fold), weight) if weight else None,
                intercept=intercept,
                limit=0.5,
                remaining=Remaining(members=_not_knowing(lasting[at], fold), margin=margin) if at in enough else None,
            )
        card[names[at]] = {
            "failures": lives_of[at],
            "large": at in large,
            "regression": bool(weight),
            "remaining": at in enough,
        }
    models = [
        Model(
            version="",
            profile=profile.name,
            profile_hash=hash_of(profile),
            horizon=horizon,
            vocabulary=vocabulary,
            usual=usual,
            components=part,
            card=card,
            conditions=conditions,
        )
        for part in parts
    ]
    return Learnt(model=models[0], folds=tuple(models[1:]), fold_of=fold_of)


def _usual(rows: Matrix, texts: Bools) -> Matrix:
    """[3, F] the 5 %, 50 % and 95 % quantile of [N, F] numbers of healthy time; of texts the most usual."""
    with warnings.catch_warnings():
        # A feature that is never known has no usual value, and needs none.
        warnings.filterwarnings("ignore", "All-NaN slice encountered", RuntimeWarning)
        usual: Matrix = np.nanquantile(rows, (0.05, 0.5, 0.95), axis=0).astype(np.float32)
    for text in np.nonzero(texts)[0].tolist():
        places, ticks = np.unique(rows[np.isfinite(rows[:, text]), text], return_counts=True)
        usual[:, text] = places[np.argmax(ticks)] if len(places) else np.nan
    return usual


def _shown(examples: Examples, design: _Design, healthy: Bools, fold_of: Ints, seed: int) -> Bools:
    """[N] what a member learns from: all that leads up to failures of the devices it may know, and as much of healthy time as is
    enough. Of more, each member is shown ticks drawn for itself, so together they know nearly all.
    """
    there = ~design.knows_not(fold_of)[examples.device]
    at = np.nonzero(there & healthy)[0]
    order = np.random.default_rng((seed, *design.folds, round(design.reach))).permutation(len(at))
    there[at[order[_ENOUGH:]]] = False
    return there


def _not_knowing(members: Sequence[_Fit], fold: int | None) -> tuple[_Fit, ...]:
    """Those that did not know the devices of a fold; all for devices that none knew."""
    return tuple(member for member, folds in zip(members, _NEXT, strict=True) if fold is None or fold in folds)


def _reaches(horizon: float, lead: float) -> list[float]:
    """In ticks, the horizon first. What tells only failures that are nearer than the lead would tell them too late."""
    return [horizon, *(max(horizon * share, 1.0) for share in _REACHES if horizon * share > lead)]


def _designs(reaches: Sequence[float]) -> list[_Design]:
    """The members: reaches by turns with the one and the other kind of pairs, so that they are learnt from ever other devices."""
    others = reaches[1::2] or reaches
    return [
        *(_Design(folds, reach) for folds in _NEXT for reach in reaches[::2]),
        *(_Design(folds, reach) for folds in _OTHER for reach in others),
    ]


def _better(worth: Floats, than: Floats) -> bool:
    """Whether what is worth so much at each failure gains more than one standard error: less is most often chance."""
    gained = worth - than
    return bool(len(gained) and gained.mean() > gained.std() / np.sqrt(len(gained)))


def _everywhere(examples: Examples, component: int, reach: float, fold_of: Ints) -> bool:
    """Whether ticks within reach of a failure of the component are left, whichever folds are set apart."""
    near = examples.remaining[:, component] <= reach
    return all((near & ~np.isin(fold_of[examples.device], folds)).any() for folds in _NEXT + _OTHER)


def _folds(examples: Examples, horizon: float, devices: int) -> Ints:
    """[D] the fold of each device, so that devices with failures are dealt out evenly; -1 where there is no example."""
    near = np.bincount(examples.device, (examples.remaining <= horizon).any(axis=1), minlength=devices)
    there = np.bincount(examples.device, minlength=devices) > 0
    order = np.lexsort((np.arange(devices), -near))
    order = order[there[order]]
    fold = np.full(devices, -1, dtype=np.int64)
    fold[order] = np.arange(len(order)) % FOLDS
    return fold


def _unknown(examples: Examples, fold_of: Ints, members: Sequence[tuple[_Design, Forest | Logistic]]) -> Floats:
    """[N] the log odds of each example by the members that did not know its device."""
    odds = np.full(len(examples.device), np.nan)
    for fold in range(FOLDS):
        mine = fold_of[examples.device] == fold
        if mine.any():
            own = [model for design, model in members if fold in design.folds]
            odds[mine] = together(own, examples.rows[mine])
    return odds


def _calibrated(
    examples: Examples, component: int, horizon: float, trees: Floats, regression: Floats | None = None
) -> tuple[float, float, float]:
    """What the log odds of trees and of a regression count, and an intercept, so that together they are right (Platt, with two
    that are stacked). Both are of models that did not know the device. A regression that tells nothing more counts 0.
    """
    near = examples.remaining[:, component] <= horizon
    odds = [trees] if regression is None else [trees, regression]
    fit = LogisticRegression(C=1e3).fit(np.stack(odds, axis=1), near, sample_weight=examples.weight)
    # What is worse than nothing on devices it did not know must not be turned round.
    slope, *weight = np.maximum(fit.coef_[0], 0.0).tolist()
    if regression is not None and not (slope and weight[0]):
        return _calibrated(examples, component, horizon, trees)
    return max(slope, 1e-3), sum(weight), float(fit.intercept_[0])


def _margin(examples: Examples, component: int, horizon: float, fold_of: Ints, members: Sequence[Quantiles]) -> float:
    """By how much P10 and P90 must give way to hold four of five lives of devices that those who say them did not know
    (conformalised quantile regression, Romano et al. 2019); negative where they are too wide.
    """
    known, target = targets(examples, component, horizon)
    known &= np.isfinite(examples.remaining[:, component])
    missed = np.full(len(target), np.nan)
    for fold in range(FOLDS):
        mine = known & (fold_of[examples.device] == fold)
        if mine.any():
            low, _, high = estimates(_not_knowing(members, fold), examples.rows[mine])
            missed[mine] = np.maximum(low - target[mine], target[mine] - high)
    missed = missed[np.isfinite(missed)]
    return float(np.quantile(missed, _INSIDE)) if len(missed) else 0.0
