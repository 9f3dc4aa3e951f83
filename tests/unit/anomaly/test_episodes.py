"""When scripted scores open and close episodes, where one fault may show in several questions."""

import numpy as np
import pytest

from anomaly.detector import Track, fresh
from anomaly.episodes import Episodes

HOUR = 3_600_000_000
PARTS = ("fan", "pump")
ON, OFF = 2, 3


def told(*scores: tuple[float, float], explains: bool = False, rivals: bool = False) -> list[tuple[int, str, str]]:
    """The hour, what happened and to which part, from the scores of fan and pump. explains: the fan explains the pump. rivals: what
    may be one fault.
    """
    tracks = [
        Track(component=part, failure_mode="abnormal", kind="degradation", on_delay=ON, off_delay=OFF, off_below=0.8)
        for part in PARTS
    ]
    either = np.array([[False, True], [True, False]])
    episodes = Episodes(tracks, np.triu(either) & explains, either & rivals)
    state = fresh(episodes.layout, 1)
    changes = []
    for hour, row in enumerate(scores):
        steps = episodes.step(hour * HOUR, np.ones(1, dtype=bool), np.array([row]), state)
        changes += [(hour, "closed", PARTS[mode]) for mode in steps.closed[1].tolist()]
        changes += [(hour, "opened", PARTS[mode]) for mode in steps.opened[1].tolist()]
    return changes


def test_what_is_not_told_apart_is_told_once() -> None:
    both = [(1.5, 1.4)] * 2 + [(1.6, 2.0)] * 10
    assert told(*both) == [(1, "opened", "fan"), (1, "opened", "pump")]
    assert told(*both, rivals=True) == [(1, "opened", "fan")]


def test_the_stronger_of_two_is_told() -> None:
    assert told(*[(1.4, 1.5)] * 4, rivals=True) == [(1, "opened", "pump")]


def test_what_is_twice_as_strong_is_a_fault_of_its_own() -> None:
    assert told(*[(1.5, 1.2)] * 3, *[(1.5, 2.9)] * 3, (1.5, 3.1), rivals=True) == [
        (1, "opened", "fan"),
        (6, "opened", "pump"),
    ]


def test_what_goes_on_after_the_other_has_ended_is_told_then() -> None:
    ended = [(1.5, 1.2)] * 3 + [(0.7, 1.2)] * 4
    assert told(*ended, rivals=True) == [(1, "opened", "fan"), (5, "closed", "fan"), (5, "opened", "pump")]


def test_while_nobody_knows_how_strong_the_open_one_is_the_other_waits() -> None:
    assert told(*[(1.5, 1.2)] * 3, *[(np.nan, 9.0)] * 5, rivals=True) == [(1, "opened", "fan")]


@pytest.mark.parametrize("how", ["explains", "rivals"])
def test_what_ended_with_what_explains_it_is_not_told_afterwards(how: str) -> None:
    # The pump's own episode is not over yet when the fan's is: its score is still in the deadband.
    fading = [(2.0, 1.2)] * 3 + [(0.7, 0.9)] * 6
    assert told(*fading, explains=how == "explains", rivals=how == "rivals") == [
        (1, "opened", "fan"),
        (5, "closed", "fan"),
    ]


def test_what_is_explained_waits_however_strong_it_is() -> None:
    assert told(*[(1.5, 1.2)] * 2, *[(1.5, 9.0)] * 5, explains=True) == [(1, "opened", "fan")]


@pytest.mark.parametrize("how", ["explains", "rivals"])
def test_the_stronger_of_two_is_told_though_it_came_a_little_later(how: str) -> None:
    later = [(0.5, 1.2), (1.5, 1.3), *[(1.6, 1.4)] * 4]
    assert told(*later, explains=how == "explains", rivals=how == "rivals") == [(2, "opened", "fan")]
    assert told(*later) == [(1, "opened", "pump"), (2, "opened", "fan")]


def test_what_came_first_and_is_stronger_is_told_at_once() -> None:
    assert told((0.5, 1.5), *[(1.2, 1.6)] * 4, rivals=True) == [(1, "opened", "pump")]


@pytest.mark.parametrize("then", [0.5, 1.25])
def test_what_waits_for_something_stronger_is_told_when_that_fades(then: float) -> None:
    # After a single tick it is normal again, or the weaker of the two.
    fading = [(0.5, 1.2), (1.5, 1.3), *[(then, 1.3)] * 3]
    assert told(*fading, rivals=True) == [(2, "opened", "pump")]


def test_what_is_explained_itself_keeps_nothing_waiting() -> None:
    tracks = [
        Track(component=part, failure_mode="abnormal", kind="degradation", on_delay=delay, off_delay=OFF, off_below=0.8)
        for part, delay in (("motor", 1), ("fan", 9), ("pump", 1))
    ]
    # The motor explains the fan, the fan the pump.
    episodes = Episodes(tracks, np.eye(3, k=1, dtype=bool))
    state = fresh(episodes.layout, 1)
    one = np.ones(1, dtype=bool)
    assert episodes.step(0, one, np.array([[2.0, 1.5, 1.2]]), state).opened[1].tolist() == [0, 2]
    state = fresh(episodes.layout, 1)
    assert episodes.step(0, one, np.array([[0.5, 1.5, 1.2]]), state).opened[1].tolist() == []
