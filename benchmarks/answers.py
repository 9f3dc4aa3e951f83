"""How fast a model answers, beside scikit-learn, which learnt it, on the same rows in the same run."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

from anomaly.learning.features import Matrix
from anomaly.learning.forest import Forest

ROWS = (1, 100, 10_000)
"""How many devices are asked about at once."""
_FEATURES = 60


def ratios(seconds: float) -> dict[str, float]:
    """How many times as fast as scikit-learn a fit of a usual size answers, by rows at once; `seconds` for each of them."""
    random = np.random.default_rng(5)
    rows = random.standard_normal((10_000, _FEATURES), dtype=np.float32)
    fails = rows[:, 0] + rows[:, 1] * rows[:, 2] > 1
    fit: Any = HistGradientBoostingClassifier(max_leaf_nodes=8, max_iter=160, random_state=0).fit(rows, fails)
    forest = Forest.of(fit, rows, np.zeros(_FEATURES, dtype=bool))
    found = {}
    for many in ROWS:
        asked = rows[:many]
        ours = theirs = 0.0
        while ours + theirs < seconds:
            # By turns, so that a machine that slows down does so for both.
            ours += _took(forest.ask, asked)
            theirs += _took(fit.decision_function, asked)
        found[str(many)] = round(theirs / ours, 1)
    return found


def _took(ask: Callable[[Matrix], Any], rows: Matrix) -> float:
    began = time.perf_counter()
    ask(rows)
    return time.perf_counter() - began
