"""A model that was learnt from known failures: for each component the chance that it fails within the horizon, and how long
it still has. What `anomaly.learning.training` makes, what the detector `failure_model` judges by, and what is stored.

It is stored as numbers and texts alone: nothing of it can be run.
"""

import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

import msgspec
import numpy as np
from treelite import TreeliteError

from anomaly.learning import features
from anomaly.learning.conditions import Conditions
from anomaly.learning.features import Matrix, Vocabulary
from anomaly.learning.forest import Forest, PackedForest
from anomaly.learning.logistic import Logistic, PackedLogistic
from core.errors import InvalidInput
from core.profile import Profile
from telemetry.window import Floats

_LEAST = 1e-6
"""A chance is never taken to be nearer to 0 or 1 than this."""
_MOST = float(np.log((1.0 - _LEAST) / _LEAST))
"""So log odds are never beyond this."""
_ROOT = 0.25
"""Of the odds: scores then grow in even steps from unlikely to certain."""
_FORMAT = 4
"""Of what is stored. A model that was stored in another is not used."""


class Quantiles(NamedTuple):
    """What estimates the 10 % quantile, the middle and the 90 % quantile of the time to failure in ticks."""

    p10: Forest
    p50: Forest
    p90: Forest


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
    """The model of one component. slope, intercept: the calibration of the mean of its members' log odds. beside: what is added
    to that; None where it tells nothing more. limit: the chance from which on it is an alarm. remaining: None where too few
    lives are known.
    """

    members: tuple[Forest, ...]
    slope: float
    beside: Logistic | None
    intercept: float
    limit: float
    remaining: Remaining | None

    def chance(self, rows: Matrix) -> Floats:
        """[N] the calibrated chance of a failure within the horizon."""
        odds = self.slope * together(self.members, rows) + self.intercept
        if self.beside is not None:
            odds += self.beside.ask(rows)
        chance: Floats = 1.0 / (1.0 + np.exp(-np.clip(odds, -_MOST, _MOST)))
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


def together(members: Sequence[Forest | Logistic], rows: Matrix) -> Floats:
    """[N] the mean of the members' log odds of a failure, before calibration."""
    odds: Floats = np.mean([np.clip(member.ask(rows), -_MOST, _MOST) for member in members], axis=0)
    return odds


def estimates(members: Sequence[Quantiles], rows: Matrix) -> Floats:
    """[3, N] the mean of what the members say of the time to failure in ticks: 10 % quantile, middle, 90 % quantile."""
    found: Floats = np.mean([[q.ask(rows) for q in member] for member in members], axis=0)
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


class _Remaining(msgspec.Struct, frozen=True):
    members: list[tuple[PackedForest, PackedForest, PackedForest]]
    margin: float


class _Component(msgspec.Struct, frozen=True):
    members: list[PackedForest]
    beside: PackedLogistic | None
    calibration: tuple[float, float, float]
    remaining: _Remaining | None


class _Stored(msgspec.Struct, frozen=True):
    """A model as it is stored."""

    version: str
    profile: str
    profile_hash: str
    horizon: float
    codes: list[str]
    attributes: dict[str, list[str]]
    usual: list[list[float]]
    factor: float
    conditions: dict[str, list[Any]] | None
    card: dict[str, Any]
    components: dict[str, _Component]


def dumps(model: Model) -> bytes:
    """The model as bytes."""
    components = {}
    for name, own in model.components.items():
        rest = own.remaining
        quantiles = [] if rest is None else [(q.p10.packed(), q.p50.packed(), q.p90.packed()) for q in rest.members]
        components[name] = _Component(
            members=[member.packed() for member in own.members],
            beside=None if own.beside is None else own.beside.packed(),
            calibration=(own.slope, own.intercept, own.limit),
            remaining=None if rest is None else _Remaining(members=quantiles, margin=rest.margin),
        )
    stored = _Stored(
        version=model.version,
        profile=model.profile,
        profile_hash=model.profile_hash,
        horizon=model.horizon,
        codes=list(model.vocabulary.codes),
        attributes={name: list(texts) for name, texts in model.vocabulary.attributes.items()},
        usual=model.usual.tolist(),
        factor=model.factor,
        conditions=None if model.conditions is None else model.conditions.told(),
        card=dict(model.card),
        components=components,
    )
    return zlib.compress(msgspec.msgpack.encode(stored))


def loads(packed: bytes, sha256: str) -> Model:
    """The model that `dumps` packed. Raises InvalidInput when the bytes are not those whose hash was stored, or are no model."""
    if hashlib.sha256(packed).hexdigest() != sha256:
        raise InvalidInput("a stored model is not what was stored: its hash differs; train it again")
    try:
        told = msgspec.msgpack.decode(zlib.decompress(packed), type=_Stored)
        components = {name: _component(own) for name, own in told.components.items()}
    except (zlib.error, msgspec.DecodeError, TreeliteError) as error:
        raise InvalidInput(f"a stored model is of another kind than models are now; train it again: {error}") from error
    return Model(
        version=told.version,
        profile=told.profile,
        profile_hash=told.profile_hash,
        horizon=told.horizon,
        vocabulary=Vocabulary(
            codes=tuple(told.codes), attributes={name: tuple(texts) for name, texts in told.attributes.items()}
        ),
        usual=np.array(told.usual, dtype=np.float32),
        components=components,
        card=told.card,
        factor=told.factor,
        conditions=None if told.conditions is None else Conditions.of(told.conditions),
    )


def _component(own: _Component) -> ComponentModel:
    slope, intercept, limit = own.calibration
    remaining = None
    if own.remaining is not None:
        members = tuple(Quantiles(*map(Forest.unpacked, member)) for member in own.remaining.members)
        remaining = Remaining(members=members, margin=own.remaining.margin)
    return ComponentModel(
        members=tuple(map(Forest.unpacked, own.members)),
        slope=slope,
        beside=None if own.beside is None else Logistic.unpacked(own.beside),
        intercept=intercept,
        limit=limit,
        remaining=remaining,
    )
