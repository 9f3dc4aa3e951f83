"""Boosted trees as plain numbers: scikit-learn learns them, treelite keeps and asks them.

scikit-learn asks tree by tree, which costs as much for one device as for hundreds; treelite asks all trees of a row in one call.
"""

from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np
import treelite
import treelite.sklearn
from msgspec import Struct
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from anomaly.learning.features import Matrix
from telemetry.window import Bools, Floats

_MANY, _ALL_CORES = 1000, 0
"""So many rows, as a backtest asks about, are shared among all cores that OpenMP may use; of fewer, threads wait for each other."""


class PackedForest(Struct, frozen=True):
    """A forest as it is stored. met: by column, which texts it met."""

    trees: bytes
    met: dict[int, list[float]]


class Forest:
    """What one boosting fit came to.

    met: by column of the features, the places of the texts that it met. Any other is to it as one that is not known.
    """

    def __init__(self, trees: treelite.Model, met: Mapping[int, Sequence[float]]) -> None:
        self._trees, self._met = trees, met

    @classmethod
    def of(
        cls, fit: HistGradientBoostingClassifier | HistGradientBoostingRegressor, rows: Matrix, texts: Bools
    ) -> Self:
        """From a fit to [N, F] rows. texts: [F] which of its features are texts."""
        met = {at: np.unique(rows[np.isfinite(rows[:, at]), at]).tolist() for at in np.nonzero(texts)[0].tolist()}
        # That a text is not known is a category too, and no number.
        with np.errstate(invalid="ignore"):
            return cls(treelite.sklearn.import_model(fit), met)

    def ask(self, rows: Matrix) -> Floats:
        """[N] what it says of [N, F] rows: log odds of a classifier, values of a regressor."""
        for column, texts in self._met.items():
            strange = np.isfinite(rows[:, column]) & ~np.isin(rows[:, column], texts)
            if strange.any():
                rows = rows.copy()
                rows[strange, column] = np.nan
        threads = _ALL_CORES if len(rows) >= _MANY else 1
        found: Floats = treelite.gtil.predict(self._trees, rows, nthread=threads, pred_margin=True).reshape(len(rows))
        return found

    def packed(self) -> PackedForest:
        """To be stored."""
        return PackedForest(
            trees=self._trees.serialize_bytes(), met={at: list(texts) for at, texts in self._met.items()}
        )

    @classmethod
    def unpacked(cls, packed: PackedForest) -> Self:
        """From what `packed` gave. Raises `treelite.TreeliteError` where it is something else."""
        return cls(treelite.Model.deserialize_bytes(packed.trees), packed.met)

    def __reduce__(self) -> tuple[object, ...]:
        """As it is stored, so that it can be learnt in another process."""
        return Forest.unpacked, (self.packed(),)
