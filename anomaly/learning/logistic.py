"""Logistic regression beside the trees: where few failures are known, that more of a sign is worse says more than where trees
would part it.

Signals come in any size, and counters are nothing for years and then thousands. So each number is told by how far it is from
the usual one, in usual widths, and beyond these by the logarithm of that.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from msgspec import Struct
from sklearn.linear_model import LogisticRegression

from anomaly.learning.features import Matrix
from telemetry.window import Bools, Floats

_MOST_STEPS = 300
_FARTHEST = 90.0
"""The logarithm of what single precision holds: what is beyond that stands in the rows as infinite."""


class PackedLogistic(Struct, frozen=True):
    """A regression as it is stored. texts: by column of the features, the weight of each text by its place."""

    middle: list[float]
    width: list[float]
    weights: list[float]
    texts: dict[int, list[float]]
    intercept: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How far F numbers are from usual. middle, width: [F], of healthy time; texts: [F] which are but places of texts."""

    middle: Floats
    width: Floats
    texts: Bools

    @classmethod
    def of(cls, rows: Matrix, usual: Matrix, texts: Bools) -> Self:
        """From [N, F] rows of healthy time and the 5 %, 50 % and 95 % quantile of each number there, [3, F]."""
        low, middle, high = np.nan_to_num(usual.astype(np.float64))
        width = (high - low) / 2
        for at in np.nonzero(width <= 0)[0].tolist():
            # Nearly always the same: then what it is else.
            away = np.abs(rows[:, at] - middle[at])
            away = away[away > 0]
            width[at] = np.median(away) if len(away) else 1.0
        return cls(middle=middle, width=width, texts=texts)

    def told(self, rows: Matrix) -> Floats:
        """[N, F]; 0 where a number is as usual, is not known, or is a text."""
        found: Floats = np.nan_to_num(np.clip(np.arcsinh((rows - self.middle) / self.width), -_FARTHEST, _FARTHEST))
        found[:, self.texts] = 0.0
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Logistic:
    """A logistic regression over F numbers. weights: [F]. texts: by column, [P] the weight of each text by its place."""

    scale: Scale
    weights: Floats
    texts: Mapping[int, Floats]
    intercept: float

    @classmethod
    def learn(cls, scale: Scale, rows: Matrix, near: Bools, strength: float) -> Self:
        """From [N, F] rows. near: [N] those that lead up to a failure. strength: how much weights may say, as scikit-learn's C."""
        told = scale.told(rows)
        # Weights give way by what they do to the rows, not by the unit they happen to be told in; a seldom text gives way more.
        spread = told.std(axis=0)
        spread = np.where(spread > 0, spread, 1.0)
        columns = np.nonzero(scale.texts)[0].tolist()
        places = [_places(rows[:, at]) for at in columns]
        ones = [_ones(rows[:, at], count) for at, count in zip(columns, places, strict=True)]
        fit = LogisticRegression(C=strength, max_iter=_MOST_STEPS).fit(
            np.concatenate([told / spread, *ones], axis=1), near
        )
        weights, *texts = np.split(fit.coef_[0], np.cumsum([told.shape[1], *places])[:-1])
        return cls(
            scale=scale,
            weights=weights / spread,
            texts=dict(zip(columns, texts, strict=True)),
            intercept=float(fit.intercept_[0]),
        )

    @classmethod
    def mean(cls, parts: Sequence["Logistic"], weight: float) -> "Logistic":
        """What says the mean of what several say that see by the same scale, times a weight."""
        longest = {at: max(len(part.texts[at]) for part in parts) for at in parts[0].texts}
        return Logistic(
            scale=parts[0].scale,
            weights=weight * np.mean([part.weights for part in parts], axis=0),
            texts={
                at: weight
                * np.mean([np.pad(part.texts[at], (0, most - len(part.texts[at]))) for part in parts], axis=0)
                for at, most in longest.items()
            },
            intercept=weight * float(np.mean([part.intercept for part in parts])),
        )

    def ask(self, rows: Matrix) -> Floats:
        """[N] the log odds of [N, F] rows."""
        odds: Floats = self.scale.told(rows) @ self.weights + self.intercept
        for at, weights in self.texts.items():
            known = rows[:, at] < len(weights)
            odds[known] += weights[rows[known, at].astype(np.int64)]
        return odds

    def packed(self) -> PackedLogistic:
        """To be stored."""
        return PackedLogistic(
            middle=self.scale.middle.tolist(),
            width=self.scale.width.tolist(),
            weights=self.weights.tolist(),
            texts={at: weights.tolist() for at, weights in self.texts.items()},
            intercept=self.intercept,
        )

    @classmethod
    def unpacked(cls, packed: PackedLogistic) -> Self:
        """From what `packed` gave."""
        texts = np.zeros(len(packed.middle), dtype=bool)
        texts[list(packed.texts)] = True
        return cls(
            scale=Scale(middle=np.array(packed.middle), width=np.array(packed.width), texts=texts),
            weights=np.array(packed.weights),
            texts={at: np.array(weights) for at, weights in packed.texts.items()},
            intercept=packed.intercept,
        )


def _places(column: Matrix) -> int:
    """How many texts there are up to the last one that a column holds."""
    known = column[np.isfinite(column)]
    return int(known.max()) + 1 if len(known) else 0


def _ones(column: Matrix, places: int) -> Floats:
    """[N, P] 1 at the place of each row's text; nothing where it is not known or beyond."""
    ones: Floats = (column[:, None] == np.arange(places)).astype(np.float64)
    return ones
