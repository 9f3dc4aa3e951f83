"""What to do about a finding: open a ticket, add to the living one, reopen it, or nothing. Pure, and it says why."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from proactive.ticket import Resolution, Standing, TicketState


class Decision(StrEnum):
    """What was decided about a finding; stored with it and shown."""

    OPENED = "opened a ticket"
    ADDED = "added to the living ticket of the same fault"
    REOPENED = "came back after the ticket was solved: reopened"
    MUTED = "a person decided this case; added without reopening"
    OVER = "was over before it was seen: no ticket"
    NO_TICKET_FOR_KIND = "silence and sensor faults open no ticket"

    @property
    def opens(self) -> bool:
        """Whether the decision makes a new ticket."""
        return self is Decision.OPENED


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundFault:
    """What triage needs to know of a finding."""

    kind: str
    opened_at: datetime
    closed_at: datetime | None


_REOPENS = {Resolution.CONFIRMED, Resolution.ALREADY_FIXED}


def triage(finding: FoundFault, living: Standing | None) -> Decision:
    """The decision about `finding`, given the ticket of the same device, component and failure mode that is not closed.

    A verdict of a person is respected: only a fault that was confirmed or fixed and starts anew reopens its ticket.
    """
    if finding.kind not in ("degradation", "limit"):
        return Decision.NO_TICKET_FOR_KIND
    if living is None:
        return Decision.OVER if finding.closed_at else Decision.OPENED
    if living.state is not TicketState.SOLVED:
        return Decision.ADDED
    anew = living.solved_at is not None and finding.opened_at > living.solved_at and finding.closed_at is None
    if living.resolution in _REOPENS and anew:
        return Decision.REOPENED
    return Decision.MUTED
