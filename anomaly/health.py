"""The condition of a component as one number from 0 to 1, from what is asked about it."""

from collections.abc import Sequence

import numpy as np

from anomaly.detector import Track
from telemetry.window import Floats

_STEEP = 4
"""How steeply it falls: at half the threshold 0.94 is left, at the threshold 0.5, at twice the threshold 0.06."""


def of_scores(scores: Floats, tracks: Sequence[Track], components: Sequence[str]) -> Floats:
    """[D, C] the health of each component, from scores [D, K]; NaN where none of its tracks is known.

    The worst track counts. What a sensor's own fault scores says nothing of the part it measures, and is left out.
    """
    health = np.full((len(scores), len(components)), np.nan)
    for at, component in enumerate(components):
        own = [k for k, t in enumerate(tracks) if t.component == component and t.kind in ("degradation", "limit")]
        if own:
            health[:, at] = of_score(np.fmax.reduce(scores[:, own], axis=1))
    return health


def of_score(score: Floats) -> Floats:
    """1 where nothing deviates, 0.5 at the threshold (a score of 1), near 0 far beyond; NaN stays NaN."""
    # Beyond a hundred thresholds nothing changes, and no power overflows.
    health: Floats = 1.0 / (1.0 + np.clip(score, 0.0, 100.0) ** _STEEP)
    return health
