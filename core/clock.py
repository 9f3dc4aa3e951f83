"""Time comes in as an argument; this is where the argument is made."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The current time, aware, UTC. Passed as a `Clock` by `cli`; tests pass their own."""
    return datetime.now(UTC)
