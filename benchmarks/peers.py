"""What others offer for the same question, on the same readings: river's HalfSpaceTrees, a loop over IsolationForests."""

import time
import warnings
from typing import Any

from sklearn.ensemble import IsolationForest

from benchmarks import pumps
from telemetry.window import Floats

_DEVICES = 20


def _rows(ticks: int) -> Floats:
    """[T, D, S] readings in 0..1, as HalfSpaceTrees wants them."""
    chunk = next(pumps.chunks(_DEVICES, ticks=ticks, seed=2))
    values = chunk.values.reshape(ticks, _DEVICES, -1)
    low, high = values.min(axis=(0, 1)), values.max(axis=(0, 1))
    shares: Floats = (values - low) / (high - low)
    return shares


def river_readings_per_s(seconds: float) -> float:
    """Readings a second: each device has a forest of river's default size, which scores a tick and learns it."""
    from river.anomaly import HalfSpaceTrees  # noqa: PLC0415 — an extra of this benchmark alone

    rows = _rows(400)
    names = list(pumps.profile().signals)
    forests: list[Any] = [HalfSpaceTrees(seed=at) for at in range(_DEVICES)]
    done, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        row = rows[done % len(rows)]
        for forest, values in zip(forests, row, strict=True):
            sample = dict(zip(names, values.tolist(), strict=True))
            forest.score_one(sample)
            forest.learn_one(sample)
        done += 1
    return done * float(rows[0].size) / (time.perf_counter() - began)


def sklearn_readings_per_s(seconds: float) -> float:
    """Readings a second: each device has an IsolationForest of the default size, fitted once, that scores each tick."""
    rows = _rows(400)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        forests = [IsolationForest(random_state=at).fit(rows[:300, at]) for at in range(_DEVICES)]
    done, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        for forest, values in zip(forests, rows[done % len(rows)], strict=True):
            forest.score_samples(values[None])
        done += 1
    return done * float(rows[0].size) / (time.perf_counter() - began)
