"""Each registered detector against small named checks: check x detector, as for decoders.

The fleet of made-up devices is the same for all: three signals that move together and a counter that stands still, healthy, then one
device that breaks away. A detector is switched on alone, with nothing set that it does not need.
"""

from collections.abc import Callable

import numpy as np
import pytest

from anomaly.detector import Columns, Detector, fresh, pack, unpack
from anomaly.detectors import REGISTRY
from core.detection import Detectors
from core.profile import Profile, parse
from telemetry.window import Floats, Tick

HOUR = 3_600_000_000
BOX = """
profile: box
title: Box
tick: 1h
silence_after: 1d
signals:
  heat: {title: Heat, unit: Cel, range: [0, 100], interval: 1h, component: heater}
  draw: {title: Draw, unit: W, range: [0, 1000], interval: 1h, component: heater}
  hum: {title: Hum, unit: m/s2, range: [0, 50], interval: 1h, component: fan}
  room: {title: Room, unit: Cel, range: [-20, 60], interval: 1h, role: context}
  trips: {title: Trips, unit: count, range: [0, 1000], interval: 1h, component: fan}
components: {heater: {title: Heater}, fan: {title: Fan}}
failure_modes: {burn: {title: Burn, component: heater}}
detectors: SECTION
"""
SECTIONS = {
    "sensors": "{sensors: {warm_up: 40h}}",
    "limits": "{limits: [{signal: heat, high: 80, failure_mode: burn}, {signal: hum, low: 1, failure_mode: burn}]}",
    "baseline": "{baseline: {warm_up: 40h, memory: 100h, smooth: 6h}}",
    "surprise": "{surprise: {warm_up: 40h, memory: 100h, smooth: 6h}}",
    "counters": "{counters: {}}",
    "correlation": "{correlation: {warm_up: 40h}}",
    "fleet": "{fleet: {warm_up: 40h}}",
}
VARIANTS = {
    "baseline, drift": "{baseline: {warm_up: 40h, memory: 100h, smooth: 6h, drift: true}}",
    "baseline, hours": "{baseline: {warm_up: 40h, memory: 200h, smooth: 6h}}",
}
"""Detectors with what is off by default, or needs a longer memory."""
FLEET = {"fleet"}
"""Detectors for which the other devices are the point."""
LIKE_OTHERS = {"counters"}
"""Detectors that take a device to be like the others until it is known: who is found is the same, by how much is not."""
NEW = {"surprise"}
"""Detectors that speak of what is new, once: what stays is told no more, and a short past holds few surprises yet."""
GIVEN = {"limits", "sensors"}
"""Detectors that know of something strange without having learnt: a limit, six ticks that are no long stand for anything."""
SIGNALS = ("heat", "draw", "hum", "room", "trips")
ONLY = {"counters": 4}
"""The place of the signal that a detector judges alone, where that is not the first."""
TICKS, DEVICES = 160, 12


def profile_of(name: str, *, only: bool = False) -> Profile:
    """only: the one signal that it judges is all that there is."""
    text = BOX.replace("SECTION", (SECTIONS | VARIANTS)[name])
    for gone in set(SIGNALS) - {SIGNALS[ONLY.get(name, 0)]} if only else ():
        text = "\n".join(line for line in text.split("\n") if not line.startswith(f"  {gone}:"))
    return parse(text.replace(", {signal: hum, low: 1, failure_mode: burn}", "") if only else text, "box.yaml")


def detector_of(name: str, *, only: bool = False) -> Detector:
    kind, *_ = name.split(",")
    return REGISTRY[kind](profile_of(name, only=only))


def healthy(seed: int = 1) -> Floats:
    """[T, D, 5] heat and draw follow the room, hum is alone, trips are none."""
    random = np.random.default_rng(seed)
    room = 20 + 3 * np.sin(np.arange(TICKS) / 24 * 2 * np.pi)[:, None] + random.normal(0, 0.3, (TICKS, DEVICES))
    load = random.normal(0, 1, (TICKS, DEVICES))
    heat = 50 + room - 20 + load + random.normal(0, 0.2, (TICKS, DEVICES))
    draw = 400 + 20 * load + random.normal(0, 4, (TICKS, DEVICES))
    hum = random.normal(5, 0.3, (TICKS, DEVICES))
    return np.stack([heat, draw, hum, room, np.zeros((TICKS, DEVICES))], axis=2)


def broken(seed: int = 1) -> Floats:
    """The last device leaves its normal after tick 100: hot, one signal stands still, and a counter does not."""
    values = healthy(seed)
    values[100:, -1, 0] += 35
    values[100:, -1, 2] = values[100, -1, 2]
    values[100:, -1, 4] = np.arange(TICKS - 100) // 2
    return values


def run(detector: Detector, values: Floats, state: Columns, first: int = 0) -> Floats:
    """[T, D, K] scores, learning after each tick as the judge does."""
    found = []
    for at, row in enumerate(values):
        tick = tick_of(row, first + at)
        score = detector.score(tick, state)
        detector.learn(tick, state, score >= 1.0)
        found.append(score)
    return np.array(found)


def tick_of(row: Floats, at: int) -> Tick:
    return Tick(time=at * HOUR, values=row, heard=np.asarray(np.isfinite(row).any(axis=1)))


def whole(name: str, values: Floats, *, only: bool = False) -> Floats:
    detector = detector_of(name, only=only)
    return run(detector, values, fresh(detector.layout, values.shape[1]))


each = pytest.mark.parametrize("name", [*REGISTRY, *VARIANTS])


def test_each_detector_is_checked() -> None:
    assert set(SECTIONS) == set(REGISTRY) == set(Detectors.model_fields)


@each
def test_it_finds_the_broken_device_and_no_other(name: str) -> None:
    scores = whole(name, broken())
    assert np.nanmax(scores[100:, -1]) >= 1
    assert np.nanmax(scores[:, :-1]) < (np.nanmax(scores[100:, -1]) if name in NEW else 1)


@each
def test_a_packed_state_goes_on_with_the_same_scores(name: str) -> None:
    values = broken()
    detector = detector_of(name)
    state = fresh(detector.layout, DEVICES)
    run(detector, values[:90], state)
    other = fresh(detector.layout, DEVICES)
    for at in range(DEVICES):
        assert unpack(detector.layout, pack(detector.layout, state, at), other, at)
    np.testing.assert_array_equal(run(detector, values[90:], state, 90), run(detector, values[90:], other, 90))


@each
@pytest.mark.parametrize("cut", [1, 40, 101])
def test_a_restart_anywhere_changes_no_score(name: str, cut: int) -> None:
    values = broken()
    detector, after = detector_of(name), detector_of(name)
    state = fresh(detector.layout, DEVICES)
    parts = [run(detector, values[:cut], state), run(after, values[cut:], state, cut)]
    np.testing.assert_array_equal(np.concatenate(parts), whole(name, values))


@each
def test_the_order_of_devices_does_not_matter(name: str) -> None:
    values = broken()
    order = np.random.default_rng(3).permutation(DEVICES)
    np.testing.assert_allclose(whole(name, values[:, order]), whole(name, values)[:, order], rtol=1e-6, atol=1e-9)


@each
def test_the_number_of_other_devices_does_not_matter(name: str) -> None:
    if name in FLEET:
        assert np.isnan(whole(name, broken()[:, -3:])).all()
        return
    values = broken()
    few, all_of_them = whole(name, values[:, -3:]), whole(name, values)[:, -3:]
    if name in LIKE_OTHERS:
        np.testing.assert_array_equal(np.nanmax(few, axis=0) >= 1, np.nanmax(all_of_them, axis=0) >= 1)
        return
    np.testing.assert_allclose(few, all_of_them, rtol=1e-6, atol=1e-9)


@each
def test_it_scores_before_it_has_learnt_and_says_that_it_does_not_know(name: str) -> None:
    detector = detector_of(name)
    score = detector.score(tick_of(healthy()[0], 0), fresh(detector.layout, DEVICES))
    assert score.shape == (DEVICES, len(detector.tracks))
    assert np.isfinite(score).all() if name == "limits" else np.isnan(score).all()


@pytest.mark.parametrize("name", [name for name in (*REGISTRY, *VARIANTS) if name not in GIVEN])
def test_scoring_learns_nothing(name: str) -> None:
    """What is held for normal moves in `learn` alone: without it a detector that learns never knows."""
    detector = detector_of(name)
    state = fresh(detector.layout, DEVICES)
    for at, row in enumerate(broken()):
        score = detector.score(tick_of(row, at), state)
    assert not (score >= 1.0).any()


def _gaps(values: Floats) -> None:
    values[np.random.default_rng(4).random(values.shape) < 0.3] = np.nan


def _silent(values: Floats) -> None:
    values[50:60] = np.nan
    values[:, 3] = np.nan


def _one_missing(values: Floats) -> None:
    values[:, :, 1] = np.nan


def _constant(values: Floats) -> None:
    values[:] = values[0]


def _constant_then_not(values: Floats) -> None:
    values[:100] = values[0]


def _zero(values: Floats) -> None:
    values[:] = 0.0


def _huge(values: Floats) -> None:
    values[::7] = 1e300
    values[3::7] = -1e300


def _tiny(values: Floats) -> None:
    values *= 1e-300


@each
@pytest.mark.parametrize(
    "spoil",
    [_gaps, _silent, _one_missing, _constant, _constant_then_not, _zero, _huge, _tiny],
    ids=lambda f: f.__name__,
)
def test_odd_values_never_raise_and_never_give_infinity(name: str, spoil: Callable[[Floats], None]) -> None:
    values = healthy()
    spoil(values)
    detector = detector_of(name)
    state = fresh(detector.layout, DEVICES)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        scores = run(detector, values, state)
    assert not np.isinf(scores).any() or name == "limits"
    for field, column in state.items():
        assert not np.isinf(column.astype(float)).any() or field == "width", field


@each
@pytest.mark.parametrize("constant", [_constant, _zero], ids=lambda f: f.__name__)
def test_what_never_changes_is_never_abnormal(name: str, constant: Callable[[Floats], None]) -> None:
    values = healthy()
    constant(values)
    scores = whole(name, values)
    if name != "limits":
        assert not (scores >= 1.0).any()


@each
def test_one_signal_is_enough_to_run(name: str) -> None:
    at = ONLY.get(name, 0)
    values = broken()[:, :, at : at + 1]
    assert whole(name, values, only=True).shape[:2] == (TICKS, DEVICES)


@each
def test_its_tracks_ask_about_parts_it_knows(name: str) -> None:
    profile = profile_of(name)
    for track in detector_of(name).tracks:
        assert track.component in profile.components or track.kind == "sensor"
        assert track.on_delay >= 1
        assert track.off_delay >= 1
        assert track.off_below <= 1.0


@each
def test_it_says_why(name: str) -> None:
    detector = detector_of(name)
    profile = profile_of(name)
    state = fresh(detector.layout, DEVICES)
    seen = broken()[:101] if name in NEW else broken()
    scores = run(detector, seen, state)
    device = DEVICES - 1
    strange = np.nonzero(scores[-1, device] >= 1.0)[0]
    assert len(strange)
    for track in strange.tolist():
        evidence = detector.because(tick_of(seen[-1], len(seen) - 1), state, device, track)
        assert all(profile.signals[e.signal].unit == e.unit for e in evidence)
        assert sum(e.contribution for e in evidence) == pytest.approx(1.0, abs=1e-6)
        assert [e.contribution for e in evidence] == sorted((e.contribution for e in evidence), reverse=True)
        assert all(np.isfinite(e.seen) for e in evidence)
        bounds = [(e.normal_low, e.normal_high) for e in evidence]
        # A counter stood at one value.
        one = name == "counters"
        assert all(low is None or high is None or (low == high if one else low < high) for low, high in bounds)
