"""What is drawn anew for each UTC day: its random numbers come from a generator keyed by seed and date, so that a day is the
same however the time is cut.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Generic, TypeVar

from simulator.plan import INTERVAL, Plan

T = TypeVar("T")

PER_DAY = int(timedelta(days=1) / INTERVAL)
"""Intervals of a day."""


class Daily(Generic[T]):
    """Something drawn once for each day of a plan, the latest of which is kept. It is drawn for the day's date, or, where the
    plan is moved, for the one that the plan was made for.
    """

    def __init__(self, draw: Callable[[datetime], T], plan: Plan) -> None:
        self._draw = draw
        self._moved = plan.moved
        self._kept: tuple[datetime, T] | None = None

    def at(self, time: datetime) -> tuple[T, int]:
        """What was drawn for the day of `time`, and the number of the interval that begins at `time` in it."""
        date = time.replace(hour=0, minute=0, second=0, microsecond=0)
        if self._kept is None or self._kept[0] != date:
            self._kept = date, self._draw(date - self._moved)
        return self._kept[1], int((time - date) / INTERVAL)


def number(date: datetime) -> int:
    """Days since the epoch, to key a day's random numbers."""
    return (date - datetime(1970, 1, 1, tzinfo=UTC)).days
