from datetime import UTC, datetime

import pytest

from core.errors import Conflict, InvalidInput
from proactive.ticket import ALLOWED, Resolution, Standing, TicketState, change

AT = datetime(2026, 3, 1, tzinfo=UTC)


def standing(state: TicketState) -> Standing:
    ended = state in (TicketState.SOLVED, TicketState.CLOSED)
    return Standing(state=state, resolution=Resolution.CONFIRMED if ended else None, solved_at=AT if ended else None)


@pytest.mark.parametrize("to", TicketState)
@pytest.mark.parametrize("state", TicketState)
def test_only_the_allowed_changes_happen(state: TicketState, to: TicketState) -> None:
    resolution = Resolution.CONFIRMED if to is TicketState.SOLVED else None
    if to in ALLOWED[state]:
        after = change(standing(state), to, resolution, AT)
        assert after.state is to
        assert (after.resolution is not None) == (to in (TicketState.SOLVED, TicketState.CLOSED))
    else:
        with pytest.raises(Conflict, match=f"that is {state} cannot become {to}"):
            change(standing(state), to, resolution, AT)


def test_solving_takes_a_resolution() -> None:
    with pytest.raises(InvalidInput, match="takes a resolution: confirmed, no_fault_found"):
        change(standing(TicketState.OPEN), TicketState.SOLVED, None, AT)


def test_a_resolution_goes_only_with_solved() -> None:
    with pytest.raises(InvalidInput, match="goes with the state solved"):
        change(standing(TicketState.OPEN), TicketState.PENDING, Resolution.CONFIRMED, AT)


def test_closing_keeps_the_verdict() -> None:
    assert change(standing(TicketState.SOLVED), TicketState.CLOSED, None, AT).resolution is Resolution.CONFIRMED
