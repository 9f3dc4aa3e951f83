"""The self-baseline on made-up signals: what counts when signals are missing, short, lasting, or at another tick."""

import numpy as np
import pytest

from anomaly.finding import Change, FindingChange
from anomaly.judge import Judge
from core.profile import Profile, parse
from telemetry.window import Floats, Ints, Window

PUMP = """
profile: pump
title: Pump
tick: TICK
silence_after: 1d
signals:
  hum: {title: Hum, unit: m/s2, range: [0, 1000], interval: TICK, component: rotor}
  heat: {title: Heat, unit: Cel, range: [0, 1000], interval: TICK, component: rotor}
components: {rotor: {title: Rotor}}
detectors: {baseline: {}}
"""
DRIFT = PUMP.replace("baseline: {}", "baseline: {drift: true}")
HEAT_PUMP = """
profile: heat_pump
title: Heat pump
tick: 1h
silence_after: 1d
signals:
  mode: {title: Mode, unit: /, range: [0, 9], interval: 1h, role: mode}
  power: {title: Power, unit: W, range: [0, 5000], interval: 1h, component: compressor}
  heat: {title: Condenser, unit: Cel, range: [-50, 150], interval: 1h, component: condenser}
components: {compressor: {title: Compressor}, condenser: {title: Condenser}}
"""
LOADED = HEAT_PUMP.replace("role: mode", "role: context").replace("[0, 9]", "[0, 40]")
POWER, HEAT = np.array([900.0, 20.0, 1400.0, 300.0]), np.array([38.0, 57.0, 21.0, -5.0])
"""Of a heat pump in each of its modes, along no straight line."""
WEAR = PUMP + "failure_modes:\n  wear: {title: Wear, component: rotor, symptoms: {hum: high, heat: high}}\n"


def profile(text: str = PUMP, tick: str = "1h") -> Profile:
    return parse(text.replace("TICK", tick), "pump.yaml")


def noise(ticks: int, seed: int = 1) -> Floats:
    """[T, 2] a quiet hum and a quiet heat."""
    return 100 + np.random.default_rng(seed).normal(0, 1, (ticks, 2))


def judged(kind: Profile, values: Floats) -> tuple[list[tuple[str, int]], Floats]:
    """What opened and closed at which tick, and the score of the one track after each tick."""
    tick = round(kind.tick.total_seconds() * 1e6)
    found = Window(
        devices=np.array([1]), signals=("hum", "heat"), times=np.arange(len(values)) * tick, values=values[:, None, :]
    )
    judge = Judge(kind)
    scores: list[float] = []
    changes = judge.run(found, judge.fresh(1), lambda _, score: scores.append(float(score[0, 0])))
    told = [(str(c.change), round(c.at.timestamp() * 1e6) // tick) for c in changes if c.change is not Change.EXTENDED]
    return told, np.array(scores)


def opened(kind: Profile, values: Floats) -> list[FindingChange]:
    """The findings that one device's hourly values [T, S] open."""
    hours = np.arange(len(values)) * 3_600_000_000
    found = Window(devices=np.array([1]), signals=tuple(kind.signals), times=hours, values=values[:, None, :])
    judge = Judge(kind)
    return [c for c in judge.run(found, judge.fresh(1)) if c.change is Change.OPENED]


def at(finding: FindingChange) -> int:
    """The tick that a finding opened in."""
    return int(finding.at.timestamp()) // 3600


def running(modes: Ints, seed: int = 1) -> Floats:
    """[T, 3] mode, power and heat of a heat pump in one mode after the other."""
    random = np.random.default_rng(seed)
    power = POWER[modes] + random.normal(0, 8, len(modes))
    return np.stack([modes, power, HEAT[modes] + random.normal(0, 0.5, len(modes))], axis=1)


@pytest.mark.parametrize(("tick", "horizon"), [("10s", "8min"), ("10s", "2d"), ("5min", "4h"), ("4h", "8d")])
def test_without_a_single_setting_it_says_the_same_at_any_tick(tick: str, horizon: str) -> None:
    values = noise(600)
    values[400:, 0] += np.linspace(0, 6, 200)
    hourly, scores = judged(profile(), values)
    assert [change for change, _ in hourly] == ["opened"]
    assert 400 < hourly[0][1] < 520
    other, same = judged(profile(f"{PUMP}horizon: {horizon}\n", tick), values)
    assert other == hourly
    assert same == pytest.approx(scores, nan_ok=True)


@pytest.mark.parametrize(("tick", "known"), [("8h", 84), ("1d", 28), ("7d", 28)])
def test_what_is_measured_seldom_is_judged_after_four_weeks_or_28_values(tick: str, known: int) -> None:
    values = noise(300)
    values[200:, 0] += np.linspace(0, 6, 100)
    hourly, scores = judged(profile(), values)
    seldom, soon = judged(profile(f"{PUMP}horizon: 3000d\n", tick), values)
    assert np.flatnonzero(np.isfinite(soon)).min() == known - 1
    assert np.flatnonzero(np.isfinite(scores)).min() == 167
    # It is the same judgement, only sooner.
    assert soon[167:] == pytest.approx(scores[167:], rel=0.1, abs=0.02)
    assert [change for change, _ in seldom] == [change for change, _ in hourly] == ["opened"]


def test_what_is_short_against_the_horizon_is_told_only_of_a_device_younger_than_that() -> None:
    """A sensor that speaks often sees each door that is left open; a fault that is to be foreseen by days lasts."""
    day = 144
    values = noise(60 * day)
    for start in np.random.default_rng(2).uniform(day, 50 * day, 40).astype(int):
        values[start : start + 6, 0] += 7
    values[50 * day :, 0] += 4
    hasty, _ = judged(profile(PUMP.replace("baseline: {}", "baseline: {smooth: 2h}"), "10min"), values)
    assert len([at for change, at in hasty if change == "opened" and 14 * day < at < 50 * day]) > 15
    told, _ = judged(profile(tick="10min"), values)
    late = [(change, at) for change, at in told if at > 14 * day]
    assert [change for change, _ in late] == ["opened"]
    assert 50 * day < late[0][1] < 50.5 * day
    young, _ = judged(profile(tick="10min"), np.concatenate([values[:200], values[50 * day : 50 * day + 40]]))
    assert [change for change, _ in young] == ["opened"]
    assert young[0][1] < 210


def test_a_failure_mode_is_judged_by_the_signals_that_are_there() -> None:
    values = noise(500)
    values[:, 1] = np.nan
    values[400:, 0] += 4
    assert [change for change, _ in judged(profile(WEAR), values)[0]] == ["opened"]


def test_a_signal_that_fell_silent_is_no_sign_any_more() -> None:
    values = noise(700)
    values[400:, 0] += 4
    values[420:, 0] = np.nan
    told, scores = judged(profile(WEAR), values)
    assert [change for change, _ in told] == ["opened", "closed"]
    assert abs(scores[-1]) < 0.6


def test_one_tick_far_out_makes_no_alarm() -> None:
    values = noise(500)
    values[400, 0] += 500
    told, scores = judged(profile(), values)
    assert told == []
    assert np.nanmax(scores) < 1.0


def test_what_lasts_is_ranked_far_beyond_the_threshold() -> None:
    highest = []
    for step in (2.0, 4.0):
        values = noise(500)
        values[400:430, 0] += step
        highest.append(np.nanmax(judged(profile(), values)[1]))
    assert highest[0] > 1.0
    assert highest[1] > 2.2
    assert highest[1] > 1.5 * highest[0]


def test_a_level_that_stays_becomes_normal_and_is_judged_from_there() -> None:
    values = noise(2400)
    values[400:, 0] += 5
    values[1400:, 0] += 5
    told, _ = judged(profile(), values)
    assert [change for change, _ in told] == ["opened", "closed", "opened", "closed"]
    # It is forgotten after the memory (336 ticks), not sooner.
    assert 400 + 336 < told[1][1] < 400 + 2 * 336
    assert 1400 < told[2][1] < 1420


@pytest.mark.parametrize("memory", ["2h", "7h"])
def test_a_memory_of_a_few_ticks_keeps_what_it_follows_finite(memory: str) -> None:
    values = noise(500)
    values[300:, 0] += 5
    judge = Judge(profile(PUMP.replace("{}", f"{{warm_up: 30h, memory: {memory}, smooth: 2h}}")))
    state = judge.fresh(1)
    hours = np.arange(len(values)) * 3_600_000_000
    judge.run(Window(devices=np.array([1]), signals=("hum", "heat"), times=hours, values=values[:, None, :]), state)
    assert np.abs(state.parts["baseline"]["level"]).max() < 5


def test_wear_that_goes_on_is_never_taken_for_normal() -> None:
    values = noise(1600)
    values[400:, 0] += np.linspace(0, 24, 1200)
    assert [change for change, _ in judged(profile(), values)[0]] == ["opened"]


def test_a_drift_that_the_memory_swallows_is_seen_where_drift_is_switched_on() -> None:
    values = noise(1000)
    values[400:, 0] += np.linspace(0, 3, 600)
    assert judged(profile(), values)[0] == []
    told, scores = judged(profile(DRIFT), values)
    assert [change for change, _ in told] == ["opened"]
    assert np.nanmax(scores[:400]) < 1.0


@pytest.mark.parametrize("seed", range(5))
def test_what_only_scatters_is_no_drift(seed: int) -> None:
    assert judged(profile(DRIFT), noise(2000, seed))[0] == []


def test_a_drift_that_is_over_is_forgotten_within_the_smoothing() -> None:
    values = noise(1200)
    values[400:700, 0] += np.linspace(0, 3, 300)
    told, _ = judged(profile(DRIFT), values)
    assert [change for change, _ in told] == ["opened", "closed"]
    # It is back at 700; the smoothing is 12 ticks, and to be normal again takes 12.
    assert told[1][1] < 700 + 6 * 12


def test_weak_deviations_to_both_sides_do_not_add_up() -> None:
    values = noise(1200)
    values[400:, 0] += np.where(np.arange(800) // 24 % 2, 1.0, -1.0)
    assert judged(profile(DRIFT), values)[0] == []


def test_a_drift_is_told_with_a_band_that_it_lies_outside_of() -> None:
    values = noise(1000)
    values[400:, 0] += np.linspace(0, 3, 600)
    kind = profile(DRIFT)
    window = Window(
        devices=np.array([1]), signals=("hum", "heat"), times=np.arange(1000) * 3_600_000_000, values=values[:, None, :]
    )
    judge = Judge(kind)
    opened = next(c for c in judge.run(window, judge.fresh(1)) if c.change is Change.OPENED)
    evidence = opened.evidence[0]
    assert (evidence.signal, evidence.direction) == ("hum", "high")
    assert evidence.normal_high is not None
    assert evidence.seen > evidence.normal_high


@pytest.mark.parametrize("seed", range(3))
def test_each_mode_of_operation_is_held_against_itself(seed: int) -> None:
    kind = parse(HEAT_PUMP, "heat_pump.yaml")
    modes = np.random.default_rng(seed).choice(3, 900)
    values = running(modes, seed)
    assert opened(kind, values) == []
    # Four degrees in one mode; from mode to mode the condenser moves by twenty.
    values[500:, 2] += np.where(modes[500:] == 2, np.linspace(0, 8, 400).clip(max=4), 0)
    first = opened(kind, values)[0]
    assert (first.component, 500 < at(first) < 720) == ("condenser", True)
    evidence = first.evidence[0]
    assert (evidence.signal, evidence.direction) == ("heat", "high")
    assert evidence.normal_low is not None
    assert evidence.normal_high is not None
    assert evidence.normal_low < evidence.normal_high < evidence.seen


@pytest.mark.parametrize("later", [[0, 1, 2, 3], [3]], ids=["among others", "for good"])
def test_a_mode_that_comes_later_is_no_fault(later: list[int]) -> None:
    random = np.random.default_rng(1)
    modes = np.concatenate([random.choice(3, 450), random.choice(later, 450)])
    assert opened(parse(HEAT_PUMP, "heat_pump.yaml"), running(modes)) == []


def test_what_a_context_makes_of_a_signal_may_be_a_curve() -> None:
    """A turbine's power goes with the cube of the wind; a straight line leaves more than a worn blade costs."""
    random = np.random.default_rng(3)
    wind = np.convolve(random.normal(0, 1, 1500), np.ones(12) / 12**0.5, "valid")[:1400] * 3 + 8
    power = 1500 * np.clip(wind / 12, 0, 1) ** 3 * random.normal(1, 0.02, 1400)
    kind = parse(LOADED, "turbine.yaml")
    values = np.stack([wind, power, random.normal(30, 1, 1400)], axis=1)
    assert opened(kind, values) == []
    values[900:, 1] *= np.linspace(1, 0.6, 500).clip(min=0.8)
    first = opened(kind, values)[0]
    assert (first.component, first.evidence[0].direction, 900 < at(first) < 1200) == ("compressor", "low", True)


@pytest.mark.parametrize("seed", range(3))
def test_what_follows_its_context_late_is_held_against_what_should_have_come_of_it(seed: int) -> None:
    """A condenser that takes half a day to warm: by the load at the moment it may be anything between 20 and 50 degrees."""
    random = np.random.default_rng(seed)
    load = np.repeat(random.choice([5.0, 15.0, 25.0, 35.0], 200), random.integers(4, 24, 200))[:1500]
    heat = np.empty(1500)
    heat[0] = 20.0
    for hour in range(1, 1500):
        heat[hour] = heat[hour - 1] + (20 + load[hour] - heat[hour - 1]) / 10
    values = np.stack([load, random.normal(500, 5, 1500), heat + random.normal(0, 0.4, 1500)], axis=1)
    kind = parse(LOADED, "heat_pump.yaml")
    assert opened(kind, values) == []
    values[1000:, 2] += np.linspace(0, 16, 500).clip(max=8)
    first = opened(kind, values)[0]
    assert (first.component, 1000 < at(first) < 1300) == ("condenser", True)
    evidence = first.evidence[0]
    assert (evidence.signal, evidence.direction) == ("heat", "high")
    assert evidence.normal_high is not None
    assert evidence.normal_high < evidence.seen


def test_a_guess_of_the_spread_is_soon_forgotten() -> None:
    """What a young device is judged by is not much wider than what an old one is."""
    values = noise(700)
    values[200:, 0] += np.linspace(0, 10, 500).clip(max=1.5)
    young = opened(profile(), values)
    assert [finding.component for finding in young] == ["rotor"]


@pytest.mark.parametrize("seed", range(3))
def test_a_context_that_only_wanders_hides_no_fault(seed: int) -> None:
    """The room gets warmer for weeks while the compressor wears: that explains nothing, whatever curve would fit."""
    random = np.random.default_rng(seed)
    room = np.linspace(0, 9, 1200) + random.normal(0, 0.2, 1200)
    values = np.stack([room, random.normal(500, 5, 1200), random.normal(30, 1, 1200)], axis=1)
    values[600:, 1] += np.linspace(0, 90, 600)
    first = opened(parse(LOADED, "heat_pump.yaml"), values)[0]
    assert (first.component, 600 < at(first) < 1200) == ("compressor", True)


def test_a_profile_of_contexts_alone_asks_nothing() -> None:
    head, _, _ = HEAT_PUMP.partition("  power:")
    kind = parse(head + "components: {compressor: {title: Compressor}}\n", "heat_pump.yaml")
    assert opened(kind, np.tile([0.0, 1.0, 2.0], 100)[:, None]) == []
