from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from proactive.contact import MOST_ATTEMPTS, Customer, Due, Held, QuietHours, may_email, retry_at

QUIET = QuietHours.parse("21:00-08:00")


def customer(**changes: object) -> Customer:
    values = {"name": "A", "email": "a@example.com", "language": "en", "time_zone": "Europe/Berlin", "consent": True}
    return Customer(**(values | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("local", "want"),
    [
        ("2026-03-01 20:59", "2026-03-01 20:59"),
        ("2026-03-01 21:00", "2026-03-02 08:00"),
        ("2026-03-02 07:59", "2026-03-02 08:00"),
        ("2026-03-02 08:00", "2026-03-02 08:00"),
        # The clock is moved forward in this night: 08:00 on the wall all the same.
        ("2026-03-28 23:00", "2026-03-29 08:00"),
    ],
)
def test_quiet_hours_defer_to_their_end_on_the_customers_wall_clock(local: str, want: str) -> None:
    zone = ZoneInfo("Europe/Berlin")
    now = datetime.fromisoformat(local).replace(tzinfo=zone).astimezone(UTC)
    due = may_email(customer(), QUIET, now)
    assert isinstance(due, Due)
    assert due.at.astimezone(zone).replace(tzinfo=None) == datetime.fromisoformat(want)
    assert bool(due.reason) == (local != want)


def test_quiet_hours_within_one_day() -> None:
    quiet = QuietHours.parse("12:00-14:00")
    assert quiet
    noon = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
    assert quiet.over_at(noon, "UTC") == datetime(2026, 3, 1, 14, tzinfo=UTC)
    assert quiet.over_at(noon + timedelta(hours=2), "UTC") == noon + timedelta(hours=2)


def test_no_quiet_hours() -> None:
    assert QuietHours.parse("") is None


@pytest.mark.parametrize(
    ("who", "want"),
    [
        (None, Held.NO_CUSTOMER),
        (customer(consent=False), Held.NO_CONSENT),
        (customer(email=""), Held.NO_ADDRESS),
    ],
)
def test_who_is_not_contacted(who: Customer | None, want: Held) -> None:
    assert may_email(who, QUIET, datetime(2026, 3, 1, 12, tzinfo=UTC)) is want


def test_retries_grow_and_end() -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    waits = [at - now for n in range(1, MOST_ATTEMPTS) if (at := retry_at(n, now))]
    assert waits == sorted(waits)
    assert waits[0] == timedelta(minutes=1)
    assert max(waits) <= timedelta(hours=2)
    assert retry_at(MOST_ATTEMPTS, now) is None
