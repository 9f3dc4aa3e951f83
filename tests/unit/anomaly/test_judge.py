"""The judge on made-up signals: what opens, extends and closes a finding, and when."""

from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anomaly.finding import Change, FindingChange
from anomaly.judge import Judge, State
from core.profile import Profile, parse
from telemetry.window import Floats, Window

HOUR = 3_600_000_000

LIMIT = """
profile: box
title: Box
tick: 1h
silence_after: 1d
signals:
  heat: {title: Heat, unit: Cel, range: [0, 100], interval: 10min, component: heater}
  hum: {title: Hum, unit: m/s2, range: [0, 100], interval: 10min, component: heater}
  room: {title: Room, unit: Cel, range: [0, 50], interval: 10min, role: context}
components: {heater: {title: Heater}}
failure_modes:
  burn: {title: Burn, component: heater, symptoms: {heat: high}, severity: critical}
detectors:
  limits:
    - {signal: heat, high: 80, deadband: 5, on_delay: 3h, off_delay: 2h, failure_mode: burn}
"""
BASELINE = LIMIT.split("detectors:", maxsplit=1)[0] + (
    "detectors:\n  baseline: {warm_up: 5d, memory: 10d, smooth: 12h, threshold: 5, on_delay: 6h, off_delay: 12h}\n"
)


def window(values: Floats, start: int = 0, devices: int = 1) -> Window:
    """A window of [T, S] or [T, D, S] values, an hour a tick."""
    shaped = values if values.ndim == 3 else np.repeat(values[:, None, :], devices, axis=1)
    times = (np.arange(len(shaped)) + start) * HOUR
    return Window(devices=np.arange(shaped.shape[1]) + 1, signals=("heat", "hum", "room"), times=times, values=shaped)


def heat(*values: float) -> Floats:
    return np.array([[v, 1.0, 20.0] if np.isfinite(v) else [np.nan] * 3 for v in values])


def run(profile: Profile, values: Floats) -> list[FindingChange]:
    judge = Judge(profile)
    found = window(values)
    return judge.run(found, judge.fresh(len(found.devices)))


def told(changes: list[FindingChange]) -> list[tuple[str, float]]:
    return [(str(c.change), c.at.timestamp() / 3600) for c in changes if c.change is not Change.EXTENDED]


@pytest.fixture(scope="module")
def limit() -> Profile:
    return parse(LIMIT, "box.yaml")


@pytest.fixture(scope="module")
def baseline() -> Profile:
    return parse(BASELINE, "box.yaml")


def test_a_limit_opens_after_its_on_delay_and_closes_after_its_off_delay(limit: Profile) -> None:
    changes = run(limit, heat(50, 81, 81, 81, 81, 74, 74, 50))
    assert told(changes) == [("opened", 4), ("closed", 7)]
    opened = changes[0]
    assert opened.began_at.timestamp() == 3600
    assert opened.severity == "critical"
    assert opened.because == "Heat 81.0 °C (limit 80.0 °C); since 1970-01-01 01:00 UTC"


def test_within_the_deadband_it_stays_open(limit: Profile) -> None:
    assert told(run(limit, heat(81, 81, 81, 78, 78, 78, 78))) == [("opened", 3)]


def test_too_short_an_excess_opens_nothing(limit: Profile) -> None:
    assert told(run(limit, heat(*[81, 81, 50] * 10))) == []


def test_a_flickering_score_is_one_finding(limit: Profile) -> None:
    assert told(run(limit, heat(*[81] * 3, *[50, 81] * 20))) == [("opened", 3)]


def test_silence_does_not_let_a_duration_mature(limit: Profile) -> None:
    gap = [np.nan] * 10
    assert told(run(limit, heat(81, 81, *gap))) == []
    assert told(run(limit, heat(81, 81, *gap, 81))) == [("opened", 13)]
    assert told(run(limit, heat(81, 81, 81, 50, *gap))) == [("opened", 3)]


def test_an_open_finding_is_extended_at_the_end_of_each_window(limit: Profile) -> None:
    judge = Judge(limit)
    state = judge.fresh(1)
    judge.run(window(heat(81, 81, 81)), state)
    (extended,) = judge.run(window(heat(90), start=3), state)
    assert extended.change is Change.EXTENDED
    assert extended.at.timestamp() / 3600 == 4
    assert extended.score == pytest.approx(3.0)
    assert extended.evidence[0].seen == 90


def test_where_much_goes_on_at_once_evidence_is_renewed_in_turns(limit: Profile) -> None:
    judge, devices = Judge(limit), 300
    state = judge.fresh(devices)
    judge.run(window(heat(90, 90, 90), devices=devices), state)
    renewed = np.zeros(devices, dtype=int)
    for hour in range(8):
        changes = judge.run(window(heat(90), start=3 + hour, devices=devices), state)
        assert [c.score for c in changes] == pytest.approx([3.0] * devices)
        renewed += [bool(c.evidence) for c in changes]
        assert 30 < sum(bool(c.evidence) for c in changes) < 45
    assert (renewed == 1).all()


def quiet(hours: int, seed: int = 1, devices: int = 1) -> Floats:
    """A heater whose heat follows the room by 1.5 K/K, with noise; the room has days and weather."""
    random = np.random.default_rng(seed)
    t = np.arange(hours)[:, None]
    weather = np.cumsum(random.normal(0, 0.15, (hours, devices)), axis=0)
    room = 20 + 2 * np.sin(t / 24 * 2 * np.pi) + weather - weather * 0.01 * (t % 7)
    values = 40 + 1.5 * (room - 20) + random.normal(0, 0.5, (hours, devices))
    return np.stack([values, random.normal(5, 0.3, (hours, devices)), room], axis=2)


def test_healthy_devices_stay_silent_even_in_a_heat_wave(baseline: Profile) -> None:
    values = quiet(24 * 60, devices=40)
    wave = slice(24 * 40, 24 * 45)
    values[wave, :, 2] += 8
    values[wave, :, 0] += 8 * 1.5
    assert told(run(baseline, values)) == []


def test_a_slow_drift_is_found_and_explained(baseline: Profile) -> None:
    values = quiet(24 * 40)
    values[24 * 20 :, 0, 0] += np.linspace(0, 12, 24 * 20)
    changes = [c for c in run(baseline, values) if c.change is Change.OPENED]
    (opened,) = changes
    assert 20 < opened.at.timestamp() / 86400 < 32
    (evidence,) = opened.evidence
    assert evidence.signal == "heat"
    assert evidence.direction == "high"
    assert evidence.normal_high is not None
    assert evidence.normal_high < evidence.seen
    assert "Heat" in opened.because


def test_the_wrong_direction_is_no_symptom(baseline: Profile) -> None:
    values = quiet(24 * 40)
    values[24 * 20 :, 0, 0] -= np.linspace(0, 12, 24 * 20)
    assert told(run(baseline, values)) == []


@pytest.mark.parametrize(("direction", "opened"), [("high", ["burn"]), ("low", ["burn", "ice"])])
def test_a_fault_explains_a_symptom_in_its_own_direction_alone(direction: str, opened: list[str]) -> None:
    text = LIMIT.replace(
        "failure_modes:\n",
        f"failure_modes:\n  ice: {{title: Ice, component: heater, symptoms: {{heat: {direction}}}}}\n",
    )
    text += "    - {signal: hum, high: 50, on_delay: 3h, failure_mode: ice}\n"
    values = heat(90, 90, 90, 90)
    values[:, 1] = 51
    changes = [c for c in run(parse(text, "box.yaml"), values) if c.change is Change.OPENED]
    assert [c.failure_mode for c in changes] == opened


def test_nothing_is_judged_in_the_warm_up(baseline: Profile) -> None:
    values = quiet(24 * 4)
    values[48:, 0, 0] += 30
    assert told(run(baseline, values)) == []


def test_a_component_without_failure_modes_is_watched_for_any_deviation() -> None:
    text = BASELINE.replace("symptoms: {heat: high}, ", "")
    values = quiet(24 * 40)
    values[24 * 30 :, 0, 1] -= 4
    (opened,) = [c for c in run(parse(text, "box.yaml"), values) if c.change is Change.OPENED]
    assert (opened.component, opened.failure_mode) == ("heater", "abnormal")
    assert opened.evidence[0].signal == "hum"
    assert opened.evidence[0].direction == "low"


@cache
def worn(seed: int) -> tuple[Floats, list[FindingChange]]:
    """30 days of three devices of which one wears, and what is found when they are judged at once."""
    judge = Judge(parse(BASELINE, "box.yaml"))
    values = quiet(24 * 30, seed=seed, devices=3)
    values[24 * 15 :, 1, 0] += np.linspace(0, 15, 24 * 15)
    return values, judge.run(window(values), judge.fresh(3))


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(1, 24 * 30), max_size=4, unique=True), seed=st.integers(0, 5))
def test_split_stored_and_restored_it_finds_the_same(cuts: list[int], seed: int) -> None:
    judge = Judge(parse(BASELINE, "box.yaml"))
    values, whole = worn(seed)
    parts: list[FindingChange] = []
    state: State = judge.fresh(3)
    for start, end in pairwise(sorted({0, *cuts, len(values)})):
        restored = judge.fresh(3)
        for device in range(3):
            for name, version, packed in judge.pack(state, device):
                assert judge.unpack(restored, device, name, version, packed)
        state = restored
        parts += judge.run(window(values[start:end], start=start), state)
    assert told(parts) == told(whole)
    assert len(told(whole)) == 1


def test_a_state_of_another_version_is_refused(limit: Profile) -> None:
    judge = Judge(limit)
    state = judge.fresh(1)
    name, version, packed = judge.pack(state, 0)[-1]
    assert not judge.unpack(state, 0, name, version + "x", packed)
    assert not judge.unpack(state, 0, name, version, packed + b"x")
    assert judge.unpack(state, 0, name, version, packed)


def test_two_rival_explanations_are_one_finding() -> None:
    text = BASELINE.replace(
        "symptoms: {heat: high}, severity: critical}",
        "symptoms: {heat: high}}\n  crack: {title: Crack, component: heater, symptoms: {heat: high, hum: high}}",
    )
    values = quiet(24 * 40)
    values[24 * 20 :, 0, 0] += 10
    values[24 * 20 :, 0, 1] += 10
    opened = [c.failure_mode for c in run(parse(text, "box.yaml"), values) if c.change is Change.OPENED]
    assert len(opened) == 1


def test_one_fault_that_shows_in_two_components_which_nobody_described_is_one_finding() -> None:
    text = BASELINE.split("failure_modes:", maxsplit=1)[0] + "detectors:" + BASELINE.split("detectors:", maxsplit=1)[1]
    text = text.replace("{heater: {title: Heater}}", "{heater: {title: Heater}, fan: {title: Fan}}")
    hum, rest = text.split("  room:", maxsplit=1)
    text = hum.replace("component: heater}\n  hum", "component: fan}\n  hum") + "  room:" + rest
    values = quiet(24 * 40)
    values[24 * 20 :, 0, 0] += np.linspace(0, 12, 24 * 20)
    values[24 * 20 :, 0, 1] += np.linspace(0, 3, 24 * 20)
    opened = [c for c in run(parse(text, "box.yaml"), values) if c.change is Change.OPENED]
    assert [(c.component, c.failure_mode) for c in opened] == [("fan", "abnormal")]


def test_evidence_says_what_was_judged_though_the_newest_values_are_within_the_band(baseline: Profile) -> None:
    values = quiet(24 * 30 + 11)
    # Seven of eleven hours are far too hot; the newest four are as usual.
    values[24 * 30 : 24 * 30 + 7, 0, 0] += 15
    opened, extended = run(baseline, values)
    assert (opened.change, extended.change) == (Change.OPENED, Change.EXTENDED)
    for change in (opened, extended):
        (evidence,) = change.evidence
        assert evidence.normal_high is not None
        assert evidence.normal_high < evidence.seen


def test_wear_that_goes_on_for_longer_than_the_memory_is_one_finding_that_grows(baseline: Profile) -> None:
    values = quiet(24 * 60)
    values[24 * 20 :, 0, 0] += np.linspace(0, 40, 24 * 40)
    judge = Judge(baseline)
    state = judge.fresh(1)
    changes = [c for day in range(60) for c in judge.run(window(values[day * 24 : day * 24 + 24], day * 24), state)]
    assert [word for word, _ in told(changes)] == ["opened"]
    scores = [c.score for c in changes if c.change is Change.EXTENDED]
    assert scores[-1] > 1.5 * scores[len(scores) // 2] > 6
