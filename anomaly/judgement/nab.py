"""The Numenta Anomaly Benchmark's scoring, from its published description (Lavin and Ahmad, 2015, arXiv:1510.03336).

Each labelled window is worth one detection, worth more the earlier it comes; a detection outside costs more the farther
it is behind the window before it. The sum is put between a detector that never speaks (0) and a perfect one (100).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from anomaly.judgement.alarms import Alarms
from telemetry.recorded import Intervals
from telemetry.window import Ints

_PROBATION, _LONGEST = 0.15, 5000
"""The first 15 % of a series, of at most 5,000 rows, are not judged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What a hit is worth, and what a false detection and a missed window cost."""

    hit: float
    false: float
    miss: float


PROFILES = {
    "standard": Costs(hit=1.0, false=0.11, miss=1.0),
    "low_fp": Costs(hit=1.0, false=0.22, miss=1.0),
    "low_fn": Costs(hit=1.0, false=0.11, miss=2.0),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One series: rising times of its rows, its windows (first and last time, inclusive), times of detections."""

    rows: Ints
    windows: Sequence[tuple[int, int]]
    detections: Ints


def score(series: Sequence[Series], costs: Costs) -> float | None:
    """The normalised score of all series together; None without a window."""
    total = sum(_raw(one, costs) for one in series)
    windows = sum(len(one.windows) for one in series)
    if not windows:
        return None
    nothing, perfect = -costs.miss * windows, costs.hit * windows
    return 100.0 * (total - nothing) / (perfect - nothing)


def sigmoid(position: float) -> float:
    """Worth of a detection at a position: -1 at the window's left edge, 0 at its right, beyond it behind the window."""
    return -1.0 if position > 3.0 else 2.0 / (1.0 + float(np.exp(5.0 * position))) - 1.0


def _raw(one: Series, costs: Costs) -> float:
    probation = int(_PROBATION * min(len(one.rows), _LONGEST))
    # A detection belongs to the row that was read last.
    rows = np.unique(np.searchsorted(one.rows, one.detections, side="right") - 1)
    rows = rows[rows >= probation]
    edges = [
        (int(np.searchsorted(one.rows, low)), int(np.searchsorted(one.rows, high, side="right")) - 1)
        for low, high in sorted(one.windows)
    ]
    total = 0.0
    hit: set[int] = set()
    for row in rows.tolist():
        inside = next((at for at, (low, high) in enumerate(edges) if low <= row <= high), None)
        if inside is not None:
            if inside not in hit:
                low, high = edges[inside]
                position = -(high - row + 1) / (high - low + 1)
                total += costs.hit * sigmoid(position) / sigmoid(-1.0)
                hit.add(inside)
            continue
        before = [(low, high) for low, high in edges if high < row]
        if before:
            low, high = before[-1]
            total += costs.false * sigmoid((row - high) / max(high - low, 1))
        else:
            total -= costs.false
    return total - costs.miss * (len(edges) - len(hit))


def judge(alarms: Alarms, labels: Intervals, ticks: Sequence[Ints]) -> dict[str, float | None]:
    """The score by each cost profile; ticks: for each device the rising times of the ticks in which it measured."""
    series = []
    for device, times in enumerate(ticks):
        own = labels.device == device
        series.append(
            Series(
                rows=times,
                windows=list(zip(labels.starts[own].tolist(), labels.ends[own].tolist(), strict=True)),
                # An alarm opens when its tick is over; the row it speaks of is the one before.
                detections=alarms.start[alarms.device == device] - 1,
            )
        )
    return {name: score(series, costs) for name, costs in PROFILES.items()}
