"""How long a component still has, in words."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api.prognosis import NOT_YET, OVER, time_to_failure

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
WEEKS = timedelta(days=30)


def row(low: float | None, middle: float | None, high: float | None, *, ago: float = 0, **more: Any) -> dict[str, Any]:
    seen = NOW - timedelta(days=ago)
    found = {"remaining_p10_d": low, "remaining_p50_d": middle, "remaining_p90_d": high}
    return {**found, "extended_at": seen, "closed_at": None, **more}


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (row(2, 5, 9), "Fails in about 5 days (2 to 9)"),
        (row(3, 6, 10, ago=1), "Fails in about 5 days (2 to 9)"),
        (row(0.5, 1, 1.5), "Fails in about 24 hours (12 to 36)"),
        (row(0, 1, 2.2), "Fails in about 1 day (0 to 2)"),
        (row(4, 12, 30), "Fails in about 12 days (4 to more than 30 days)"),
        (row(8, 30, 30), "Fails in more than 8 days"),
        (row(1, 2, 6, ago=3), "May fail at any time (within 3 days)"),
        (row(1, 2, 30, ago=3), "May fail at any time (or last more than 27 days)"),
        (row(1, 2, 3, ago=4), "May fail at any time"),
        (row(None, None, None), NOT_YET),
        (row(0.2, 30, 30), NOT_YET),
        (row(2, 5, 9, closed_at=NOW), OVER),
    ],
)
def test_the_newest_finding_says_how_long(found: dict[str, Any], text: str) -> None:
    assert time_to_failure(found, WEEKS, NOW) == text


def test_without_a_profile_no_horizon_is_known() -> None:
    assert time_to_failure(row(4, 12, 30), None, NOW) == "Fails in about 12 days (4 to 30)"


def test_a_ticket_without_a_finding_says_nothing() -> None:
    nothing = row(None, None, None) | {"extended_at": None}
    assert time_to_failure(nothing, WEEKS, NOW) == NOT_YET
