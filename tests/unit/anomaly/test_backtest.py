"""A backtest over made-up history: the same findings as live, thresholds from healthy history only, honest parts."""

from dataclasses import replace

import numpy as np
import pytest

from anomaly import backtest
from anomaly.backtest import Labels, Outcome
from anomaly.detector import Track, fresh
from anomaly.episodes import Episodes
from anomaly.finding import Change
from anomaly.judge import Judge
from anomaly.judgement.alarms import FACTORS, LIVE, Sweep
from anomaly.judgement.rules import HOUR, Length, Rules, duration, length, span
from core.errors import InvalidInput
from core.profile import Profile, parse
from telemetry.recorded import Intervals, Recording, RemainingLife
from telemetry.window import Tick

PROFILE = """
profile: box
title: Box
tick: 1h
silence_after: 1d
signals:
  heat: {title: Heat, unit: Cel, range: [0, 100], interval: 1h, component: heater}
  hum: {title: Hum, unit: m/s2, range: [0, 100], interval: 1h, component: fan}
components: {heater: {title: Heater}, fan: {title: Fan}}
detectors:
  baseline: {warm_up: 5d, memory: 10d, smooth: 12h, on_delay: 6h, off_delay: 12h}
"""
DAYS, DEVICES = 60, 8
FAILED = {1: 30, 4: 40, 6: 50}
"""Device: day of its heater's failure; the heat rises over the two days before."""


@pytest.fixture(scope="module")
def profile() -> Profile:
    return parse(PROFILE, "box.yaml")


@pytest.fixture(scope="module")
def history() -> Recording:
    random = np.random.default_rng(3)
    hours = DAYS * 24
    values = random.normal([50, 5], [1, 0.2], (hours, DEVICES, 2))
    for device, day in FAILED.items():
        values[day * 24 - 48 : day * 24, device, 0] += np.linspace(0, 12, 48)
    values[100:103, 2] = np.nan
    return Recording(
        devices=tuple(f"d{n}" for n in range(DEVICES)),
        signals=("heat", "hum"),
        device=np.tile(np.arange(DEVICES), hours),
        times=np.repeat(np.arange(hours) * HOUR, DEVICES),
        values=values.reshape(-1, 2),
        tick=HOUR,
    )


@pytest.fixture(scope="module")
def labels() -> Labels:
    device = np.array(list(FAILED))
    return Labels(failed=(device, np.zeros(len(device), dtype=np.int64), np.array(list(FAILED.values())) * 24 * HOUR))


@pytest.fixture(scope="module")
def outcome(profile: Profile, history: Recording, labels: Labels) -> Outcome:
    return backtest.run(profile, history, labels, Rules(leads=(6 * HOUR, 12 * HOUR)))


def test_at_its_own_threshold_the_sweep_is_what_runs_live(profile: Profile, history: Recording) -> None:
    judge = Judge(profile)
    state = judge.fresh(DEVICES)
    sweep = Sweep(judge.tracks, judge.episodes, tuple(profile.components), DEVICES, HOUR)
    changes = [c for w in history.windows(most_cells=999) for c in judge.run(w, state, sweep.take)]
    live = sweep.alarms()[LIVE]

    def told(which: Change) -> list[tuple[int, str, int]]:
        return sorted((c.device, c.component, round(c.at.timestamp() * 1e6)) for c in changes if c.change is which)

    names = list(profile.components)
    starts = sorted((d, names[c], s) for d, c, s in zip(live.device, live.component, live.start, strict=True))
    assert starts == told(Change.OPENED)
    assert len(starts) >= len(FAILED)
    ends = {(d, names[c], e) for d, c, e in zip(live.device, live.component, live.end, strict=True)}
    assert set(told(Change.CLOSED)) <= ends
    counts = [len(alarms) for alarms in sweep.alarms()]
    assert counts[-1] == 0
    assert counts[FACTORS.index(0.5)] > counts[LIVE]
    assert FACTORS[LIVE] == 1.0


def test_at_each_threshold_the_sweep_counts_what_that_threshold_alone_would() -> None:
    random = np.random.default_rng(5)
    parts = {"compressor": ("wear", "leak"), "fan": ("wear",)}
    tracks = [
        Track(component=c, failure_mode=m, kind="degradation", on_delay=1 + at, off_delay=3, off_below=0.7)
        for at, (c, m) in enumerate((c, m) for c, modes in parts.items() for m in modes)
    ]
    explains = np.array([[False, True, False], [False] * 3, [False] * 3])
    episodes = Episodes(tracks, explains)
    # Scores that wander across all thresholds, with gaps and devices that are not heard.
    scores = np.exp2(np.cumsum(random.normal(0, 0.7, (400, 6, 3)), axis=0) % 7 - 4)
    scores[random.random(scores.shape) < 0.1] = np.nan
    heard = random.random((400, 6)) < 0.8
    ticks = [Tick(time=at * HOUR, values=np.empty((6, 0)), heard=heard[at]) for at in range(400)]
    sweep = Sweep(tracks, episodes, tuple(parts), 6, HOUR)
    for tick, found in zip(ticks, scores, strict=True):
        sweep.take(tick, found)
    for factor, alarms in zip(FACTORS, sweep.alarms(), strict=True):
        state = fresh(episodes.layout, 6)
        opened = []
        for tick, found in zip(ticks, scores, strict=True):
            steps = episodes.step(tick.time, tick.heard, found / factor, state)
            opened += [
                (device, tuple(parts).index(tracks[by].component), tick.time + HOUR, np.nan_to_num(found[device, by]))
                for device, by in zip(steps.opened[0], steps.opened_by, strict=True)
            ]
        told = zip(alarms.device, alarms.component, alarms.start, np.nan_to_num(alarms.score), strict=True)
        assert sorted(told) == sorted(opened)
    assert len(sweep.alarms()[LIVE]) > 50


def test_failures_that_announce_themselves_are_foreseen(outcome: Outcome) -> None:
    early, live = outcome.live
    assert (early.lead_hours, live.lead_hours) == (6, 12)
    assert (live.recall, live.component_right, live.failures) == (1.0, 1.0, 3)
    assert live.false_per_device_month is not None
    assert live.false_per_device_month < 0.3
    assert outcome.months == pytest.approx(DEVICES * DAYS / 30, rel=0.01)
    rows = {row.budget: row for row in outcome.budgets if row.lead_hours == 12}
    assert list(rows) == [0.05, 0.1, 0.25, 0.5, 1.0, 2.0]
    assert rows[0.5].recall == 1.0
    assert all(row.recall_low is not None for row in rows.values())


def test_alarms_that_blame_another_component_before_failures_cost_budget_too(
    profile: Profile, history: Recording, labels: Labels
) -> None:
    values = history.values.reshape(-1, DEVICES, 2).copy()
    for device, day in FAILED.items():
        # So strong that the fan is blamed alone, not the heater that fails.
        values[day * 24 - 48 : day * 24, device, 1] += np.linspace(0, 9.6, 48)
    blamed = replace(history, values=values.reshape(-1, 2))
    (before,), (row,) = (
        backtest.run(profile, seen, labels, Rules(budgets=(0.2,))).budgets for seen in (history, blamed)
    )
    assert before.factor is not None
    assert row.factor is not None
    assert row.factor > 2 * before.factor


def test_a_lower_budget_never_has_a_lower_threshold(outcome: Outcome) -> None:
    factors = [row.factor for row in outcome.budgets if row.lead_hours == 12]
    known = [factor for factor in factors if factor is not None]
    assert known == sorted(known, reverse=True)


def test_the_baselines_stand_beside(outcome: Outcome) -> None:
    assert set(outcome.baselines) == {"no_alarm", "always", "random", "simple_rule"}
    shape = [(row.budget, row.lead_hours) for row in outcome.budgets]
    for rows in outcome.baselines.values():
        assert [(row.budget, row.lead_hours) for row in rows] == shape
    assert {row.recall for row in outcome.baselines["no_alarm"]} == {0.0}
    assert {row.recall for row in outcome.baselines["always"]} == {1.0}
    assert all((row.precision or 1.0) < 0.05 for row in outcome.baselines["always"])
    random = outcome.baselines["random"][-1]
    assert random.false_per_device_month == pytest.approx(2.0, rel=0.15)
    assert outcome.rule in {"heat", "any signal"}


def test_labels_of_the_judged_devices_do_not_move_their_threshold(
    profile: Profile, history: Recording, labels: Labels
) -> None:
    rules = Rules(train_devices=(0, 2, 3, 5, 7))
    truth = backtest.run(profile, history, labels, rules)
    assert labels.failed is not None
    device, component, time = labels.failed
    lie = Labels(failed=(device, component, time - 20 * 24 * HOUR))
    assert [r.factor for r in truth.budgets] == [r.factor for r in backtest.run(profile, history, lie, rules).budgets]
    assert truth.live[0].failures == 3
    assert truth.months == pytest.approx(3 * DAYS / 30, rel=0.01)
    assert truth.reference_months == pytest.approx(5 * DAYS / 30, rel=0.01)


def test_what_a_visit_confirmed_was_no_false_alarm_however_long_it_showed(profile: Profile) -> None:
    """A fault that shows for eight days, of a profile whose horizon is two."""
    values = np.random.default_rng(3).normal([50, 5], [1, 0.2], (DAYS * 24, DEVICES, 2))
    fails, shows = (np.array([30, 40, 50]) * 24, np.array([22, 32, 42]) * 24)
    for device, first, last in zip((1, 4, 6), shows, fails, strict=True):
        values[first:last, device, 0] += np.linspace(3, 20, last - first)
    history = Recording(
        devices=tuple(f"d{n}" for n in range(DEVICES)),
        signals=("heat", "hum"),
        device=np.tile(np.arange(DEVICES), DAYS * 24),
        times=np.repeat(np.arange(DAYS * 24) * HOUR, DEVICES),
        values=values.reshape(-1, 2),
        tick=HOUR,
    )
    failed = Labels(failed=(np.array([1, 4, 6]), np.zeros(3, dtype=np.int64), fails * HOUR))
    told = replace(failed, began=shows * HOUR)
    before, after = (backtest.run(profile, history, labels, Rules(budgets=(0.1,))) for labels in (failed, told))
    assert (before.live[0].recall, after.live[0].recall) == (0.0, 1.0)
    assert before.live[0].false_per_device_month == pytest.approx(3 / before.months)
    assert after.live[0].false_per_device_month == 0.0
    # What was right raises no threshold.
    assert (before.budgets[0].recall, after.budgets[0].recall) == (0.0, 1.0)
    assert (after.budgets[0].factor or 0) < (before.budgets[0].factor or 0)
    # The time in which it showed is no healthy time either.
    assert before.reference_months - after.reference_months == pytest.approx(3 * 8 / 30, rel=0.01)


def test_before_the_date_is_only_learnt_from(profile: Profile, history: Recording, labels: Labels) -> None:
    found = backtest.run(profile, history, labels, Rules(train_until=35 * 24 * HOUR))
    assert found.live[0].failures == 2
    assert found.months == pytest.approx(DEVICES * (DAYS - 35) / 30, rel=0.01)
    assert found.live[0].recall == 1.0


def test_the_future_changes_nothing(profile: Profile, history: Recording, labels: Labels) -> None:
    whole = backtest.run(profile, history, labels, Rules())
    cut = history.times < 45 * 24 * HOUR
    past = replace(history, device=history.device[cut], times=history.times[cut], values=history.values[cut])
    part = backtest.run(profile, past, labels, Rules())
    before = [c for c in whole.findings if c.at.timestamp() * 1e6 <= 45 * 24 * HOUR]
    assert list(part.findings) == before
    assert len(before) >= 2
    # A failure after the end of the telemetry is not judged.
    assert part.live[0].failures == 2


def test_a_horizon_by_share_of_life(profile: Profile, history: Recording, labels: Labels) -> None:
    found = backtest.run(profile, history, labels, Rules(horizon=Length(share=0.5)))
    assert found.failures is not None
    assert (found.failures.horizon / (24 * HOUR)).tolist() == [15, 20, 25]


def test_intervals_are_judged_with_their_baselines(profile: Profile, history: Recording) -> None:
    spans = Intervals(
        device=np.array(list(FAILED)),
        starts=np.array([(day - 2) * 24 * HOUR for day in FAILED.values()]),
        ends=np.array([day * 24 * HOUR for day in FAILED.values()]),
    )
    found = backtest.run(profile, history, Labels(anomalies=spans), Rules(healthy_first=Length(share=0.2), nab=True))
    assert found.intervals is not None
    assert found.intervals.detected == 1.0
    assert found.intervals.ticks == DEVICES * DAYS * 24 * 0.8
    assert found.intervals_labelled is not None
    assert found.intervals_labelled.ticks == len(FAILED) * DAYS * 24 * 0.8
    assert found.interval_baselines["always"].mar == 0.0
    assert found.interval_baselines["no_alarm"].f1 == 0.0
    assert found.nab is not None
    assert (found.nab["standard"] or 0) > 50
    assert found.budgets == ()


def test_remaining_life_by_age(profile: Profile, history: Recording, labels: Labels) -> None:
    life = RemainingLife(device=np.array([0]), times=np.array([20 * 24 * HOUR]), ticks=np.array([480.0]))
    found = backtest.run(profile, history, replace(labels, life=life), Rules())
    assert found.life is None
    assert found.life_by_age is not None
    # Known lives are 30, 40 and 50 days: 20 days on, the middle one has 480 h left.
    assert found.life_by_age.rmse == pytest.approx(0.0)
    assert found.life_by_age.inside_p10_p90 == 1.0


def test_lengths_as_people_write_them() -> None:
    assert length("48h", "--horizon") == Length(time=48 * HOUR)
    assert length("50%", "--horizon") == Length(share=0.5)
    assert length("400", "--healthy-first", rows=True) == Length(rows=400)
    assert duration("10min", "--lead") == HOUR // 6
    assert [span(x) for x in (48 * HOUR, 36 * HOUR, HOUR // 6, 5_000_000)] == ["2 d", "36 h", "10 min", "5 s"]
    for text, option in (("soon", "--horizon"), ("400", "--horizon"), ("0%", "--horizon")):
        with pytest.raises(InvalidInput, match=option):
            length(text, option)
    with pytest.raises(InvalidInput, match="--lead"):
        duration("50%", "--lead")
