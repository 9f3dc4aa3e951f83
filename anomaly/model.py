"""A model that was learnt from known failures: for each component the chance that it fails within the horizon, and how long
it still has. What `anomaly.training` makes, what the detector `failure_model` judges by, and what is stored.

It is stored by skops, which rebuilds only the classes named here, and never runs what it reads.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import skops.io
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from skops.io.exceptions import UntrustedTypesFoundException
from threadpoolctl import ThreadpoolController

from anomaly import features
from anomaly.features import Matrix, Vocabulary
from core.errors import InvalidInput
from core.profile import Profile
from telemetry.window import Floats

_TRUSTED = [
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.utils.validation.check_array",
    "functools.partial",
]
"""What is inside scikit-learn's boosting that skops does not know by itself: its trees, and that with attributes that are
texts it looks its input through by a partial of `check_array`. skops holds what a partial calls to this list too.
"""
_THREADS = ThreadpoolController()
"""A model answers in one thread: several wait for each other at each of its trees, five times longer on a busy machine."""
_LEAST = 1e-6
"""A chance is never taken to be nearer to 0 or 1 than this."""
_ROOT = 0.25
"""Of the odds: scores then grow in even steps from unlikely to certain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remaining:
    """How long a component still has: models of the 10 % quantile, the middle and the 90 % quantile of the time to failure
    in ticks, capped at the horizon, and by how many ticks P10 and P90 have to give way so that four of five lives lie between them.
    """

    p10: HistGradientBoostingRegressor
    p50: HistGradientBoostingRegressor
    p90: HistGradientBoostingRegressor
    margin: float

    def predict(self, rows: Matrix, cap: float) -> Floats:
        """[N, 3] P10, P50 and P90 of the ticks to failure; a P90 of `cap` means that or more."""
        with _THREADS.limit(limits=1, user_api="openmp"):
            middle = self.p50.predict(rows)
            low = np.minimum(self.p10.predict(rows) - self.margin, middle)
            high = np.maximum(self.p90.predict(rows) + self.margin, middle)
        found: Floats = np.clip(np.stack([low, middle, high], axis=1), 0.0, cap)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentModel:
    """The model of one component. reach: the ticks within which it answers for a failure. slope, intercept: the calibration
    of its log odds. limit: the chance from which on it is an alarm. remaining: None where too few lives are known.
    """

    classifier: HistGradientBoostingClassifier
    reach: float
    slope: float
    intercept: float
    limit: float
    remaining: Remaining | None

    def chance(self, rows: Matrix) -> Floats:
        """[N] the calibrated chance of a failure within reach."""
        with _THREADS.limit(limits=1, user_api="openmp"):
            raw = log_odds(self.classifier.predict_proba(rows)[:, 1])
        chance: Floats = 1.0 / (1.0 + np.exp(-(self.slope * raw + self.intercept)))
        return chance

    def score(self, rows: Matrix) -> Floats:
        """[N] 1 where the chance is the limit: the fourth root of the odds against those of the limit."""
        return score_of(self.chance(rows), self.limit)


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """The models of one profile's components, and what they were learnt from.

    profile_hash: of the parts of the profile that its features rest on; a model is used with no other. horizon: ticks.
    usual: [3, F] the 5 %, 50 % and 95 % quantile of each feature in healthy time. factor: the threshold of the detectors
    that need no labels, against the profile's own; set from healthy history and the profile's budget. card: what a person wants to know
    before it judges anything: data span, failures, figures.
    """

    version: str
    profile: str
    profile_hash: str
    horizon: float
    vocabulary: Vocabulary
    usual: Matrix
    components: Mapping[str, ComponentModel]
    card: Mapping[str, Any]
    factor: float = 1.0

    def limited(self, factor: float) -> Self:
        """The same with limits at which scores are 1/factor of what they were."""
        components = {name: replace(own, limit=limit_at(own.limit, factor)) for name, own in self.components.items()}
        return replace(self, components=components)


def log_odds(chance: Floats) -> Floats:
    """ln(p / (1 - p)), kept finite."""
    p = np.clip(chance, _LEAST, 1.0 - _LEAST)
    result: Floats = np.log(p / (1.0 - p))
    return result


def score_of(chance: Floats, limit: float) -> Floats:
    """The score of a chance: 1 at the limit."""
    score: Floats = np.exp(_ROOT * (log_odds(chance) - log_odds(np.array([limit]))[0]))
    return score


def limit_at(limit: float, factor: float) -> float:
    """The chance whose score is `factor` where the limit's is 1."""
    odds = log_odds(np.array([limit]))[0] + np.log(factor) / _ROOT
    return float(1.0 / (1.0 + np.exp(-odds)))


def hash_of(profile: Profile) -> str:
    """Of what the features of a profile rest on: signals, units, components, tick and horizon, and how they are drawn."""
    told = {
        "features": features.VERSION,
        "signals": {n: [s.unit, s.component] for n, s in profile.signals.items()},
        "components": list(profile.components),
        "tick": profile.tick.total_seconds(),
        "horizon": profile.horizon.total_seconds(),
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


def dumps(model: Model) -> bytes:
    """The model as bytes."""
    told = {
        "version": model.version,
        "profile": model.profile,
        "profile_hash": model.profile_hash,
        "horizon": model.horizon,
        "codes": list(model.vocabulary.codes),
        "attributes": {name: list(texts) for name, texts in model.vocabulary.attributes.items()},
        "usual": model.usual,
        "factor": model.factor,
        "card": dict(model.card),
        "components": {
            name: {
                "classifier": own.classifier,
                "calibration": [own.reach, own.slope, own.intercept, own.limit],
                "remaining": None
                if own.remaining is None
                else [own.remaining.p10, own.remaining.p50, own.remaining.p90, own.remaining.margin],
            }
            for name, own in model.components.items()
        },
    }
    packed: bytes = skops.io.dumps(told)
    return packed


def loads(packed: bytes, sha256: str) -> Model:
    """The model that `dumps` packed. Raises InvalidInput when the bytes are not those whose hash was stored, or hold
    anything that no model is made of.
    """
    if hashlib.sha256(packed).hexdigest() != sha256:
        raise InvalidInput("a stored model is not what was stored: its hash differs; train it again")
    try:
        told = skops.io.loads(packed, trusted=_TRUSTED)
    except UntrustedTypesFoundException as error:
        raise InvalidInput(f"a stored model holds what no model is made of, and was not loaded: {error}") from error
    components = {}
    for name, own in told["components"].items():
        reach, slope, intercept, limit = own["calibration"]
        rest = own["remaining"]
        components[name] = ComponentModel(
            classifier=own["classifier"],
            reach=reach,
            slope=slope,
            intercept=intercept,
            limit=limit,
            remaining=None if rest is None else Remaining(p10=rest[0], p50=rest[1], p90=rest[2], margin=rest[3]),
        )
    vocabulary = Vocabulary(
        codes=tuple(told["codes"]), attributes={name: tuple(texts) for name, texts in told["attributes"].items()}
    )
    return Model(
        version=told["version"],
        profile=told["profile"],
        profile_hash=told["profile_hash"],
        horizon=told["horizon"],
        vocabulary=vocabulary,
        usual=told["usual"],
        components=components,
        card=told["card"],
        factor=told["factor"],
    )
