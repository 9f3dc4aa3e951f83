"""Learns models from a history with known failures, by the features that judge live.

Devices are the unit: what is said of a device while thresholds are set comes from a model that was learnt on others.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression

from anomaly.examples import Examples, foreseen, known_enough, lives
from anomaly.features import Features, Matrix, Vocabulary
from anomaly.model import ComponentModel, Model, Remaining, hash_of, log_odds
from core.profile import Profile
from telemetry.window import Bools, Floats, Ints

FOLDS = 3
FEWEST = 5
"""Failures of a component, on different devices or not, from which on a model of it is worth its name."""
_FEWEST_LIVES = 20
"""Failures from which on the remaining time is learnt too."""
_FEW = 50
"""Fewer failures than these are learnt from with smaller models."""
_SIZES: Mapping[str, Mapping[str, Any]] = {
    "few": {"max_leaf_nodes": 4, "max_iter": 30},
    "cautious": {"max_leaf_nodes": 6, "max_iter": 60},
    "close": {"max_leaf_nodes": 8, "max_iter": 80, "min_samples_leaf": 40},
}
"""How much a model may take note of."""
_TOGETHER = 8
"""Ticks before one failure are no examples of their own: a leaf holds as many as lead up to so many failures."""
_REST: dict[str, Any] = {
    "learning_rate": 0.1,
    "max_leaf_nodes": 8,
    "max_iter": 80,
    "min_samples_leaf": 40,
    "l2_regularization": 2.0,
}
_REACHES = (1.0, 1 / 2, 1 / 4, 1 / 8)
"""How early signs show differs: a model answers for failures within the share of the horizon that foresees most."""
_INSIDE = 0.8
"""Share of true lives that P10 to P90 is to hold."""


class _Kind(NamedTuple):
    """How a chance is learnt: within how many ticks a failure counts, and how large the model is (`_SIZES`)."""

    reach: float
    size: str


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
    by: dict[tuple[int, _Kind, int], HistGradientBoostingClassifier] = {}

    def worth(run: Parallel, kinds: Mapping[int, Sequence[_Kind]]) -> dict[int, dict[_Kind, Floats]]:
        """How well each kind of each component tells each failure on devices that it did not know."""
        todo = [
            (at, kind, fold)
            for at in kinds
            for kind in kinds[at]
            for fold in range(FOLDS)
            if (at, kind, fold) not in by
        ]
        fits = run(delayed(_chance)(examples, at, fold_of != fold, kind, texts, seed) for at, kind, fold in todo)
        by.update(zip(todo, fits, strict=True))
        return {
            at: {
                k: foreseen(examples, at, _unknown(examples, fold_of, by, at, k), horizon, lead, tick)
                for k in kinds[at]
            }
            for at in kinds
        }

    # What tells only failures that are nearer than the lead would tell them too late.
    reaches = [max(horizon * share, 1.0) for share in _REACHES if share == 1.0 or horizon * share > lead]
    enough = [at for at in known if lives_of[at] >= _FEWEST_LIVES]
    lasting = [(at, fold) for at in enough for fold in range(-1, FOLDS)]
    # One pool for all of it: the examples are handed to the workers once.
    with Parallel(n_jobs=jobs) as run:
        told = worth(run, {at: [_Kind(reach, "few") for reach in reaches] for at in known})
        kind_of = {at: _best(kinds) for at, kinds in told.items()}
        # Where many failures are known the size is chosen too: at the reach that was found, which is cheaper than at each.
        many = [at for at in known if lives_of[at] >= _FEW]
        sized = worth(run, {at: [kind_of[at]._replace(size=size) for size in _SIZES] for at in many})
        kind_of |= {at: _no_worse(kinds) for at, kinds in sized.items()}
        finals = run(delayed(_chance)(examples, at, fold_of >= 0, kind_of[at], texts, seed) for at in known)
        rests = run(delayed(_rest)(examples, at, fold_of != fold, horizon, texts, seed) for at, fold in lasting)
    rest = dict(zip(lasting, rests, strict=True))
    parts: list[dict[str, ComponentModel]] = [{} for _ in range(FOLDS + 1)]
    card: dict[str, Any] = {}
    for at, final in zip(known, finals, strict=True):
        kind = kind_of[at]
        slope, intercept = _calibrated(examples, at, kind.reach, _unknown(examples, fold_of, by, at, kind))
        margin = _margin(examples, at, horizon, fold_of, rest) if at in enough else 0.0
        for fold, classifier in enumerate([final, *(by[at, kind, fold] for fold in range(FOLDS))]):
            own = rest.get((at, fold - 1))
            parts[fold][names[at]] = ComponentModel(
                classifier=classifier,
                reach=kind.reach,
                slope=slope,
                intercept=intercept,
                limit=0.5,
                remaining=Remaining(p10=own[0], p50=own[1], p90=own[2], margin=margin) if own else None,
            )
        card[names[at]] = {"failures": lives_of[at], "reach_ticks": kind.reach, "size": kind.size}
    healthy = examples.rows[(examples.remaining > horizon).all(axis=1)]
    with warnings.catch_warnings():
        # A feature that is never known has no usual value, and needs none.
        warnings.filterwarnings("ignore", "All-NaN slice encountered", RuntimeWarning)
        usual = np.nanquantile(healthy, (0.05, 0.5, 0.95), axis=0).astype(np.float32)
    for text in np.nonzero(texts)[0].tolist():
        places, ticks = np.unique(healthy[np.isfinite(healthy[:, text]), text], return_counts=True)
        usual[:, text] = places[np.argmax(ticks)] if len(places) else np.nan
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
        )
        for part in parts
    ]
    return Learnt(model=models[0], folds=tuple(models[1:]), fold_of=fold_of)


def _best(kinds: Mapping[_Kind, Floats]) -> _Kind:
    """The kind that tells failures best. kinds: what each is worth at each failure."""
    return max(kinds, key=lambda kind: float(kinds[kind].mean()) if len(kinds[kind]) else -np.inf)


def _no_worse(kinds: Mapping[_Kind, Floats]) -> _Kind:
    """The first kind, from small to large, that is worse than the best by no more than one standard error: what a larger
    model seems to gain beyond is most often chance. kinds: as above.
    """
    best = kinds[_best(kinds)]
    if not len(best):
        return next(iter(kinds))
    lost = {kind: best - worth for kind, worth in kinds.items()}
    return next(kind for kind, each in lost.items() if each.mean() <= each.std() / np.sqrt(len(each)))


def _everywhere(examples: Examples, component: int, horizon: float, fold_of: Ints) -> bool:
    """Whether failures of the component are left, whichever fold is set apart."""
    near = examples.remaining[:, component] <= horizon
    return all((near & (fold_of[examples.device] != fold)).any() for fold in range(FOLDS))


def _folds(examples: Examples, horizon: float, devices: int) -> Ints:
    """[D] the fold of each device, so that devices with failures are dealt out evenly; -1 where there is no example."""
    near = np.bincount(examples.device, (examples.remaining <= horizon).any(axis=1), minlength=devices)
    there = np.bincount(examples.device, minlength=devices) > 0
    order = np.lexsort((np.arange(devices), -near))
    order = order[there[order]]
    fold = np.full(devices, -1, dtype=np.int64)
    fold[order] = np.arange(len(order)) % FOLDS
    return fold


Quantiles = tuple[HistGradientBoostingRegressor, HistGradientBoostingRegressor, HistGradientBoostingRegressor]


def _chance(
    examples: Examples, component: int, devices: Bools, kind: _Kind, texts: Bools, seed: int
) -> HistGradientBoostingClassifier:
    """A classifier of the ticks that are within reach of a failure, learnt from some of the devices."""
    member = devices[examples.device]
    near = examples.remaining[:, component] <= kind.reach
    # Without weights, which boosting takes several times as long with: calibration brings the drawing of examples back in.
    together = {"min_samples_leaf": max(20, round(_TOGETHER * kind.reach))}
    return HistGradientBoostingClassifier(
        categorical_features=_categories(texts),
        learning_rate=0.1,
        l2_regularization=2.0,
        early_stopping=False,
        random_state=seed,
        **{**together, **_SIZES[kind.size]},
    ).fit(_told(examples.rows[member]), near[member])


def _rest(examples: Examples, component: int, devices: Bools, horizon: float, texts: Bools, seed: int) -> Quantiles:
    """Models of the 10 % quantile, the middle and the 90 % quantile of the time to failure, learnt from some devices."""
    known, target = _targets(examples, component, horizon)
    at = np.nonzero(devices[examples.device] & known)[0]
    # Far from any failure there is little to learn about the time to it: as many such ticks as near ones are enough.
    far = at[target[at] >= horizon]
    drawn = np.random.default_rng(seed).permutation(len(far))[len(at) - len(far) :]
    at = np.setdiff1d(at, far[drawn])
    rows, ticks = _told(examples.rows[at]), target[at]
    kind = partial(
        HistGradientBoostingRegressor,
        categorical_features=_categories(texts),
        early_stopping=False,
        random_state=seed,
        **_REST,
    )
    low = kind(loss="quantile", quantile=0.1).fit(rows, ticks)
    # The mean stands for the median: boosting finds it far better, since the median's gradient is a sign alone.
    middle = kind(loss="squared_error").fit(rows, ticks)
    high = kind(loss="quantile", quantile=0.9).fit(rows, ticks)
    return low, middle, high


def _categories(texts: Bools) -> Bools | None:
    """For boosting: which numbers have no order. None where all have one, since it is slower with a mask of nothing."""
    return texts if texts.any() else None


def _told(rows: Matrix) -> Matrix:
    """The same with a column that is never known as a constant, since boosting refuses to learn from nothing."""
    return np.where(np.isnan(rows).all(axis=0), np.float32(0), rows)


def _targets(examples: Examples, component: int, horizon: float) -> tuple[Bools, Floats]:
    """Which examples' remaining time is known as far as the horizon, and it, at most the horizon."""
    remaining = examples.remaining[:, component]
    known = np.isfinite(remaining) | (examples.followed >= horizon)
    return known, np.minimum(remaining, horizon)


def _unknown(
    examples: Examples,
    fold_of: Ints,
    by: Mapping[tuple[int, _Kind, int], HistGradientBoostingClassifier],
    component: int,
    kind: _Kind,
) -> Floats:
    """[N] the log odds of each example by the model that did not know its device."""
    odds = np.full(len(examples.device), np.nan)
    for fold in range(FOLDS):
        mine = fold_of[examples.device] == fold
        if mine.any():
            odds[mine] = log_odds(by[component, kind, fold].predict_proba(examples.rows[mine])[:, 1])
    return odds


def _calibrated(examples: Examples, component: int, reach: float, odds: Floats) -> tuple[float, float]:
    """Slope and intercept that make the log odds of models that did not know the device right (Platt)."""
    near = examples.remaining[:, component] <= reach
    fit = LogisticRegression(C=1e3).fit(odds[:, None], near, sample_weight=examples.weight)
    # A model that is worse than nothing on devices it did not know must not be turned round.
    return max(float(fit.coef_[0, 0]), 1e-3), float(fit.intercept_[0])


def _margin(
    examples: Examples, component: int, horizon: float, fold_of: Ints, rests: Mapping[tuple[int, int], Quantiles]
) -> float:
    """By how much P10 and P90 must give way to hold four of five lives of devices that a model did not know (conformalised
    quantile regression, Romano et al. 2019); negative where they are too wide.
    """
    known, target = _targets(examples, component, horizon)
    known &= np.isfinite(examples.remaining[:, component])
    missed = np.full(len(target), np.nan)
    for fold in range(FOLDS):
        mine = known & (fold_of[examples.device] == fold)
        if mine.any():
            low, _, high = rests[component, fold]
            rows = examples.rows[mine]
            missed[mine] = np.maximum(low.predict(rows) - target[mine], target[mine] - high.predict(rows))
    missed = missed[np.isfinite(missed)]
    return float(np.quantile(missed, _INSIDE)) if len(missed) else 0.0
