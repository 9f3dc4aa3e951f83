"""What conditions make of signals: learnt from a fleet, so that values of any conditions can be compared."""

import numpy as np
import pytest

from anomaly.learning.conditions import Conditions, held
from telemetry.window import Floats, Ints

LEVEL, WIDTH = np.array([20.0, 900.0, -50.0]), np.array([1.0, 4.0, 0.5])


def ticks(seed: int = 0, devices: int = 10, each: int = 400) -> tuple[Floats, Floats, Ints]:
    """Contexts (a mode of 0, 3 or 4; a room that warms), values (by mode and room; by neither), and their devices."""
    random = np.random.default_rng(seed)
    device = np.repeat(np.arange(devices), each)
    mode, room = random.choice(3, len(device), p=[0.6, 0.3, 0.1]), random.normal(20, 5, len(device))
    level = LEVEL[mode] + 0.8 * (room - 20) + random.normal(0, 1, len(device)) * WIDTH[mode]
    other = random.normal(7, 2, len(device)) + device
    return np.stack([np.array([0.0, 3.0, 4.0])[mode], room], axis=1), np.stack([level, other], axis=1), device


def learnt(context: Floats, values: Floats, device: Ints) -> Conditions:
    found = Conditions.learn(("mode", "room"), ("level", "other"), context, values, device)
    assert found is not None
    return found


def test_only_what_conditions_explain_is_corrected_and_is_alike_in_all_of_them() -> None:
    found = learnt(*ticks())
    assert found.signals == ("level",)
    context, values, _ = ticks(1)
    corrected = found.corrected(values[:, :1], context)[:, 0]
    alike = [corrected[context[:, 0] == mode] for mode in (0, 3, 4)]
    spread = [own.std() for own in alike]
    assert max(spread) < 1.5 * min(spread)
    assert max(abs(own.mean() - corrected.mean()) for own in alike) < 0.15 * max(spread)
    assert abs(np.corrcoef(corrected, context[:, 1])[0, 1]) < 0.1
    assert found.as_measured(corrected[:, None], context) == pytest.approx(values[:, :1])


def test_a_context_that_is_not_known_is_the_most_usual_one() -> None:
    found = learnt(*ticks())
    usual = found.corrected(np.array([[20.0]]), np.array([[0.0, np.nan]]))
    assert usual == pytest.approx(found.corrected(np.array([[20.0]]), np.array([[0.0, found.centre[0, 1]]])))
    assert found.corrected(np.array([[20.0]]), np.full((1, 2), np.nan)) == pytest.approx(usual)
    assert np.isnan(found.corrected(np.array([[np.nan]]), np.array([[0.0, 20.0]]))).all()


def test_what_tells_devices_apart_alone_explains_nothing() -> None:
    context, values, device = ticks()
    context[:, 0], context[:, 1] = device, 20.0
    values[:, 0] = np.random.default_rng(3).normal(0, 1, len(device)) + 50 * device
    assert Conditions.learn(("mode", "room"), ("level", "other"), context, values, device) is None


def test_what_is_far_out_for_once_moves_nothing() -> None:
    context, values, device = ticks()
    wild = values.copy()
    wild[7, 0] = 1e9
    odd = context.copy()
    odd[11, 1] = -1e6
    plain, other = learnt(context, values, device), learnt(odd, wild, device)
    now, where = np.array([[900.0]]), np.array([[3.0, 24.0]])
    assert other.corrected(now, where) == pytest.approx(plain.corrected(now, where), abs=0.5)
    # A broken sensor of the room, later: as if it were a little warmer than ever.
    assert np.abs(plain.corrected(now, np.array([[3.0, 1e9]])) - plain.corrected(now, np.array([[3.0, 37.0]]))) < 12


def test_too_few_devices_tell_nothing_of_others() -> None:
    assert Conditions.learn(("mode", "room"), ("level", "other"), *ticks(devices=3)) is None
    context, values, device = ticks(devices=4)
    assert Conditions.learn(("mode", "room"), ("level", "other"), context, values, device) is not None


def test_signals_and_contexts_that_are_hardly_ever_there_do_no_harm() -> None:
    context, values, device = ticks()
    context[5:, 1] = np.nan
    values[:, 1] = np.nan
    values[::3, 0] = np.nan
    found = learnt(context, values, device)
    assert found.signals == ("level",)
    assert found.corrected(np.array([[900.0]]), np.array([[3.0, np.nan]]))[0, 0] < 300
    # Devices that only send events measure nothing at all.
    nothing = np.full((len(device), 2), np.nan)
    assert Conditions.learn(("mode", "room"), ("level", "other"), nothing, nothing, device) is None


def test_the_newest_known_context_holds() -> None:
    nan = np.nan
    context = np.array([[[nan, 1.0]], [[5.0, nan]], [[nan, nan]]])
    assert held(context, np.array([[4.0, nan]])).tolist() == [[[4.0, 1.0]], [[5.0, 1.0]], [[5.0, 1.0]]]
    assert np.isnan(held(context, np.full((1, 2), nan))[0, 0, 0])
    assert held(context[:0], np.zeros((1, 2))).shape == (0, 1, 2)
