"""When a model is learnt anew from what people confirmed, and thresholds from what was normal."""

from collections import Counter

import pytest

from proactive.learning import Learning, due

BUDGET = 0.1


@pytest.mark.parametrize(
    ("confirmed", "known", "same", "decided"),
    [
        ({}, None, False, Learning.FEW),
        ({"fan": 4, "heater": 4}, None, False, Learning.FEW),
        ({"fan": 4}, 4, True, Learning.FEW),
        ({"fan": 5}, None, False, Learning.FIRST),
        ({"fan": 5, "heater": 2}, 6, True, Learning.NOTHING_NEW),
        ({"fan": 5, "heater": 3}, 6, True, Learning.MORE),
        ({"fan": 5}, 0, True, Learning.MORE),
        ({"fan": 5}, 5, False, Learning.OTHER_PROFILE),
    ],
)
@pytest.mark.parametrize("months", [0.0, 29.0])
def test_a_model_is_due_when_enough_new_is_known(
    confirmed: dict[str, int], known: int | None, months: float, *, same: bool, decided: Learning
) -> None:
    newest = None if known is None else {"failures": known, "device_months": 0.0}
    found = due(Counter(confirmed), months, BUDGET, newest, same_profile=same)
    assert found is decided
    assert found.acts == (decided not in {Learning.FEW, Learning.NOTHING_NEW})


@pytest.mark.parametrize(
    ("months", "known", "same", "decided"),
    [
        # Three false alarms are allowed in 30 device-months.
        (29.0, None, False, Learning.FEW),
        (30.0, None, False, Learning.THRESHOLDS),
        (59.0, {"device_months": 11.0, "span_months": 30.0}, True, Learning.NOTHING_NEW),
        (60.0, {"device_months": 11.0, "span_months": 30.0}, True, Learning.LONGER),
        (60.0, {"device_months": 30.0}, True, Learning.LONGER),
        (31.0, {"device_months": 30.0}, False, Learning.OTHER_PROFILE),
    ],
)
def test_thresholds_are_due_when_the_history_is_long_enough(
    months: float, known: dict[str, float] | None, *, same: bool, decided: Learning
) -> None:
    newest = None if known is None else {"failures": 0, **known}
    found = due(Counter({"fan": 4}), months, BUDGET, newest, same_profile=same)
    assert found is decided
    assert found.acts == (decided not in {Learning.FEW, Learning.NOTHING_NEW})
