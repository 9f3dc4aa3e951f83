"""Predicted remaining life against the true one."""

from dataclasses import dataclass

import numpy as np

from telemetry.recorded import RemainingLife
from telemetry.window import Floats, Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Prognoses:
    """N predictions of the time to failure. device: [N] positions. times: [N] when they were made, microseconds.
    p10, p50, p90: [N] ticks.
    """

    device: Ints
    times: Ints
    p10: Floats
    p50: Floats
    p90: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class LifeFigures:
    """rmse: of P50, in ticks. inside_p10_p90: share of true lives between P10 and P90, right at 0.8. predicted: devices
    that had a prediction, of `devices` with a known life.
    """

    rmse: float | None
    inside_p10_p90: float | None
    predicted: int
    devices: int


def judge(prognoses: Prognoses, truth: RemainingLife, cap: float | None) -> LifeFigures:
    """The last prediction of each device at or before the time its true remaining life is known for."""
    errors: list[float] = []
    inside = 0
    known = truth.device >= 0
    for device, time, ticks in zip(
        truth.device[known].tolist(), truth.times[known].tolist(), truth.ticks[known].tolist(), strict=True
    ):
        at = np.nonzero((prognoses.device == device) & (prognoses.times <= time))[0]
        if not len(at):
            continue
        last = at[np.argmax(prognoses.times[at])]
        most = np.inf if cap is None else cap
        real = min(ticks, most)
        errors.append(min(float(prognoses.p50[last]), most) - real)
        inside += min(float(prognoses.p10[last]), most) <= real <= min(float(prognoses.p90[last]), most)
    return LifeFigures(
        rmse=float(np.sqrt(np.mean(np.square(errors)))) if errors else None,
        inside_p10_p90=inside / len(errors) if errors else None,
        predicted=len(errors),
        devices=int(known.sum()),
    )


def by_age(lives: Floats, truth: RemainingLife, ages: Floats) -> Prognoses:
    """What is known without looking at a single signal: of the lives of failed devices, those longer than the age.

    lives, ages: ticks; ages: [N] of each row of `truth`.
    """
    rows = []
    for age in ages.tolist():
        rest = lives[lives > age] - age
        rows.append(np.quantile(rest, (0.1, 0.5, 0.9)) if len(rest) else np.zeros(3))
    p = np.array(rows).reshape(len(rows), 3)
    return Prognoses(device=truth.device, times=truth.times, p10=p[:, 0], p50=p[:, 1], p90=p[:, 2])
