"""The state machine of a ticket, as pure functions of values."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from core.errors import Conflict, InvalidInput


class TicketState(StrEnum):
    """Where a case stands. `pending` waits for the customer, `on_hold` for something else (a part, a supplier)."""

    NEW = "new"
    OPEN = "open"
    PENDING = "pending"
    ON_HOLD = "on_hold"
    SOLVED = "solved"
    CLOSED = "closed"


class Resolution(StrEnum):
    """How a case ended: the verdict on its prediction."""

    CONFIRMED = "confirmed"
    NO_FAULT_FOUND = "no_fault_found"
    ALREADY_FIXED = "already_fixed"
    DECLINED = "declined"
    DUPLICATE = "duplicate"


_WORKING = {TicketState.OPEN, TicketState.PENDING, TicketState.ON_HOLD}
ALLOWED: dict[TicketState, set[TicketState]] = {
    TicketState.NEW: {*_WORKING, TicketState.SOLVED},
    TicketState.OPEN: {TicketState.PENDING, TicketState.ON_HOLD, TicketState.SOLVED},
    TicketState.PENDING: {TicketState.OPEN, TicketState.ON_HOLD, TicketState.SOLVED},
    TicketState.ON_HOLD: {TicketState.OPEN, TicketState.PENDING, TicketState.SOLVED},
    TicketState.SOLVED: {TicketState.OPEN, TicketState.CLOSED},
    TicketState.CLOSED: set(),
}

CLOSE_AFTER = timedelta(days=7)
"""A solved ticket stays reopenable for so long, then it is closed for good."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """State of a ticket together with its resolution, which it has exactly when it is solved or closed."""

    state: TicketState
    resolution: Resolution | None = None
    solved_at: datetime | None = None


def change(now: Standing, to: TicketState, resolution: Resolution | None, at: datetime) -> Standing:
    """The standing after a change to `to`.

    Raises Conflict when the state does not lead there, InvalidInput when the resolution is missing or out of place.
    """
    if to not in ALLOWED[now.state]:
        ways = ", ".join(sorted(ALLOWED[now.state])) or "nothing: it is final"
        raise Conflict(f"a ticket that is {now.state} cannot become {to}; it can become {ways}")
    if to is TicketState.SOLVED:
        if resolution is None:
            raise InvalidInput(f"solving a ticket takes a resolution: {', '.join(Resolution)}")
        return Standing(state=to, resolution=resolution, solved_at=at)
    if resolution is not None:
        raise InvalidInput(f"a resolution goes with the state solved, not with {to}")
    if to is TicketState.CLOSED:
        return Standing(state=to, resolution=now.resolution, solved_at=now.solved_at)
    return Standing(state=to)
