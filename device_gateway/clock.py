"""What becomes of the times that devices write: the rules for clocks that are ahead, long ago or senseless.

Pure and columnar: a batch of samples is judged in one call.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FIRST_TIME, LAST_TIME = -62_135_596_800_000, 253_402_300_799_999
"""The first millisecond of the year 1 and the last of the year 9999. What lies beyond was not written in milliseconds."""
LONGEST_BUFFER = 31 * 86_400_000_000
"""Microseconds that one message may span and still count as written by one clock that did not jump."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How far ahead a clock may be, and the first time that is believed; microseconds."""

    tolerance: int
    earliest: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The verdict by sample: its time in microseconds since 1970, and which of them are ahead, too old or senseless."""

    time: NDArray[np.int64]
    ahead: NDArray[np.bool_]
    too_old: NDArray[np.bool_]
    senseless: NDArray[np.bool_]


def judge(ts: NDArray[np.float64], message: NDArray[np.intp], received: NDArray[np.int64], rules: Rules) -> Judged:
    """Judges samples by the clock of the server.

    ts: device time in milliseconds by sample, NaN for none. message: which message a sample came in, ascending.
    received: the server's time in microseconds, by message.

    A message whose newest sample is ahead is moved as a whole, so that its newest sample is at the time of receipt
    and its samples keep their spacing. One that spans more than `LONGEST_BUFFER` was written by a clock that jumped:
    of it, only the samples that are ahead are moved.
    """
    now = received[message]
    none = np.isnan(ts)
    senseless = ~none & ((ts < FIRST_TIME) | (ts > LAST_TIME))
    time = np.where(none, now, np.rint(np.where(none | senseless, 0.0, ts) * 1000.0).astype(np.int64))
    time[senseless] = now[senseless]
    ahead = time > now + rules.tolerance
    if ahead.any():
        moved = np.zeros(len(ts), dtype=np.bool_)
        for one in np.unique(message[ahead]):
            first, end = np.searchsorted(message, [one, one + 1])
            mine = np.arange(first, end)[~senseless[first:end]]
            newest, oldest = time[mine].max(), time[mine].min()
            if newest - oldest > LONGEST_BUFFER:
                mine = mine[ahead[mine]]
            time[mine] -= newest - received[one]
            moved[mine] = True
        ahead = moved
    return Judged(time=time, ahead=ahead, too_old=~senseless & (time < rules.earliest), senseless=senseless)
