"""Readings as the bytes of PostgreSQL's binary COPY format: one numpy array of fixed-size, big-endian records.

Source: https://www.postgresql.org/docs/current/sql-copy.html, section Binary Format.
"""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from device_gateway.readings import Readings, moment

_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
_EPOCH = 946_684_800_000_000
"""2000-01-01 in microseconds since 1970: where PostgreSQL counts from."""

# Each field stands after its length in bytes.
_RECORD = np.dtype(
    [
        ("fields", ">i2"),
        ("series_length", ">i4"),
        ("series", ">i4"),
        ("time_length", ">i4"),
        ("time", ">i8"),
        ("received_length", ">i4"),
        ("received", ">i8"),
        ("value_length", ">i4"),
        ("value", ">f8"),
        ("quality_length", ">i4"),
        ("quality", ">i2"),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Readings as they are written: how many, the bytes of COPY, and by device the first and the last time of them."""

    count: int
    copied: bytes
    devices: list[int]
    first: list[datetime]
    last: list[datetime]


_NO_ROWS = Rows(count=0, copied=b"", devices=[], first=[], last=[])


def rows_of(readings: Readings) -> Rows:
    """The rows of readings, each key (series, time) once and in their order."""
    if not len(readings):
        return _NO_ROWS
    once = sorted_once(readings)
    devices, first, last = spans(once)
    return Rows(
        count=len(once),
        copied=copy_bytes(once),
        devices=devices.tolist(),
        first=[moment(t) for t in first.tolist()],
        last=[moment(t) for t in last.tolist()],
    )


def copy_bytes(readings: Readings) -> bytes:
    """What `COPY reading (series_id, time, received_at, value, quality) FROM STDIN (FORMAT binary)` reads."""
    records = np.empty(len(readings), dtype=_RECORD)
    records["fields"] = 5
    for name, length in (("series", 4), ("time", 8), ("received", 8), ("value", 8), ("quality", 2)):
        records[f"{name}_length"] = length
    records["series"] = readings.series
    records["time"] = readings.time - _EPOCH
    records["received"] = readings.received - _EPOCH
    records["value"] = readings.value
    records["quality"] = readings.quality
    return b"".join((_HEADER, records.tobytes(), _TRAILER))


def sorted_once(readings: Readings) -> Readings:
    """The readings in the order of their key (series, time), each key once: of several, the first that came stays.

    The order lets two gateways write at once without waiting for each other in a circle.
    """
    order = np.lexsort((readings.time, readings.series))
    series, time = readings.series[order], readings.time[order]
    if len(order) > 1:
        new = np.empty(len(order), dtype=np.bool_)
        new[0] = True
        new[1:] = (series[1:] != series[:-1]) | (time[1:] != time[:-1])
        order = order[new]
    return Readings(
        device=readings.device[order],
        series=readings.series[order],
        time=readings.time[order],
        received=readings.received[order],
        value=readings.value[order],
        quality=readings.quality[order],
    )


def spans(readings: Readings) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
    """By device: its number, its first and its last time. There must be readings."""
    order = np.argsort(readings.device, kind="stable")
    devices, starts = np.unique(readings.device[order], return_index=True)
    times = readings.time[order]
    return devices, np.minimum.reduceat(times, starts), np.maximum.reduceat(times, starts)
