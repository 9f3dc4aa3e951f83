"""A model that was learnt from known failures: for each component the chance that it fails within the horizon, and how long
it still has. What `anomaly.learning.training` makes, what the detector `failure_model` judges by, and what is stored.

It is stored by skops, which rebuilds only the classes named here, and never runs what it reads.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

import numpy as np
import skops.io
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from skops.io.exceptions import UntrustedTypesFoundException
from threadpoolctl import ThreadpoolController

from anomaly.learning import features
from anomaly.learning.conditions import Conditions
from anomaly.learning.features import Matrix, Vocabulary
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
_FORMAT = 2
"""Of what is stored. A model that was stored in another is not used."""


class Quantiles(NamedTuple):
    """What estimates the 10 % quantile, the middle and the 90 % quantile of the time to failure in ticks."""

    p10: HistGradientBoostingRegressor
    p50: HistGradientBoostingRegressor
    p90: HistGradientBoostingRegressor


@dataclass(frozen=True, slots=True, kw_only=True)
class Remaining:
    """How long a component still has: the mean of what its members say, capped at the horizon, and by how many ticks P10 and
    P90 have to give way so that four of five lives lie between them.
    """

    members: tuple[Quantiles, ...]
    margin: float

    def predict(self, rows: Matrix, cap: float) -> Floats:
        """[N, 3] P10, P50 and P90 of the ticks to failure; a P90 of `cap` means that or more."""
        low, middle, high = estimates(self.members, rows)
        low = np.minimum(low - self.margin, middle)
        high = np.maximum(high + self.margin, middle)
        found: Floats = np.clip(np.stack([low, middle, high], axis=1), 0.0, cap)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentModel:
    """The model of one component. slope, intercept: the calibration of the mean of its members' log odds. limit: the chance from
    which on it is an alarm. remaining: None where too few lives are known.
    """

    members: tuple[HistGradientBoostingClassifier, ...]
    slope: float
    intercept: float
    limit: float
    remaining: Remaining | None

    def chance(self, rows: Matrix) -> Floats:
        """[N] the calibrated chance of a failure within the horizon."""
        chance: Floats = 1.0 / (1.0 + np.exp(-(self.slope * together(self.members, rows) + self.intercept)))
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
    before it judges anything: data span, failures, figures. conditions: what its features are corrected for, if anything.
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
    conditions: Conditions | None = None

    def limited(self, factor: float) -> Self:
        """The same with limits at which scores are 1/factor of what they were."""
        components = {name: replace(own, limit=limit_at(own.limit, factor)) for name, own in self.components.items()}
        return replace(self, components=components)


def together(members: Sequence[HistGradientBoostingClassifier], rows: Matrix) -> Floats:
    """[N] the mean of the members' log odds of a failure, before calibration."""
    with _THREADS.limit(limits=1, user_api="openmp"):
        odds: Floats = np.mean([log_odds(member.predict_proba(rows)[:, 1]) for member in members], axis=0)
    return odds


def estimates(members: Sequence[Quantiles], rows: Matrix) -> Floats:
    """[3, N] the mean of what the members say of the time to failure in ticks: 10 % quantile, middle, 90 % quantile."""
    with _THREADS.limit(limits=1, user_api="openmp"):
        found: Floats = np.mean([[q.predict(rows) for q in member] for member in members], axis=0)
    return found


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
    """Of what the features of a profile rest on: signals, units, components, tick and horizon, how they are drawn, and how
    models are stored.
    """
    told = {
        "format": _FORMAT,
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
        "conditions": None if model.conditions is None else model.conditions.told(),
        "card": dict(model.card),
        "components": {
            name: {
                "members": list(own.members),
                "calibration": [own.slope, own.intercept, own.limit],
                "remaining": None
                if own.remaining is None
                else {"members": [list(member) for member in own.remaining.members], "margin": own.remaining.margin},
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
        slope, intercept, limit = own["calibration"]
        rest = own["remaining"]
        components[name] = ComponentModel(
            members=tuple(own["members"]),
            slope=slope,
            intercept=intercept,
            limit=limit,
            remaining=None
            if rest is None
            else Remaining(members=tuple(Quantiles(*member) for member in rest["members"]), margin=rest["margin"]),
        )
    # Models that were stored before there were any have none.
    conditions = told.get("conditions")
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
        conditions=None if conditions is None else Conditions.of(conditions),
    )
