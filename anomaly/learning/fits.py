"""The single fits that a model is put together from: of one component, learnt from some of the devices, by scikit-learn."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from anomaly.learning.designs import every
from anomaly.learning.examples import Examples
from anomaly.learning.features import Matrix
from anomaly.learning.forest import Forest
from anomaly.learning.logistic import Logistic, Scale
from anomaly.learning.model import Quantiles
from telemetry.window import Bools, Floats

SMALL: Mapping[str, Any] = {"max_leaf_nodes": 4, "max_iter": 60}
LARGE: Mapping[str, Any] = {"max_leaf_nodes": 8, "max_iter": 160, "min_samples_leaf": 40}
"""How much a member may take note of."""
_TOGETHER = 8
"""Ticks before one failure are no examples of their own: a leaf holds as many as lead up to so many failures."""
_REST: dict[str, Any] = {
    "learning_rate": 0.05,
    "max_leaf_nodes": 8,
    "max_features": 0.4,
    "min_samples_leaf": 40,
    "l2_regularization": 2.0,
}
_STRENGTH = 0.1
"""How much weights of a regression may say. By the ticks before one failure, which are no examples of their own."""
_STEPS, _STEPS_OF_BAND = 400, 160
"""The middle gains by ever more steps on devices it did not know; the band gets narrower by them than lives are certain."""


def chance(
    examples: Examples, component: int, shown: Bools, reach: float, size: Mapping[str, Any], texts: Bools, seed: int
) -> Forest:
    """A classifier of the ticks that are within reach of a failure, learnt from those of the examples that it is shown, [N]."""
    near = examples.remaining[shown, component] <= reach
    together = {"min_samples_leaf": max(20, round(_TOGETHER * _before_one(examples, reach)))}
    rows = _told(examples.rows[shown])
    # Small steps over some of the features at a time. Without weights, which boosting takes several times as long with:
    # calibration brings the drawing of examples back in.
    fit = HistGradientBoostingClassifier(
        categorical_features=_categories(texts),
        learning_rate=0.05,
        max_features=0.4,
        l2_regularization=2.0,
        early_stopping=False,
        random_state=seed,
        **{**together, **size},
    ).fit(rows, near)
    return Forest.of(fit, rows, texts)


def beside(examples: Examples, component: int, shown: Bools, reach: float, scale: Scale) -> Logistic:
    """A logistic regression of the same."""
    near = examples.remaining[shown, component] <= reach
    return Logistic.learn(scale, examples.rows[shown], near, _STRENGTH / _before_one(examples, reach))


def rest(examples: Examples, component: int, devices: Bools, horizon: float, texts: Bools, seed: int) -> Quantiles:
    """Models of the 10 % quantile, the middle and the 90 % quantile of the time to failure, learnt from some devices."""
    known, target = targets(examples, component, horizon)
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
    low = kind(loss="quantile", quantile=0.1, max_iter=_STEPS_OF_BAND).fit(rows, ticks)
    # The mean stands for the median: boosting finds it far better, since the median's gradient is a sign alone.
    middle = kind(loss="squared_error", max_iter=_STEPS).fit(rows, ticks)
    high = kind(loss="quantile", quantile=0.9, max_iter=_STEPS_OF_BAND).fit(rows, ticks)
    return Quantiles(*(Forest.of(fit, rows, texts) for fit in (low, middle, high)))


def _before_one(examples: Examples, reach: float) -> float:
    """The ticks before one failure that a member is shown."""
    return reach / every(examples, reach)


def _categories(texts: Bools) -> Bools | None:
    """For boosting: which numbers have no order. None where all have one, since it is slower with a mask of nothing."""
    return texts if texts.any() else None


def _told(rows: Matrix) -> Matrix:
    """The same with a column that is never known as a constant, since boosting refuses to learn from nothing."""
    return np.where(np.isnan(rows).all(axis=0), np.float32(0), rows)


def targets(examples: Examples, component: int, horizon: float) -> tuple[Bools, Floats]:
    """Which examples' remaining time is known as far as the horizon, and it, at most the horizon."""
    remaining = examples.remaining[:, component]
    known = np.isfinite(remaining) | (examples.followed >= horizon)
    return known, np.minimum(remaining, horizon)
