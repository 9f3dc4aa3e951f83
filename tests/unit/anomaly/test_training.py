"""Models learnt from failures: what they foresee on devices they did not know, and what is told of it."""

import copy
import hashlib
import pickle
import zlib
from dataclasses import replace
from datetime import timedelta
from functools import partial

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from anomaly import backtest
from anomaly.backtest import Labels
from anomaly.detector import fresh
from anomaly.finding import Change
from anomaly.judge import Judge
from anomaly.judgement import failures
from anomaly.judgement.failures import Row
from anomaly.judgement.rules import HOUR, Rules
from anomaly.learning import designs, examples
from anomaly.learning.examples import Examples, Failed, collect
from anomaly.learning.features import Features, Vocabulary
from anomaly.learning.forest import Forest
from anomaly.learning.model import dumps, hash_of, limit_at, loads, score_of
from anomaly.learning.training import Learnt
from core.errors import InvalidInput
from core.profile import Role
from telemetry.recorded import Recording, RemainingLife
from telemetry.window import Bools, Happenings
from tests.failing import START, Fleet, fleet


@pytest.fixture(scope="module")
def known() -> Fleet:
    return fleet()


@pytest.fixture(scope="module")
def learnt(known: Fleet) -> Learnt:
    found = backtest.learn(known.profile, known.recording(), known.labels(), Rules())
    assert found is not None
    return found


def collected(recording: Recording, known: Fleet, shows: int = 0) -> Examples:
    """All examples of a recording of a fleet. shows: for how many days before a failure it is known to show."""
    failed = known.labels().failed
    assert failed is not None
    device, component, time = failed
    return collect(
        known.profile,
        Features(known.profile, Vocabulary(attributes={})),
        recording.windows(),
        Failed(device=device, component=component, time=time, began=time - shows * 24 * HOUR),
        devices=np.ones(len(known.devices), dtype=bool),
        until=None,
        ticks=float(known.values.size),
        watched=recording.spans()[1],
    )


@pytest.mark.parametrize("shown", [60_000, 400])
def test_devices_that_were_not_learnt_from_are_warned_in_time(
    known: Fleet, monkeypatch: pytest.MonkeyPatch, shown: int
) -> None:
    # Whether a member is shown all of the healthy ticks or one in ten.
    monkeypatch.setattr(designs, "_ENOUGH", shown)
    rules = Rules(train_devices=tuple(range(0, 12, 2)))
    recording, labels = known.recording(), known.labels()
    found = backtest.learn(known.profile, recording, labels, rules)
    assert found is not None
    assert list(found.model.components) == ["heater"]
    assert (found.fold_of[1::2] == -1).all()
    assert set(found.fold_of[::2].tolist()) == {0, 1, 2, 3, 4}
    outcome = backtest.run(known.profile, recording, labels, rules, learnt=found)
    row = next(row for row in outcome.budgets if row.budget == 0.25)
    assert row.failures == 12
    assert row.recall is not None
    assert row.recall >= 0.9
    assert row.component_right == 1.0
    assert row.precision is not None
    assert row.precision >= 0.85


def test_a_budget_is_not_spent_on_alarms_that_warn_of_nothing_more(
    known: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = Rules(train_devices=tuple(range(0, 12, 2)), budgets=(2.0,))
    recording, labels = known.recording(), known.labels()
    learnt = backtest.learn(known.profile, recording, labels, rules)

    def row(model: Learnt | None) -> Row:
        (found,) = backtest.run(known.profile, recording, labels, rules, learnt=model).budgets
        return found

    few, unlearnt = row(learnt), row(None)
    # All that the budget allows would be five false alarms, and two failures told of too early.
    assert (few.recall, few.false) == (1.0, 0)
    monkeypatch.setattr(failures, "_MANY", 12)
    many = row(learnt)
    assert (many.factor or 0) > (few.factor or 0) > 0
    # Where nothing is learnt from failures they say nothing of thresholds either.
    assert row(None) == unlearnt


def test_what_is_learnt_until_a_date_judges_what_comes_after(known: Fleet) -> None:
    recording, labels = known.recording(), known.labels()
    border = int(recording.times[0]) + 360 * HOUR
    rules = Rules(train_until=border)
    found = backtest.learn(known.profile, recording, labels, rules)
    assert found is not None
    assert found.model.card["heater"]["failures"] == 12
    outcome = backtest.run(known.profile, recording, labels, rules, learnt=found)
    row = next(row for row in outcome.budgets if row.budget == 0.25)
    assert row.failures == 12
    assert row.recall is not None
    assert row.recall >= 0.75


def test_a_label_alone_teaches_nothing_where_nothing_shows(known: Fleet) -> None:
    noise = replace(known, values=np.random.default_rng(1).normal(50, 1, known.values.shape), events=[])
    recording, labels = noise.recording(), noise.labels()
    rules = Rules(train_devices=tuple(range(0, 12, 2)))
    found = backtest.learn(noise.profile, recording, labels, rules)
    assert found is not None
    row = next(
        r for r in backtest.run(noise.profile, recording, labels, rules, learnt=found).budgets if r.budget == 0.1
    )
    assert row.recall is not None
    assert row.recall <= 0.3


def test_lots_that_fail_are_told_apart_in_whatever_order_they_are_named() -> None:
    lots = tuple("abcdef"[device % 6] for device in range(36))
    known = fleet(devices=36)
    # In the other lots the same heat and the same code come to nothing.
    known = replace(known, failed=[(device, hour) for device, hour in known.failed if lots[device] in "be"])
    named = {f"d{device:02d}": {"lot": lot} for device, lot in enumerate(lots)}
    recording = replace(known.recording(), attributes=named)
    found = backtest.learn(known.profile, recording, known.labels(), Rules())
    assert found is not None
    features = Features(known.profile, found.model.vocabulary)
    at = features.names.index("lot")
    state = fresh(features.layout, 36)
    rows = []
    for window in recording.windows():
        for step in window.ticks():
            features.follow(step, state)
            now = [device for device, hour in known.failed if recording.times[0] + (hour - 2) * HOUR == step.time]
            rows += list(features.read(state)[now])
    heater = loads(packed := dumps(found.model), hashlib.sha256(packed).hexdigest()).components["heater"]
    chance = {}
    for lot in range(6):
        told = np.array(rows, dtype=np.float32)
        told[:, at] = lot
        chance["abcdef"[lot]] = float(np.median(heater.chance(told)))
    assert min(chance["b"], chance["e"]) > 5 * max(chance[lot] for lot in "acdf")
    assert found.model.usual[1, at] in range(6)


def test_too_few_failures_make_no_model(known: Fleet) -> None:
    failed = known.labels().failed
    assert failed is not None
    device, component, time = failed
    few = Labels(failed=(device[:4], component[:4], time[:4]))
    assert backtest.learn(known.profile, known.recording(), few, Rules()) is None
    assert backtest.learn(known.profile, known.recording(), Labels(), Rules()) is None


def test_a_feature_that_is_hardly_ever_known_before_failures_is_not_learnt_from(known: Fleet) -> None:
    # The hum is measured in healthy time alone: that it is missing must not become the sign of a failure.
    values = known.values.copy()
    for device, hour in known.failed:
        values[max(hour - 48, 0) : hour + 1, device, 1] = np.nan
        values[hour - 24 : hour, device, 0] -= 4
    blind = replace(known, values=values, events=[])
    rules = Rules(train_devices=tuple(range(0, 12, 2)))
    recording, labels = blind.recording(), blind.labels()
    found = backtest.learn(blind.profile, recording, labels, rules)
    assert found is not None
    row = next(
        r for r in backtest.run(blind.profile, recording, labels, rules, learnt=found).budgets if r.budget == 0.1
    )
    assert row.recall is not None
    assert row.recall <= 0.3


def test_what_has_failed_and_is_not_replaced_is_no_healthy_example(known: Fleet) -> None:
    def after(found: Examples) -> Bools:
        start = int(known.recording().times[0])
        inside = np.zeros(len(found.device), dtype=bool)
        for device, hour in known.failed:
            passed = (found.times - start) / HOUR - hour
            inside |= (found.device == device) & (passed > 0) & (passed <= 48) & ~(found.remaining[:, 0] <= 48)
        return inside

    replaced = collected(known.recording(), known)
    assert after(replaced).sum() > 800
    broken = collected(replace(known.recording(), replaced=Happenings()), known)
    assert not after(broken).any()
    assert len(broken.device) == len(replaced.device) - after(replaced).sum()


@pytest.fixture(scope="module")
def warm() -> Fleet:
    """Heat is the only sign, and of three spells one comes to nothing good."""
    known = fleet(devices=30, seed=5)
    random = np.random.default_rng(6)
    values = known.values.copy()
    for device in range(30):
        near = np.concatenate([np.arange(hour - 96, hour + 48) for at, hour in known.failed if at == device])
        free = np.setdiff1d(np.arange(24, 696), near)
        for hour in random.choice(free, 4, replace=False):
            values[hour - 24 : hour, device, 0] += 4
    return replace(known, values=values, events=[])


def snapshots(known: Fleet, whole: int) -> Fleet:
    """The same, where of all but some devices little more was kept than the time before failures."""
    random = np.random.default_rng(7)
    kept = np.zeros(known.values.shape[:2], dtype=bool)
    kept[:, :whole] = True
    for device, hour in known.failed:
        kept[hour - 50 : hour, device] = True
    for device in range(whole, len(known.devices)):
        first = int(random.integers(0, 600))
        kept[first : first + 30, device] = True
    kept[[0, -1]] = True
    return replace(known, values=np.where(kept[:, :, None], known.values, np.nan))


def test_where_little_but_the_time_before_failures_was_kept_the_chance_is_that_of_all_time(
    warm: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def chance(history: Fleet) -> float:
        """The mean of what is said in all of the warm spells, half a day after they began."""
        found = backtest.learn(history.profile, history.recording(), history.labels(), Rules())
        assert found is not None
        features = Features(warm.profile, found.model.vocabulary)
        state = fresh(features.layout, 30)
        said = []
        part = found.model.components["heater"]
        heat = warm.values[:, :, 0]
        spell = np.array([heat[max(at - 12, 0) : at + 1].mean(axis=0) > 53 for at in range(len(heat))])
        start = int(warm.recording().times[0])
        for window in warm.recording().windows():
            for step in window.ticks():
                features.follow(step, state)
                said += list(part.chance(features.read(state)[spell[(step.time - start) // HOUR]]))
        return float(np.mean(said))

    truth = chance(warm)
    seldom = snapshots(warm, 2)
    assert chance(seldom) == pytest.approx(truth, abs=0.05)
    monkeypatch.setattr(examples._Coverage, "seldom", lambda *_: 1.0)
    assert chance(seldom) > truth + 0.1


def test_of_what_was_kept_more_often_members_are_shown_some_of_each_failure(warm: Fleet) -> None:
    assert collected(warm.recording(), warm).seldom == 1.0
    found = collected(snapshots(warm, 6).recording(), warm)
    # Of 24 devices 30 hours of some 620 were kept, of 6 all.
    assert 3 < found.seldom < 5
    healthy = np.asarray((found.remaining > 48).all(axis=1))
    assert set(found.weight[~healthy].tolist()) == {1.0}
    assert set(found.weight[healthy].tolist()) == {found.seldom}
    fold_of = designs.dealt(found, 48, 30)
    seen = []
    for design in designs.designs(found, 0, fold_of, 48, 6):
        told = designs.shown(found, design, healthy, fold_of, 0)
        own = ~design.knows_not(fold_of)[found.device]
        step = designs.every(found, design.reach)
        assert told[own & ~healthy].sum() == pytest.approx((own & ~healthy).sum() / step, abs=1)
        assert told[own & healthy].all()
        near = told & (found.remaining[:, 0] <= design.reach)
        assert set(found.device[near].tolist()) == set(found.device[own].tolist())
        seen.append(told)
    assert np.any(seen, axis=0)[~healthy].mean() > 0.8


def test_what_shows_long_before_it_fails_is_no_healthy_example(known: Fleet) -> None:
    plain, shows = (collected(known.recording(), known, days) for days in (0, 5))
    left = (plain.remaining[:, 0] > 48) & (plain.remaining[:, 0] <= 5 * 24)
    assert left.sum() > 24 * 60
    assert len(shows.device) == len(plain.device) - left.sum()
    assert not ((shows.remaining[:, 0] > 48) & (shows.remaining[:, 0] <= 5 * 24)).any()
    assert (shows.remaining[:, 0] <= 48).sum() == (plain.remaining[:, 0] <= 48).sum()


def test_without_healthy_time_there_is_no_model(known: Fleet) -> None:
    longer = known.profile.model_copy(update={"horizon": timedelta(days=20)})
    assert backtest.learn(longer, known.recording(), known.labels(), Rules()) is not None
    broken = replace(known.recording(), replaced=Happenings())
    assert backtest.learn(longer, broken, known.labels(), Rules()) is None


def test_a_model_says_why_and_how_long() -> None:
    known = fleet(24)
    rules = Rules(train_devices=tuple(range(0, 24, 2)))
    learnt = backtest.learn(known.profile, known.recording(), known.labels(), rules)
    assert learnt is not None
    judge = Judge(known.profile, learnt.model)
    state = judge.fresh(len(known.devices))
    opened = []
    for window in known.recording().windows():
        opened += [c for c in judge.run(window, state) if c.change is Change.OPENED]
    assert {c.detector for c in opened} == {"failure_model"}
    right = [
        c
        for c in opened
        for device, hour in known.failed[2::4] + known.failed[3::4]
        if c.device == device and timedelta(0) <= START + timedelta(hours=hour) - c.at <= known.profile.horizon
    ]
    assert len(right) >= 16
    for change in right:
        assert change.failure_mode == "failing"
        assert {e.signal for e in change.evidence} <= {"heat", "hum", "E7", "heater", "fan", "last maintenance"}
        assert sum(e.contribution for e in change.evidence) == pytest.approx(1.0)
        assert "since" in change.because
    assert np.mean([c.evidence[0].signal in {"E7", "heat"} for c in right]) >= 0.9
    told = [c.prognosis for c in right if c.prognosis is not None]
    assert len(told) >= len(right) / 2
    for prognosis in told:
        assert timedelta(0) <= prognosis.p10 <= prognosis.p50 <= prognosis.p90 <= known.profile.horizon


def test_many_ticks_at_once_are_judged_as_one_by_one(known: Fleet, learnt: Learnt) -> None:
    judge = Judge(known.profile, learnt.model)
    whole, single = judge.fresh(12), judge.fresh(12)
    (window,) = known.recording().windows()
    found = [c for c in judge.run(window, whole) if c.change is not Change.EXTENDED]
    piecewise = []
    rest = window
    while len(rest.times):
        piece, rest = rest.cut(int(rest.times[0]) + HOUR)
        piecewise += [c for c in judge.run(piece, single) if c.change is not Change.EXTENDED]
    assert found == piecewise
    assert len(found) > 20


def test_the_remaining_life_is_asked_where_it_is_known() -> None:
    known = fleet(14)
    recording = known.recording()
    rules = Rules(train_devices=tuple(range(11)), life_cap=48.0)
    ahead = [(d, h - back) for d, h in known.failed if d >= 11 for back in (4, 12, 20)]
    truth = RemainingLife(
        device=np.array([d for d, _ in ahead]),
        times=np.array([int(recording.times[0]) + h * HOUR for _, h in ahead]),
        ticks=np.array([next(f for e, f in known.failed if e == d and f > h) - h - 1.0 for d, h in ahead]),
    )
    labels = replace(known.labels(), life=truth)
    found = backtest.learn(known.profile, recording, labels, rules)
    outcome = backtest.run(known.profile, recording, labels, rules, learnt=found)
    assert outcome.life is not None
    assert outcome.life.predicted == len(ahead)
    assert outcome.life.rmse is not None
    assert outcome.life.rmse < 8
    assert outcome.life.inside_p10_p90 is not None
    assert outcome.life.inside_p10_p90 >= 0.5


def test_a_stored_model_judges_as_before_and_a_changed_one_is_refused(known: Fleet, learnt: Learnt) -> None:
    packed = dumps(learnt.model)
    again = loads(packed, hashlib.sha256(packed).hexdigest())
    rows = np.random.default_rng(0).normal(50, 5, (20, learnt.model.usual.shape[1])).astype(np.float32)
    before, after = learnt.model.components["heater"], again.components["heater"]
    assert np.array_equal(before.chance(rows), after.chance(rows))
    assert before.remaining is not None
    assert after.remaining is not None
    assert np.array_equal(before.remaining.predict(rows, 48.0), after.remaining.predict(rows, 48.0))
    assert again.vocabulary == learnt.model.vocabulary
    with pytest.raises(InvalidInput, match="its hash differs"):
        loads(packed[:-1] + b"x", hashlib.sha256(packed).hexdigest())
    plain = zlib.decompress(packed)
    for strange in (
        pickle.dumps(partial(eval, "1 + 1")),
        zlib.compress(b"a model of another time"),
        zlib.compress(plain.replace(b"intercept", b"intersept").replace(b"members", b"mambers")),
    ):
        with pytest.raises(InvalidInput, match="of another kind than models are now; train it again"):
            loads(strange, hashlib.sha256(strange).hexdigest())


def test_a_text_that_a_fit_never_met_is_not_known_to_it() -> None:
    random = np.random.default_rng(2)
    rows = random.normal(size=(4000, 3)).astype(np.float32)
    rows[:, 1] = random.choice([0, 1, 3, 4, 6, np.nan], 4000)
    texts = np.array([False, True, False])
    fails = (rows[:, 0] > 0) ^ (np.isnan(rows[:, 1]) | (rows[:, 1] == 3))
    fit = HistGradientBoostingClassifier(categorical_features=texts, max_iter=40).fit(rows, fails)
    forest = Forest.of(fit, rows, texts)
    asked = rows[:700].copy()
    asked[:, 1] = np.repeat([0, 2, 3, 5, 40, np.nan, 6], 100)
    before = asked.copy()
    for same in (forest, Forest.unpacked(forest.packed()), copy.deepcopy(forest)):
        assert same.ask(asked) == pytest.approx(fit.decision_function(asked), abs=1e-12)
    assert np.array_equal(asked, before, equal_nan=True)


def test_a_limit_moves_scores_by_its_factor() -> None:
    chance = np.array([0.1, 0.5, 0.9, 0.999])
    assert score_of(chance, limit_at(0.5, 2.0)) == pytest.approx(score_of(chance, 0.5) / 2.0)
    assert score_of(np.array([0.5]), 0.5) == pytest.approx(1.0)


def test_a_profile_that_means_something_else_has_another_hash(known: Fleet) -> None:
    longer = known.profile.model_copy(update={"horizon": timedelta(days=9)})
    assert hash_of(longer) != hash_of(known.profile)
    titled = known.profile.model_copy(update={"title": known.profile.signals["heat"].title})
    assert hash_of(titled) == hash_of(known.profile)


def test_what_the_operating_mode_does_to_a_signal_hides_no_failure() -> None:
    known = fleet(24, seed=5)
    random = np.random.default_rng(5)
    mode = random.choice([0, 2, 3], known.values.shape[:2], p=[0.5, 0.3, 0.2])
    level = np.array([0.0, 0.0, 40.0, -25.0])
    values = np.stack([known.values[:, :, 0] + level[mode], mode.astype(float)], axis=2)
    signals = known.profile.signals
    as_context = signals["hum"].model_copy(update={"role": Role.CONTEXT, "component": None})
    context = known.profile.model_copy(update={"signals": {**signals, "hum": as_context}})
    rules = Rules(train_devices=tuple(range(0, 24, 2)))
    recalls = {}
    for name, profile in (("measure", known.profile), ("context", context)):
        moded = replace(known, profile=profile, values=values, events=[])
        recording, labels = moded.recording(), moded.labels()
        learnt = backtest.learn(profile, recording, labels, rules)
        assert learnt is not None
        packed = dumps(learnt.model)
        again = replace(learnt, model=loads(packed, hashlib.sha256(packed).hexdigest()))
        outcome = backtest.run(profile, recording, labels, rules, learnt=again)
        recalls[name] = next(row.recall for row in outcome.budgets if row.budget == 0.25)
        if name == "measure":
            assert again.model.conditions is None
            continue
        # What is told of the heat is what is measured in the mode the device is in.
        told = [(c, e) for c in outcome.findings for e in c.evidence if e.signal == "heat"]
        assert len(told) >= 10
        for change, evidence in told:
            now = level[mode[(change.at - START) // timedelta(hours=1) - 1, change.device]] + 50
            assert evidence.normal_low is not None
            assert evidence.normal_high is not None
            assert evidence.normal_low - 3 < now < evidence.normal_high + 3
            assert abs(evidence.seen - now) < 12
    assert recalls["context"] is not None
    assert recalls["measure"] is not None
    assert recalls["context"] >= 0.9
    assert recalls["measure"] <= 0.5
