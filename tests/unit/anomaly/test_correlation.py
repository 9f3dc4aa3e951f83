"""Broken relations between signals, and a device against its fleet, on made-up signals."""

import re
from dataclasses import replace

import numpy as np
import pytest

from anomaly.detector import fresh
from anomaly.detectors import of
from anomaly.judge import Judge
from core.profile import parse
from telemetry.window import Floats, Marks, Tick, Window

PUMP = """
profile: pump
title: Pump
tick: 1min
silence_after: 1d
signals:
  flow: {title: Flow, unit: l/s, range: [0, 10], interval: 1min, component: rotor}
  draw: {title: Draw, unit: A, range: [0, 50], interval: 1min, component: motor}
  hum: {title: Hum, unit: m/s2, range: [0, 20], interval: 1min, component: motor}
  heat: {title: Heat, unit: Cel, range: [0, 100], interval: 1min, component: casing}
components: {rotor: {title: Rotor}, motor: {title: Motor}, casing: {title: Casing}}
detectors: {DETECTOR: {warm_up: 2h, memory: 1d}}
"""
DEVICES, TICKS = 10, 500


def fleet(seed: int = 1) -> Floats:
    """[T, D, 4]: flow and draw follow the load of each device; heat follows the weather, the same for all."""
    random = np.random.default_rng(seed)
    load = random.normal(0, 1, (TICKS, DEVICES))
    weather = np.cumsum(random.normal(0, 0.05, TICKS))[:, None]
    flow = 5 + load + random.normal(0, 0.05, load.shape)
    draw = 20 + 3 * load + random.normal(0, 0.15, load.shape)
    hum = 5 + random.normal(0, 0.5, load.shape)
    return np.stack([flow, draw, hum, 40 + weather + random.normal(0, 0.1, load.shape)], axis=2)


def scores(
    detector: str, values: Floats, pump: str = PUMP, replaced: tuple[int, str] | None = None
) -> tuple[Floats, list[str]]:
    """[T, D, K] and the component of each track. replaced: at which tick which component of the first device is."""
    own = next(one for one in of(parse(pump.replace("DETECTOR", detector), "pump.yaml")) if one.name == detector)
    state = fresh(own.layout, values.shape[1])
    found = []
    one = np.zeros(1, dtype=np.int64)
    for at, row in enumerate(values):
        tick = Tick(time=at, values=row, heard=np.asarray(np.isfinite(row).any(axis=1)))
        if replaced is not None and at == replaced[0]:
            tick = replace(tick, replaced=Marks(names=(replaced[1],), at=one + at, device=one, what=one))
        score = own.score(tick, state)
        own.learn(tick, state, score >= 1.0)
        found.append(score)
    return np.array(found), [track.component for track in own.tracks]


def test_signals_that_no_longer_belong_together_are_seen_though_each_is_in_its_band() -> None:
    values = fleet()
    # Much flow at little draw: both within two of their own spreads.
    values[300:, 0, :2] = np.random.default_rng(2).normal([6.7, 14.9], 0.1, (TICKS - 300, 2))
    found, _ = scores("correlation", values)
    assert (found[310:, 0].max(axis=1) >= 1.0).all()
    assert np.nanmax(found[:, 1:]) < 1.0


@pytest.mark.parametrize("detector", ["baseline", "correlation", "fleet"])
def test_ranges_that_are_far_too_wide_make_no_detector_blind(detector: str) -> None:
    wide = re.sub(r"range: \[0, (\d+)\]", r"range: [0, \1.0e+7]", PUMP)
    values = fleet()
    values[300:, 0, 2] += 8 * values[:300, 0, 2].std()
    found, components = scores(detector, values, wide)
    motor = components.index("motor")
    assert (found[340:, 0, motor] >= 1.0).all()
    assert np.nanmax(found[:, 1:, motor]) < 1.0


@pytest.mark.parametrize(("signal", "component"), [(2, "motor"), (3, "casing")])
def test_the_component_of_the_signal_that_contributes_most_is_blamed(signal: int, component: str) -> None:
    values = fleet()
    values[300:, 0, signal] += 8 * values[:300, 0, signal].std()
    found, components = scores("correlation", values)
    strange = found[320:, 0]
    assert (strange.max(axis=1) >= 1.0).all()
    assert {components[at] for at in strange.argmax(axis=1)} == {component}


def test_components_with_described_failure_modes_are_left_to_their_symptoms() -> None:
    text = PUMP.replace("DETECTOR", "correlation") + (
        "failure_modes:\n"
        "  worn: {title: Worn, component: rotor, symptoms: {flow: low}}\n"
        "  stiff: {title: Stiff, component: motor, symptoms: {draw: high}}\n"
    )
    judge = Judge(parse(text, "pump.yaml"))
    assert [(t.component, t.failure_mode) for t in judge.tracks] == [("casing", "abnormal")]


def test_a_hot_day_is_no_fault_and_a_hot_device_is_one() -> None:
    values = fleet()
    values[300:, :, 3] += 8.0
    found, components = scores("fleet", values)
    casing = components.index("casing")
    assert np.nanmax(found[:, :, casing]) < 1.0
    values[300:, 4, 3] += 4.0
    found, _ = scores("fleet", values)
    assert (found[330:, 4, casing] >= 1.0).all()
    assert np.nanmax(np.delete(found[:, :, casing], 4, axis=1)) < 1.0


def test_too_few_devices_are_no_fleet() -> None:
    found, _ = scores("fleet", fleet()[:, :7])
    assert np.isnan(found).all()


def test_a_device_that_joins_on_a_hot_day_is_not_taken_for_a_cold_one_afterwards() -> None:
    values = fleet()
    values[:200, 0] = np.nan
    values[150:300, :, 3] += 8.0
    found, components = scores("fleet", values)
    assert not (found[:, 0, components.index("casing")] >= 1.0).any()


def test_fleet_findings_name_the_signal_and_where_it_should_be() -> None:
    values = fleet()
    values[300:, 4, 3] += 6.0
    judge = Judge(parse(PUMP.replace("DETECTOR", "fleet"), "pump.yaml"))
    window = Window(
        devices=np.arange(DEVICES),
        signals=tuple(judge.profile.signals),
        times=np.arange(TICKS) * 60_000_000,
        values=values,
    )
    opened = judge.run(window, judge.fresh(DEVICES))[0]
    assert (opened.device, opened.component, opened.failure_mode) == (4, "casing", "abnormal")
    assert [e.signal for e in opened.evidence] == ["heat"]
    assert opened.evidence[0].seen > (opened.evidence[0].normal_high or 0.0)


@pytest.mark.parametrize("detector", ["correlation", "fleet"])
@pytest.mark.parametrize("step", [10.0, -4.0, 30.0])
def test_a_new_part_that_is_different_is_no_fault_and_its_wear_is_one(detector: str, step: float) -> None:
    values = fleet()
    values[250:, 0, 2] += step
    values[400:, 0, 2] += np.sign(step) * 4
    unknown, components = scores(detector, values)
    motor = components.index("motor")
    assert np.nanmax(unknown[250:300, 0, motor]) >= 1.0
    known, _ = scores(detector, values, replaced=(250, "motor"))
    assert (known[250:400, 0] >= 1.0).sum() <= 1
    assert (known[430:, 0, motor] >= 1.0).all()
    # What was replaced is another part than the one that is different now.
    other, _ = scores(detector, values, replaced=(250, "casing"))
    assert np.nanmax(other[250:300, 0, motor]) >= 1.0


@pytest.mark.parametrize("detector", ["correlation", "fleet"])
def test_a_repair_that_helps_ends_it_and_one_that_does_not_leaves_it(detector: str) -> None:
    worn = fleet()
    worn[250:, 0, 2] += 6
    helped = worn.copy()
    helped[300:, 0, 2] -= 6
    left, components = scores(detector, worn, replaced=(300, "motor"))
    motor = components.index("motor")
    assert (left[280:, 0, motor] >= 1.0).all()
    over, _ = scores(detector, helped, replaced=(300, "motor"))
    assert over[299, 0, motor] >= 1.0
    assert (over[350:, 0] >= 1.0).sum() <= 1
