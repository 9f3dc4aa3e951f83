"""Sensor faults on made-up signals: what is one, what is none, and what the other detectors get to see."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from anomaly.finding import Change, FindingChange
from anomaly.judge import Judge
from core.profile import parse
from telemetry.window import Floats, Window

MINUTE = 60_000_000
PUMP = """
profile: pump
title: Pump
tick: 1min
silence_after: 1d
signals:
  flow: {title: Flow, unit: l/s, range: [0, 10], interval: 1min, component: rotor}
  heat: {title: Heat, unit: Cel, range: [0, 100], interval: 1min, component: motor}
  draw: {title: Draw, unit: A, range: [0, 50], interval: 1min, component: motor}
  step: {title: Step, unit: count, range: [0, 100], interval: 1min, component: motor}
components: {rotor: {title: Rotor}, motor: {title: Motor}}
detectors:
  sensors: {warm_up: 2h}
  DETECTORS
"""
BASELINE = "baseline: {warm_up: 2h, memory: 5h, smooth: 10min, on_delay: 10min, off_delay: 10min}"
Spoil = Callable[[Floats], Any]


def healthy(ticks: int = 600) -> Floats:
    """[T, 4]: three with noise, one that moves in whole steps, seldom."""
    random = np.random.default_rng(5)
    level = np.array([5.0, 50.0, 12.0])
    values = level + random.normal(0, 1, (ticks, 3)) * [0.1, 0.5, 0.2]
    return np.column_stack([values, np.repeat(random.integers(10, 90, ticks // 15 + 1), 15)[:ticks]])


def opened(values: Floats, detectors: str = "", text: str = PUMP) -> list[FindingChange]:
    judge = Judge(parse(text.replace("DETECTORS", detectors), "pump.yaml"))
    window = Window(
        devices=np.array([1]),
        signals=tuple(judge.profile.signals),
        times=np.arange(len(values)) * MINUTE,
        values=values[:, None, :],
    )
    return [c for c in judge.run(window, judge.fresh(1)) if c.change is Change.OPENED]


def _stuck(values: Floats) -> None:
    values[300:, 1] = values[300, 1]


def _noisy(values: Floats) -> None:
    values[300:, 1] += np.random.default_rng(6).normal(0, 8, len(values) - 300)


def _out_of_range(values: Floats) -> None:
    values[300:, 1] += 70.0


def _missing(values: Floats) -> None:
    values[300:, 1] = np.nan


FAULTS = {"stuck": _stuck, "noisy": _noisy, "out_of_range": _out_of_range, "missing": _missing}


@pytest.mark.parametrize(("kind", "spoil"), FAULTS.items())
def test_a_sensor_fault_is_told_as_one(kind: str, spoil: Spoil) -> None:
    values = healthy()
    spoil(values)
    (found,) = opened(values)
    assert (found.kind, found.component, found.failure_mode) == ("sensor", "sensors", "heat_sensor")
    assert found.evidence[0].direction == kind
    assert found.because.startswith("Heat ")
    assert found.at.timestamp() > 300 * 60


@pytest.mark.parametrize(("kind", "spoil"), FAULTS.items())
def test_no_component_is_blamed_for_a_faulty_sensor(kind: str, spoil: Spoil) -> None:
    values = healthy()
    spoil(values)
    assert {c.kind for c in opened(values, BASELINE)} == {"sensor"}, kind


def test_a_component_is_still_judged_by_its_other_signals() -> None:
    values = healthy()
    _missing(values)
    values[400:, 2] += 10.0
    assert [(c.kind, c.component) for c in opened(values, BASELINE)] == [
        ("sensor", "sensors"),
        ("degradation", "motor"),
    ]


def test_a_part_that_breaks_is_no_sensor_fault() -> None:
    values = healthy()
    values[300:, 2] += np.linspace(0, 30, len(values) - 300)
    assert [c.kind for c in opened(values, BASELINE)] == ["degradation"]


def _all_stand(values: Floats) -> None:
    values[300:] = values[300]


def _off(values: Floats) -> None:
    values[300:, 0] = 0.0


def _constant_by_nature(values: Floats) -> None:
    values[:, 0] = 3.0


def _seldom_sent(values: Floats) -> None:
    sent = values[::20, 0].copy()
    values[:, 0] = np.nan
    values[::20, 0] = sent


def _one_spike(values: Floats) -> None:
    values[[300, 310], 0] = 9.9


def _swing(values: Floats) -> None:
    values[300:, 0] += 3 * np.sin(np.arange(len(values) - 300) / 8)


@pytest.mark.parametrize("spoil", [_all_stand, _off, _constant_by_nature, _seldom_sent, _one_spike, _swing])
def test_what_is_no_sensor_fault(spoil: Spoil) -> None:
    values = healthy()
    spoil(values)
    assert opened(values) == []


def test_a_signal_that_is_not_sent_within_the_warm_up_is_not_missing_ever_after() -> None:
    values = healthy(6000)
    sent = np.full(len(values), np.nan)
    sent[::150], sent[1::150] = 5.0, 5.1
    values[:, 0] = sent
    assert opened(values) == []
    values[5000:, 0] = np.nan
    (found,) = opened(values)
    assert (found.failure_mode, found.evidence[0].direction) == ("flow_sensor", "missing")


def test_a_sensor_that_comes_back_closes_the_finding() -> None:
    values = healthy()
    values[300:450, 1] = values[300, 1]
    judge = Judge(parse(PUMP.replace("DETECTORS", ""), "pump.yaml"))
    window = Window(
        devices=np.array([1]),
        signals=tuple(judge.profile.signals),
        times=np.arange(len(values)) * MINUTE,
        values=values[:, None, :],
    )
    assert [c.change for c in judge.run(window, judge.fresh(1))] == [Change.OPENED, Change.CLOSED]


def test_a_counter_may_stand_still_for_as_long_as_nothing_happens() -> None:
    values = healthy()
    values[:, 3] = np.minimum(np.arange(600) // 4, 60)
    assert opened(values) == []
    # What went up and down before it stood still is no counter.
    values[4:240, 3] -= 2 * (np.arange(4, 240) // 4 % 2) - 1
    assert [c.failure_mode for c in opened(values)] == ["step_sensor"]


def test_counters_that_stand_still_do_not_mean_that_the_device_rests() -> None:
    values = healthy()
    values[:, 0] = np.minimum(np.arange(600) // 4, 60)
    values[:, 3] = np.minimum(np.arange(600) // 4, 70)
    _stuck(values)
    counted = PUMP.replace("unit: l/s, range: [0, 10]", "unit: count, range: [0, 100]")
    assert [c.failure_mode for c in opened(values, text=counted)] == ["heat_sensor"]
