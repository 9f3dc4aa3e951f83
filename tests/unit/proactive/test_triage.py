from datetime import UTC, datetime, timedelta

import pytest

from proactive.ticket import Resolution, Standing, TicketState
from proactive.triage import Decision, FoundFault, triage

AT = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
OPEN = FoundFault(kind="degradation", opened_at=AT, closed_at=None)
OVER = FoundFault(kind="degradation", opened_at=AT - HOUR, closed_at=AT)


def solved(resolution: Resolution, at: datetime) -> Standing:
    return Standing(state=TicketState.SOLVED, resolution=resolution, solved_at=at)


@pytest.mark.parametrize(
    ("finding", "living", "want"),
    [
        (OPEN, None, Decision.OPENED),
        (OVER, None, Decision.OVER),
        (FoundFault(kind="silence", opened_at=AT, closed_at=None), None, Decision.NO_TICKET_FOR_KIND),
        (OPEN, Standing(state=TicketState.NEW), Decision.ADDED),
        (OVER, Standing(state=TicketState.PENDING), Decision.ADDED),
        (OPEN, solved(Resolution.CONFIRMED, AT - HOUR), Decision.REOPENED),
        (OPEN, solved(Resolution.ALREADY_FIXED, AT - HOUR), Decision.REOPENED),
        (OPEN, solved(Resolution.CONFIRMED, AT + HOUR), Decision.MUTED),
        (OVER, solved(Resolution.CONFIRMED, AT - 2 * HOUR), Decision.MUTED),
        (OPEN, solved(Resolution.NO_FAULT_FOUND, AT - HOUR), Decision.MUTED),
        (OPEN, solved(Resolution.DECLINED, AT - HOUR), Decision.MUTED),
    ],
)
def test_decision(finding: FoundFault, living: Standing | None, want: Decision) -> None:
    assert triage(finding, living) is want
