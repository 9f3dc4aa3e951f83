"""How long a component still has, in words: from the quantiles of a finding, counted on from when it was last seen."""

from datetime import datetime, timedelta

from core.database import Row

NOT_YET = "Not predictable yet"
OVER = "No longer abnormal"
_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)
_CAPPED = 0.999
"""Of the horizon: a model never says more than that, so what lies there is that or more."""


def time_to_failure(row: Row, horizon: timedelta | None, now: datetime) -> str:
    """A sentence of the newest finding's P10, P50 and P90.

    row: with `remaining_p10_d`, `_p50_d`, `_p90_d` in days from `extended_at`, NULL while not predictable. horizon: of the
    profile, None where it is gone.
    """
    if row["closed_at"] is not None:
        return OVER
    quantiles = [row[f"remaining_{name}_d"] for name in ("p10", "p50", "p90")]
    if any(value is None for value in quantiles):
        return NOT_YET
    passed = now - row["extended_at"]
    low, middle, high = (value * _DAY - passed for value in quantiles)
    capped = [horizon is not None and value * _DAY >= _CAPPED * horizon for value in quantiles]
    unit, name = (_HOUR, "hour") if max(high, _HOUR) < 2 * _DAY else (_DAY, "day")

    def number(length: timedelta) -> int:
        return max(0, round(length / unit))

    def told(length: timedelta) -> str:
        count = number(length)
        return f"{count} {name}{'' if count == 1 else 's'}"

    if high <= timedelta(0):
        return "May fail at any time"
    if capped[1]:
        # It may fail now, and may as well last beyond all that the model looks at: that says nothing.
        return f"Fails in more than {told(low)}" if number(low) else NOT_YET
    upper = f"more than {told(high)}" if capped[2] else str(number(high))
    if not number(middle):
        return f"May fail at any time ({f'or last {upper}' if capped[2] else f'within {told(high)}'})"
    return f"Fails in about {told(middle)} ({number(low)} to {upper})"
