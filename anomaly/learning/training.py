"""Learns models from a history with known failures, by the features that judge live.

Devices are the unit: what is said of a device while thresholds are set comes from a model that was learnt on others.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
from joblib import Parallel, delayed

from anomaly.learning.calibration import calibrated, margin, unknown
from anomaly.learning.conditions import Conditions
from anomaly.learning.designs import FOLDS, Design, Members, dealt, designs, everywhere, farthest, not_knowing, shown
from anomaly.learning.examples import Examples, foreseen, known_enough, lives
from anomaly.learning.features import Features, Matrix, Vocabulary
from anomaly.learning.fits import LARGE, SMALL, beside, chance, rest
from anomaly.learning.forest import Forest
from anomaly.learning.logistic import Logistic, Scale
from anomaly.learning.model import ComponentModel, Model, Quantiles, Remaining, hash_of
from core.profile import Profile
from telemetry.window import Bools, Floats, Ints

FEWEST = 5
"""Failures of a component, on different devices or not, from which on a model of it is worth its name."""
_FEWEST_LIVES = 20
"""Failures from which on the remaining time is learnt too."""
_MANY = 50
"""Failures from which on a model may be larger."""
_WORTH = 0.05
"""A regression speaks beside the trees where that makes healthy time that looks as bad as a failure rarer by a twentieth."""


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
    """Fits a model of each component with enough failures; None where none has, or where too little time was healthy.

    lead: ticks before a failure at which it must be told at the latest. jobs: fits at the same time, by joblib.
    """
    horizon = profile.horizon / profile.tick
    tick = profile.tick // timedelta(microseconds=1)
    examples = known_enough(examples, horizon)
    texts = Features(profile, vocabulary).categories
    names = list(profile.components)
    fold_of = dealt(examples, horizon, devices)
    lives_of = [lives(examples, at, tick) for at in range(len(names))]
    known = [
        at
        for at in range(len(names))
        if lives_of[at] >= FEWEST and everywhere(examples, examples.remaining[:, at] <= horizon, fold_of)
    ]
    healthy: Bools = np.asarray((examples.remaining > horizon).all(axis=1))
    if not known or not everywhere(examples, healthy, fold_of):
        return None
    asked = {at: designs(examples, at, fold_of, horizon, lead) for at in known}
    far = farthest(horizon)
    enough = [at for at in known if lives_of[at] >= _FEWEST_LIVES]

    # Members of the same design are shown the same, whichever component they are of.
    told = {own: shown(examples, own, healthy, fold_of, seed) for own in {own for at in known for own in asked[at]}}
    usual = _usual(examples.rows[healthy], texts)
    scale = Scale.of(examples.rows[healthy], usual, texts)

    def worth(at: int, odds: Floats) -> Floats:
        return foreseen(examples, at, odds, horizon, lead, tick)

    # One pool for all of it: the examples are handed to the workers once.
    with Parallel(n_jobs=jobs) as run:

        def fitted(asked: Mapping[int, Sequence[Design]], fit: Callable[[int, Design], Any]) -> dict[int, Members[Any]]:
            found = iter(run(fit(at, own) for at in asked for own in asked[at]))
            return {at: tuple((own, next(found)) for own in asked[at]) for at in asked}

        def trees(asked: Mapping[int, Sequence[Design]], size: Mapping[str, Any]) -> dict[int, Members[Forest]]:
            return fitted(asked, lambda at, own: delayed(chance)(examples, at, told[own], own.reach, size, texts, seed))

        def worth_of(at: int, members: Members[Forest]) -> Floats:
            return worth(at, unknown(examples, fold_of, [member for member in members if member[0] in far]))

        members = trees(asked, SMALL)
        # Where many failures are known they may be larger.
        tried = trees({at: far for at in known if lives_of[at] >= _MANY}, LARGE)
        large = [at for at, own in tried.items() if _better(worth_of(at, own), worth_of(at, members[at]))]
        others = trees({at: [own for own in asked[at] if own not in far] for at in large}, LARGE)
        members |= {at: tried[at] + others[at] for at in large}
        regressions: dict[int, Members[Logistic]] = fitted(
            dict.fromkeys(known, far), lambda at, own: delayed(beside)(examples, at, told[own], own.reach, scale)
        )
        rests: dict[int, Members[Quantiles]] = fitted(
            dict.fromkeys(enough, far),
            lambda at, own: delayed(rest)(examples, at, ~own.knows_not(fold_of), own.reach, texts, seed),
        )
    parts: list[dict[str, ComponentModel]] = [{} for _ in range(FOLDS + 1)]
    card: dict[str, Any] = {}
    for at in known:
        by_trees, by_regression = (unknown(examples, fold_of, own) for own in (members[at], regressions[at]))
        found = calibrated(examples, at, horizon, by_trees, by_regression)
        both = found.slope * by_trees + found.weight * by_regression
        if found.weight and np.mean(worth(at, both) - worth(at, by_trees)) < _WORTH:
            found = calibrated(examples, at, horizon, by_trees)
        wider = margin(examples, at, horizon, fold_of, rests[at]) if at in rests else 0.0
        # All of them judge new devices, and those that did not know a device judge that.
        for part, fold in zip(parts, (None, *range(FOLDS)), strict=True):
            part[names[at]] = ComponentModel(
                members=not_knowing(members[at], fold),
                slope=found.slope,
                beside=Logistic.mean(not_knowing(regressions[at], fold), found.weight) if found.weight else None,
                intercept=found.intercept,
                limit=0.5,
                remaining=Remaining(members=not_knowing(rests[at], fold), margin=wider) if at in rests else None,
            )
        card[names[at]] = {
            "failures": lives_of[at],
            "large": at in large,
            "regression": found.weight > 0,
            "remaining": at in rests,
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


def _better(worth: Floats, than: Floats) -> bool:
    """Whether what is worth so much at each failure gains more than one standard error: less is most often chance."""
    gained = worth - than
    return bool(len(gained) and gained.mean() > gained.std() / np.sqrt(len(gained)))
