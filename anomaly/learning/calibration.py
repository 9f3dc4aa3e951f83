"""Brings what fits say to chances and spans of time that hold, by what they said of devices that they did not know."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from sklearn.linear_model import LogisticRegression

from anomaly.learning.designs import FOLDS, Design, not_knowing
from anomaly.learning.examples import Examples
from anomaly.learning.fits import targets
from anomaly.learning.forest import Forest
from anomaly.learning.logistic import Logistic
from anomaly.learning.model import Quantiles, estimates, together
from telemetry.window import Floats, Ints

_INSIDE = 0.8
"""Share of true lives that P10 to P90 is to hold."""


class Calibration(NamedTuple):
    """What log odds of trees and of a regression count for, and what is added, so that together they are right."""

    slope: float
    weight: float
    intercept: float


def unknown(examples: Examples, fold_of: Ints, members: Sequence[tuple[Design, Forest | Logistic]]) -> Floats:
    """[N] the log odds of each example by the members that did not know its device."""
    odds = np.full(len(examples.device), np.nan)
    for fold in range(FOLDS):
        mine = fold_of[examples.device] == fold
        if mine.any():
            odds[mine] = together(not_knowing(members, fold), examples.rows[mine])
    return odds


def calibrated(
    examples: Examples, component: int, horizon: float, trees: Floats, regression: Floats | None = None
) -> Calibration:
    """By the log odds of trees, and of a regression beside them, [N] each, of devices that they did not know (Platt 1999; with both
    it is stacking). A regression that tells nothing more counts 0.
    """
    near = examples.remaining[:, component] <= horizon
    odds = [trees] if regression is None else [trees, regression]
    fit = LogisticRegression(C=1e3).fit(np.stack(odds, axis=1), near, sample_weight=examples.weight)
    # What is worse than nothing on devices it did not know must not be turned round.
    slope, *weight = np.maximum(fit.coef_[0], 0.0).tolist()
    if regression is not None and not (slope and weight[0]):
        return calibrated(examples, component, horizon, trees)
    return Calibration(slope=max(slope, 1e-3), weight=sum(weight), intercept=float(fit.intercept_[0]))


def margin(
    examples: Examples, component: int, horizon: float, fold_of: Ints, members: Sequence[tuple[Design, Quantiles]]
) -> float:
    """By how much P10 and P90 must give way to hold four of five lives of devices that those who say them did not know
    (conformalised quantile regression, Romano et al. 2019); negative where they are too wide.
    """
    known, target = targets(examples, component, horizon)
    known &= np.isfinite(examples.remaining[:, component])
    missed = np.full(len(target), np.nan)
    for fold in range(FOLDS):
        mine = known & (fold_of[examples.device] == fold)
        if mine.any():
            low, _, high = estimates(not_knowing(members, fold), examples.rows[mine])
            missed[mine] = np.maximum(low - target[mine], target[mine] - high)
    missed = missed[np.isfinite(missed)]
    return float(np.quantile(missed, _INSIDE)) if len(missed) else 0.0
