"""Curves through points: what they say of a signal in a context, and when they are believed."""

from collections.abc import Callable

import numpy as np
import pytest

from anomaly.detector import Columns, fresh
from anomaly.detectors.curves import POINTS, Curves
from telemetry.window import Floats

MEMORY = np.full((1, 1), 300.0)


def shown(
    contexts: Floats, values: Floats, line: Callable[[Floats], float] = lambda _: 0.0, *, modes: bool = False
) -> tuple[Curves, Columns]:
    """Curves of one device and one signal after contexts [T, C] and values [T]. line: what the straight line says of a context."""
    curves = Curves(np.full(contexts.shape[1], 100.0), np.full(contexts.shape[1], modes), 1)
    state = fresh(curves.layout, 1)
    for context, value in zip(contexts, values, strict=True):
        told(curves, state, context)
        curves.learn(np.array([[value]]), np.array([[line(context)]]), np.ones((1, 1)), MEMORY, state)
    return curves, state


def told(curves: Curves, state: Columns, context: Floats) -> tuple[float, bool]:
    """What they say of the signal in a context, and whether they know."""
    said, known = curves.follow(context[None, :], np.zeros((1, 1, len(context))), np.full((1, 1), 12.0), state)
    return float(said[0, 0]), bool(known[0, 0])


def test_modes_are_told_apart_and_learnt_from_two_values_each() -> None:
    modes = np.array([[0.0], [3.0], [1.0], [0.0], [1.0], [3.0]])
    curves, state = shown(modes, np.array([5.0, 90.0, -40.0, 5.0, -40.0, 90.0]))
    for mode, value in ((0.0, 5.0), (1.0, -40.0), (3.0, 90.0)):
        said, known = told(curves, state, np.array([mode]))
        assert known
        assert said == pytest.approx(value, abs=0.1)
    assert told(curves, state, np.array([2.0]))[1] is False


def test_between_two_points_the_curve_is_straight() -> None:
    contexts = np.tile([[0.0], [40.0], [100.0]], (10, 1))
    curves, state = shown(contexts, np.tile([0.0, 80.0, 20.0], 10))
    assert told(curves, state, np.array([43.0]))[0] == pytest.approx(77.0, abs=0.5)
    assert told(curves, state, np.array([38.0]))[0] == pytest.approx(76.0, abs=0.5)


def test_points_that_were_told_apart_before_the_context_moved_become_one() -> None:
    random = np.random.default_rng(1)
    modes = np.arange(30.0, 160.0, 15.0)
    contexts = np.concatenate([np.linspace(10, 16, 40), random.choice(modes, 900) + random.normal(0, 0.1, 900)])
    curves, state = shown(contexts[:, None], np.sin(contexts / 15) * 50)
    points = state["point"][0, 0][state["times"][0, 0] > 0]
    assert len(points) == POINTS
    assert all(np.abs(points - mode).min() < 0.5 for mode in modes)
    assert told(curves, state, np.array([75.0]))[0] == pytest.approx(np.sin(75 / 15) * 50, abs=1)


def test_two_contexts_share_what_they_explain() -> None:
    random = np.random.default_rng(2)
    contexts = np.stack([random.choice([0.0, 1.0, 2.0], 600), random.uniform(0, 30, 600)], axis=1)
    by_mode = np.array([100.0, -50.0, 30.0])
    values = by_mode[contexts[:, 0].astype(int)] + contexts[:, 1] ** 2 / 10 + random.normal(0, 1, 600)
    curves, state = shown(contexts, values)
    assert curves.believed(state).all()
    for mode, room in ((0, 25.0), (1, 5.0), (2, 15.0)):
        said, _ = told(curves, state, np.array([float(mode), room]))
        assert said == pytest.approx(by_mode[mode] + room**2 / 10, abs=5)


def test_curves_are_not_believed_where_a_straight_line_does_as_well() -> None:
    random = np.random.default_rng(3)
    contexts = random.uniform(0, 30, (400, 1))
    values = 3 * contexts[:, 0] + random.normal(0, 1, 400)
    curves, state = shown(contexts, values, lambda context: 3 * float(context[0]))
    assert not curves.believed(state).any()


def test_what_only_follows_in_time_is_not_believed() -> None:
    """A context and a signal that rise together say nothing of each other: what the signal was lately tells as much."""
    contexts = np.linspace(0, 30, 600)[:, None]
    values = np.repeat(np.random.default_rng(4).normal(0, 50, 12), 50)
    curves, state = shown(contexts, values)
    assert float(state["by_curve"][0, 0]) < float(state["by_line"][0, 0]) / 3
    assert not curves.believed(state).any()


def test_a_context_that_was_never_measured_is_left_out() -> None:
    random = np.random.default_rng(5)
    contexts = np.stack([random.choice([0.0, 1.0, 2.0], 100), np.full(100, np.nan)], axis=1)
    curves, state = shown(contexts, np.array([5.0, -20.0, 70.0])[contexts[:, 0].astype(int)])
    for context in ([2.0, np.nan], [np.nan, np.nan]):
        said, known = told(curves, state, np.array(context))
        assert known
        assert said == pytest.approx(70.0, abs=0.5)


def test_modes_have_nothing_between_them_however_far_apart_their_numbers_are() -> None:
    numbers = np.array([0.0, 1.0, 2.0, 3.0, 500.0])
    heights = np.array([5.0, -60.0, 80.0, 20.0, -10.0])
    at = np.random.default_rng(6).choice(5, 400)
    for modes in (True, False):
        curves, state = shown(numbers[at, None], heights[at], modes=modes)
        said = [told(curves, state, np.array([number]))[0] for number in numbers]
        assert bool(np.abs(said - heights).max() < 1) is modes
