"""When a model is learnt anew from what people confirmed."""

from collections import Counter

import pytest

from proactive.learning import Learning, due


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
def test_it_is_due_when_enough_new_is_known(
    confirmed: dict[str, int], known: int | None, *, same: bool, decided: Learning
) -> None:
    newest = None if known is None else {"failures": known}
    found = due(Counter(confirmed), newest, same_profile=same)
    assert found is decided
    assert found.acts == (decided not in {Learning.FEW, Learning.NOTHING_NEW})
