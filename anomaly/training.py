"""Learns models from a history with known failures, by the features that judge live.

Devices are the unit: what is said of a device while thresholds are set comes from a model that was learnt on others.
"""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression

from anomaly.detector import fresh
from anomaly.features import Features, Matrix, Vocabulary
from anomaly.model import ComponentModel, Model, Remaining, hash_of, log_odds
from core.errors import InvalidInput
from core.profile import Profile
from telemetry.window import Bools, Floats, Ints, Window

FOLDS = 3
_MOST_ROWS = 300_000
"""Ticks of devices to learn from; of longer histories the healthy ticks are drawn."""
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
_MOST_MISSING = 0.5
"""A feature that is not known for more than this share of the ticks before failures is not learnt from."""
_INSIDE = 0.8
"""Share of true lives that P10 to P90 is to hold."""


class _Kind(NamedTuple):
    """How a chance is learnt: within how many ticks a failure counts, and how large the model is (`_SIZES`)."""

    reach: float
    size: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Failures of D devices: device, component: [N] positions. time: [N] microseconds since the epoch."""

    device: Ints
    component: Ints
    time: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """N ticks of devices to learn from, at the end of each tick.

    rows: [N, F] features. device: [N] positions. times: [N] microseconds since the epoch. weight: [N] how many ticks each stands for. remaining: [N, C] ticks to the
    next failure of each component, inf where none is known. followed: [N] ticks for which the device was still watched.
    """

    rows: Matrix
    device: Ints
    times: Ints
    weight: Floats
    remaining: Floats
    followed: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Learnt:
    """A model, and for each device that it was learnt from one that did not know the device: fold_of: [D], -1 for others."""

    model: Model
    folds: tuple[Model, ...]
    fold_of: Ints


def collect(
    profile: Profile,
    features: Features,
    windows: Iterable[Window],
    failed: Known,
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
    due: dict[int, list[tuple[int, Ints]]] = {}
    for device in np.nonzero(failing)[0].tolist():
        own = failed.device == device
        due[device] = [(c, np.sort(failed.time[own & (failed.component == c)])) for c in range(len(profile.components))]
    found: list[Examples] = []
    for window in windows:
        for step in window.ticks():
            end = step.time + tick
            if until is not None and end > until:
                break
            features.follow(step, state)
            at = np.nonzero(step.heard & devices)[0]
            remaining = np.full((len(at), len(profile.components)), np.inf)
            for row in np.nonzero(failing[at])[0].tolist():
                for component, times in due[int(at[row])]:
                    following = np.searchsorted(times, end)
                    if following < len(times):
                        remaining[row, component] = (times[following] - end) / tick
            near: Bools = np.asarray((remaining <= horizon).any(axis=1))
            kept = near | (chosen.random(len(at)) < share)
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
    return Examples(**{f: np.concatenate([getattr(e, f) for e in found]) for f in Examples.__dataclass_fields__})


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
    examples = _known_enough(examples, horizon)
    names = list(profile.components)
    fold_of = _folds(examples, horizon, devices)
    lives = [_lives(examples, at, tick) for at in range(len(names))]
    known = [at for at in range(len(names)) if lives[at] >= FEWEST and _everywhere(examples, at, horizon, fold_of)]
    if not known:
        return None
    run = Parallel(n_jobs=jobs)
    by: dict[tuple[int, _Kind, int], HistGradientBoostingClassifier] = {}

    def best(kinds: Mapping[int, Sequence[_Kind]]) -> dict[int, _Kind]:
        """Of the kinds of each component the one that tells failures best on devices that it did not know."""
        todo = [
            (at, kind, fold)
            for at in kinds
            for kind in kinds[at]
            for fold in range(FOLDS)
            if (at, kind, fold) not in by
        ]
        fits = run(delayed(_chance)(examples, at, fold_of != fold, kind, seed) for at, kind, fold in todo)
        by.update(zip(todo, fits, strict=True))

        def worth(at: int, kind: _Kind) -> float:
            return _foreseen(examples, at, _unknown(examples, fold_of, by, at, kind), horizon, lead, tick)

        return {at: max(kinds[at], key=partial(worth, at)) for at in kinds}

    reaches = [max(horizon * share, 1.0) for share in _REACHES]
    size = {at: "few" if lives[at] < _FEW else "cautious" for at in known}
    kind_of = best({at: [_Kind(reach, size[at]) for reach in reaches] for at in known})
    # Where many failures are known a closer look may pay: tried at the reach that was found, which is cheaper than at each.
    closer = {at: [kind_of[at], _Kind(kind_of[at].reach, "close")] for at in known if size[at] != "few"}
    kind_of |= best(closer)
    finals = run(delayed(_chance)(examples, at, fold_of >= 0, kind_of[at], seed) for at in known)
    enough = [at for at in known if lives[at] >= _FEWEST_LIVES]
    lasting = [(at, fold) for at in enough for fold in range(-1, FOLDS)]
    rests = run(delayed(_rest)(examples, at, fold_of != fold, horizon, seed) for at, fold in lasting)
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
        card[names[at]] = {"failures": lives[at], "reach_ticks": kind.reach, "size": kind.size}
    healthy = examples.rows[(examples.remaining > horizon).all(axis=1)]
    with warnings.catch_warnings():
        # A feature that is never known has no usual value, and needs none.
        warnings.filterwarnings("ignore", "All-NaN slice encountered", RuntimeWarning)
        usual = np.nanquantile(healthy, (0.05, 0.5, 0.95), axis=0).astype(np.float32)
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


def _everywhere(examples: Examples, component: int, horizon: float, fold_of: Ints) -> bool:
    """Whether failures of the component are left, whichever fold is set apart."""
    near = examples.remaining[:, component] <= horizon
    return all((near & (fold_of[examples.device] != fold)).any() for fold in range(FOLDS))


def _known_enough(examples: Examples, horizon: float) -> Examples:
    """The same without features that are hardly ever known before a failure: whether they are known at all would then be
    taken for a sign, though it only says how the history was recorded.
    """
    near = (examples.remaining <= horizon).any(axis=1)
    missing = np.isnan(examples.rows[near]).mean(axis=0) if near.any() else np.zeros(examples.rows.shape[1])
    return replace(examples, rows=np.where(missing > _MOST_MISSING, np.float32(0), examples.rows))


def _folds(examples: Examples, horizon: float, devices: int) -> Ints:
    """[D] the fold of each device, so that devices with failures are dealt out evenly; -1 where there is no example."""
    near = np.bincount(examples.device, (examples.remaining <= horizon).any(axis=1), minlength=devices)
    there = np.bincount(examples.device, minlength=devices) > 0
    order = np.lexsort((np.arange(devices), -near))
    order = order[there[order]]
    fold = np.full(devices, -1, dtype=np.int64)
    fold[order] = np.arange(len(order)) % FOLDS
    return fold


def _lives(examples: Examples, component: int, tick: int) -> int:
    """How many different failures of a component the examples lead up to."""
    remaining = examples.remaining[:, component]
    return len(np.unique(_failures(examples, remaining, np.isfinite(remaining), tick), axis=1).T)


def _failures(examples: Examples, remaining: Floats, some: Bools, tick: int) -> Ints:
    """[2, N] the device and the tick of the failure that some of the examples lead up to."""
    ends = np.rint(examples.times[some] / tick + remaining[some]).astype(np.int64)
    return np.stack([examples.device[some], ends])


Quantiles = tuple[HistGradientBoostingRegressor, HistGradientBoostingRegressor, HistGradientBoostingRegressor]


def _chance(
    examples: Examples, component: int, devices: Bools, kind: _Kind, seed: int
) -> HistGradientBoostingClassifier:
    """A classifier of the ticks that are within reach of a failure, learnt from some of the devices."""
    member = devices[examples.device]
    near = examples.remaining[:, component] <= kind.reach
    # Without weights, which boosting takes several times as long with: calibration brings the drawing of examples back in.
    together = {"min_samples_leaf": max(20, round(_TOGETHER * kind.reach))}
    return HistGradientBoostingClassifier(
        learning_rate=0.1,
        l2_regularization=2.0,
        early_stopping=False,
        random_state=seed,
        **{**together, **_SIZES[kind.size]},
    ).fit(_told(examples.rows[member]), near[member])


def _rest(examples: Examples, component: int, devices: Bools, horizon: float, seed: int) -> Quantiles:
    """Models of the 10 % quantile, the middle and the 90 % quantile of the time to failure, learnt from some devices."""
    known, target = _targets(examples, component, horizon)
    at = np.nonzero(devices[examples.device] & known)[0]
    # Far from any failure there is little to learn about the time to it: as many such ticks as near ones are enough.
    far = at[target[at] >= horizon]
    drawn = np.random.default_rng(seed).permutation(len(far))[len(at) - len(far) :]
    at = np.setdiff1d(at, far[drawn])
    rows, ticks = _told(examples.rows[at]), target[at]
    kind = partial(HistGradientBoostingRegressor, early_stopping=False, random_state=seed, **_REST)
    low = kind(loss="quantile", quantile=0.1).fit(rows, ticks)
    # The mean stands for the median: boosting finds it far better, since the median's gradient is a sign alone.
    middle = kind(loss="squared_error").fit(rows, ticks)
    high = kind(loss="quantile", quantile=0.9).fit(rows, ticks)
    return low, middle, high


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


def _foreseen(examples: Examples, component: int, odds: Floats, horizon: float, lead: float, tick: int) -> float:
    """How well these log odds tell failures, in time, from healthy time; higher is better: for each failure, how rare it is
    that healthy time looks as bad, as a logarithm. Quick, and only to choose a reach by: the backtest judges episodes.
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
    if not len(best) or not len(most):
        return -np.inf
    worse = len(most) - np.searchsorted(np.sort(most), best)
    return -float(np.log1p(worse).mean())


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
