"""Whether and when a customer may be contacted. Pure, `now` included; the answer says why."""

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from enum import StrEnum
from typing import Self
from zoneinfo import ZoneInfo


class Held(StrEnum):
    """Why a customer is not contacted at all."""

    NO_CUSTOMER = "the device has no customer on record"
    NO_CONSENT = "the customer has not agreed to be contacted"
    NO_PROFILE = "the device's profile is not known here, so there are no words for its fault"
    NO_ADDRESS = "the customer has no email address on record"


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """Whom a notice goes to."""

    name: str
    email: str
    language: str
    time_zone: str
    consent: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class QuietHours:
    """Local hours without notices; `start` after `end` spans midnight."""

    start: time
    end: time

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """`21:00-08:00`, or None for an empty text."""
        if not text:
            return None
        start, end = (time.fromisoformat(part) for part in text.split("-"))
        return cls(start=start, end=end)

    def over_at(self, now: datetime, time_zone: str) -> datetime:
        """The first moment, `now` or later, outside the quiet hours of `time_zone`, in UTC."""
        local = now.astimezone(ZoneInfo(time_zone))
        clock = local.time()
        quiet = self.start <= clock < self.end if self.start <= self.end else clock >= self.start or clock < self.end
        if not quiet:
            return now
        day = local.date() if clock < self.end else local.date() + timedelta(days=1)
        # The wall clock of the customer decides, also on a day when it is moved.
        return datetime.combine(day, self.end, tzinfo=local.tzinfo).astimezone(now.tzinfo)


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A notice may leave at `at`; `reason` is not empty when that is later than now."""

    at: datetime
    reason: str = ""


def may_email(customer: Customer | None, quiet: QuietHours | None, now: datetime) -> Due | Held:
    """When an email may leave to `customer`, or why none may."""
    if customer is None:
        return Held.NO_CUSTOMER
    if not customer.consent:
        return Held.NO_CONSENT
    if not customer.email:
        return Held.NO_ADDRESS
    at = quiet.over_at(now, customer.time_zone) if quiet else now
    if at > now:
        local = at.astimezone(ZoneInfo(customer.time_zone))
        return Due(at=at, reason=f"quiet hours of the customer, until {local:%H:%M} {customer.time_zone}")
    return Due(at=at)


MOST_ATTEMPTS = 8


def retry_at(attempts: int, now: datetime) -> datetime | None:
    """When to try again after `attempts` passing failures: 1, 2, 4, ... minutes, at most 2 hours; None to give up."""
    if attempts >= MOST_ATTEMPTS:
        return None
    return now + min(timedelta(minutes=2 ** (attempts - 1)), timedelta(hours=2))
