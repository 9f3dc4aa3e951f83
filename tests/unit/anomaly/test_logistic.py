"""Regressions beside the trees: what they are told, what they add, and where they are left out."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from anomaly import backtest
from anomaly.judgement.rules import Rules
from anomaly.learning import training
from anomaly.learning.logistic import Logistic, Scale
from core.profile import parse
from tests.failing import PROFILE, Fleet, fleet


def numbers() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """[4000, 4] a number, a counter that is mostly 0, a text and what is never known; which are texts; which fail."""
    random = np.random.default_rng(4)
    rows = random.normal([20, 0, 0, np.nan], [3, 1, 1, 1], (4000, 4)).astype(np.float32)
    rows[:, 1] = np.where(random.random(4000) < 0.96, 0, random.lognormal(3, 2, 4000)).astype(np.float32)
    rows[:, 2] = random.choice([0, 1, 3, np.nan], 4000)
    odds = np.log1p(rows[:, 1]) + (rows[:, 0] - 20) / 3 + 3 * (rows[:, 2] == 3) - 5
    return rows, np.array([False, False, True, False]), random.random(4000) < 1 / (1 + np.exp(-odds))


def scale_of(rows: np.ndarray, texts: np.ndarray) -> Scale:
    return Scale.of(rows, np.nanquantile(np.nan_to_num(rows), (0.05, 0.5, 0.95), axis=0).astype(np.float32), texts)


def test_a_number_is_told_by_how_far_it_is_from_usual() -> None:
    rows, texts, _ = numbers()
    scale = scale_of(rows, texts)
    told = scale.told(np.array([[20, 0, 1, np.nan], [30, 20, 3, 1], [np.nan, 20_000, np.nan, 1]], dtype=np.float32))
    assert told[0] == pytest.approx([0, 0, 0, 0], abs=0.05)
    # Twice the usual width; a counter by what it is where it is not 0.
    assert told[1] == pytest.approx([np.arcsinh(2.0), np.arcsinh(1.0), 0, np.arcsinh(1.0)], abs=0.2)
    assert told[2] == pytest.approx([0, np.arcsinh(1000), 0, np.arcsinh(1.0)], abs=0.2)
    assert np.isfinite(scale.told(np.array([[np.inf, -np.inf, 0, 3e38]], dtype=np.float32))).all()


def test_it_is_what_scikit_learn_learns_from_the_same() -> None:
    rows, texts, near = numbers()
    scale = scale_of(rows, texts)
    found = Logistic.learn(scale, rows, near, 0.01)
    told = scale.told(rows)
    told /= np.where(told.std(axis=0) > 0, told.std(axis=0), 1.0)
    ones = np.stack([rows[:, 2] == place for place in range(4)], axis=1)
    whole = np.concatenate([told, ones], axis=1)
    theirs = LogisticRegression(C=0.01, max_iter=300).fit(whole, near)
    assert found.ask(rows) == pytest.approx(theirs.decision_function(whole), abs=1e-9)
    assert found.weights[1] > 0
    assert found.texts[2][3] > max(found.texts[2][:3])


def test_a_text_that_it_never_met_says_nothing() -> None:
    rows, texts, near = numbers()
    found = Logistic.learn(scale_of(rows, texts), rows, near, 0.01)
    asked = np.repeat(rows[:1], 4, axis=0)
    asked[:, 2] = [np.nan, 2, 4, 150]
    assert len(set(found.ask(asked).tolist())) == 1


def test_a_mean_says_the_mean_and_what_is_stored_says_the_same() -> None:
    rows, texts, near = numbers()
    scale = scale_of(rows, texts)
    # Of the last text the first part knows nothing.
    parts = [Logistic.learn(scale, rows[own], near[own], 0.01) for own in (~(rows[:, 2] == 3), slice(2000))]
    both = Logistic.mean(parts, 0.5)
    mean = np.mean([part.ask(rows) for part in parts], axis=0)
    assert both.ask(rows) == pytest.approx(0.5 * mean, abs=1e-9)
    assert np.array_equal(Logistic.unpacked(both.packed()).ask(rows), both.ask(rows))


def counted(devices: int = 400, hours: int = 240) -> Fleet:
    """Errors are counted. Each device comes to have some within two days, and most go on with them; the more it has the likelier it
    fails then.
    """
    random = np.random.default_rng(10)
    values = random.normal(5, 0.4, (hours, devices, 2))
    values[:, :, 0] = 0
    failed = []
    for device in range(devices):
        hour = int(random.integers(60, hours - 30))
        fails = device % 40 < 2
        errors = random.lognormal(5 if fails else 2, 1.5)
        values[hour:, device, 0] = errors
        values[hour - 48 : hour, device, 0] = errors * np.linspace(0, 1, 48) ** 2
        if fails:
            values[hour:, device] = np.nan
            failed.append((device, hour))
    profile = PROFILE.replace("Heat, unit: Cel, range: [0, 100]", "Errors, unit: count, range: [0, 1000000]")
    return Fleet(profile=parse(profile, "box.yaml"), values=values.round(2), events=[], failed=failed)


def test_where_few_failures_are_known_and_more_is_worse_a_regression_foresees_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = counted()
    rules = Rules(train_devices=tuple(device for device in range(400) if device % 2))
    recording, labels = known.recording(), known.labels()
    recalls: list[float] = []
    for worth in (training._WORTH, np.inf):
        monkeypatch.setattr(training, "_WORTH", worth)
        found = backtest.learn(known.profile, recording, labels, rules)
        assert found is not None
        assert found.model.card["heater"]["regression"] is (worth < 1)
        assert (found.model.components["heater"].beside is not None) is (worth < 1)
        outcome = backtest.run(known.profile, recording, labels, rules, learnt=found)
        recalls.append(sum(row.recall or 0.0 for row in outcome.budgets if row.budget and row.budget <= 0.25))
    with_regression, by_trees = recalls
    assert with_regression >= by_trees + 0.5


def test_where_a_sign_is_of_a_kind_and_not_of_a_size_trees_speak_alone() -> None:
    known = fleet(24)
    # Either too warm or too cold.
    values = known.values.copy()
    for device, hour in known.failed[::2]:
        values[hour - 24 : hour, device, 0] -= 8
    known = replace(known, values=values, events=[])
    found = backtest.learn(known.profile, known.recording(), known.labels(), Rules())
    assert found is not None
    assert found.model.card["heater"]["regression"] is False
    assert found.model.components["heater"].beside is None
