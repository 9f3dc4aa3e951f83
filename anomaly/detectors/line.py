"""A straight line through the context signals for each signal, which each device learns for itself."""

import numpy as np

from anomaly.detector import Columns, Field, Layout, total
from telemetry.window import Bools, Floats

_RIDGE = 0.005
"""Against slopes of contexts that hardly move: as if they moved by this share of their range."""


class Line:
    """An exponentially weighted regression of S signals on C contexts.

    spans: [C] what the contexts' sensors can give, from the least to the greatest.
    """

    def __init__(self, spans: Floats, signals: int) -> None:
        self._ridge = (spans * _RIDGE) ** 2
        s, c = signals, len(spans)
        self.layout: Layout = {
            "context": Field(shape=(c,), start=np.nan),  # smoothed a little
            "mean_y": Field(shape=(s,)),
            "mean_c": Field(shape=(s, c)),
            "var_c": Field(shape=(s, c, c)),
            "cov": Field(shape=(s, c)),
            "slope": Field(shape=(s, c)),
        }

    def follow(self, context: Floats, lag: Floats, state: Columns) -> None:
        """Takes the context [D, C] of a tick, smoothed over `lag` ticks [D, 1], as slowly as the signals: or the regression
        would find it to be ahead of them.
        """
        last = state["context"]
        known = np.isfinite(context)
        moved = np.where(np.isfinite(last), last + (context - last) / lag, context)
        state["context"] = np.where(known, moved, last)

    def expected(self, state: Columns, context: Floats | None = None) -> Floats:
        """[D, S] what the signals should be, in the present context or in [D, C] another."""
        expected: Floats = state["mean_y"] + total(state["slope"] * self._away(state, context))
        return expected

    def usual(self, state: Columns) -> Floats:
        """[D, S] what the signals are in their mean context."""
        found: Floats = state["mean_y"]
        return found

    def unsure(self, scatter: Floats, independent: Floats, state: Columns) -> Floats:
        """[D, S] the variance that the line has where the context is one that the device has hardly known.

        scatter: [D, S] of the signals around it. independent: [D, S] values that it was learnt from.
        """
        own = np.diagonal(state["var_c"], axis1=2, axis2=3) + self._ridge
        unsure: Floats = scatter / independent * total(self._away(state) ** 2 / own)
        return unsure

    def learn(self, values: Floats, step: Floats, first: Bools, state: Columns) -> None:
        """Moves the moments by the share `step` [D, S] towards values [D, S] in the present context; first: [D, S] whether
        nothing was known before.
        """
        known = np.isfinite(state["context"])[:, None, :]
        away_c = self._away(state)
        first = first[:, :, None] & known
        if first.any():
            state["mean_c"] += np.where(first, away_c, 0.0)
            away_c = np.where(first, 0.0, away_c)
        moved = step[:, :, None] * away_c
        state["mean_c"] += moved
        away_y = values - state["mean_y"]
        state["mean_y"] += step * away_y
        keep = 1.0 - step
        state["cov"] += moved * away_y[:, :, None]
        state["cov"] *= keep[:, :, None]
        state["var_c"] += moved[:, :, :, None] * away_c[:, :, None, :]
        state["var_c"] *= keep[:, :, None, None]

    def slope(self, state: Columns) -> Floats:
        """[D, S, C] by how much a signal moves as a context moves by one."""
        found: Floats = state["slope"]
        return found

    def shift(self, by: Floats, state: Columns) -> None:
        """Moves the whole line by [D, S]."""
        state["mean_y"] += by

    def regress(self, state: Columns) -> None:
        """One Gauss-Seidel sweep of the ridge regression; the slopes follow as the moments move."""
        for j, ridge in enumerate(self._ridge):
            others = total(state["slope"] * state["var_c"][:, :, j, :])
            own = state["var_c"][:, :, j, j]
            explained = others - state["slope"][:, :, j] * own
            state["slope"][:, :, j] = (state["cov"][:, :, j] - explained) / (own + ridge)

    @staticmethod
    def _away(state: Columns, context: Floats | None = None) -> Floats:
        """[D, S, C] how far the context is from what each signal was learnt in; 0 where the context is not known."""
        now = (state["context"] if context is None else context)[:, None, :]
        away: Floats = now - state["mean_c"]
        known = np.isfinite(now)
        return away if known.all() else np.where(known, away, 0.0)
