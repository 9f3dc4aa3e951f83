"""Reads stored readings back as columns, and tells what was stored since one last looked."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from core.database import Connection, Queries
from core.profile import Signal
from telemetry.ranges import modes_of, outside, ranges_of
from telemetry.window import Bools, Floats, Happenings, Ints, Window, build, ticks_within

_SQL = Queries("telemetry", "history.sql")
_PG_EPOCH = int(datetime(2000, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
_HEADER = 19  # Signature, flags and extension length of binary COPY.
# A row of binary COPY: field count, then length and big-endian bytes of each field; none is null, so rows are equal in size.
_ROW = np.dtype(
    [
        ("fields", ">i2"),
        ("l1", ">i4"),
        ("series", ">i4"),
        ("l2", ">i4"),
        ("time", ">i8"),
        ("l3", ">i4"),
        ("value", ">f8"),
        ("l4", ">i4"),
        ("quality", ">i2"),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """What was stored for one device: the earliest and latest device time, and when the newest of it was stored."""

    first: int
    last: int
    stored_at: datetime

    def joined(self, before: "Span | None") -> "Span":
        """With what was stored of the device before."""
        if before is None:
            return self
        return Span(first=min(self.first, before.first), last=max(self.last, before.last), stored_at=self.stored_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What was committed after a cursor: the cursor to go on from, and the spans by device id.

    `more` says that the limit cut it and the next look will find more at once.
    """

    cursor: int
    spans: Mapping[int, Span]
    readings: int
    more: bool


def stored_since(connection: Connection, cursor: int, *, most_readings: int) -> Stored:
    """What was stored after `cursor` (0: from the start), up to about `most_readings` readings.

    Batches are taken in the order of their transactions and only once no older transaction is still open: so none is
    ever passed over, though they commit in any order.
    """
    spans: dict[int, Span] = {}
    readings = 0
    more = False
    for row in connection.execute(_SQL["batches_after"], {"cursor": cursor, "most": 2000}):
        if readings >= most_readings:
            more = True
            break
        cursor = row["xact"]
        readings += row["readings"]
        for device, first, last in zip(row["devices"], row["first_times"], row["last_times"], strict=True):
            old = spans.get(device)
            spans[device] = Span(
                first=min(micros(first), old.first) if old else micros(first),
                last=max(micros(last), old.last) if old else micros(last),
                stored_at=row["stored_at"],
            )
    return Stored(cursor=cursor, spans=spans, readings=readings, more=more)


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """N readings as columns. series: [N] series ids. times: [N] microseconds since the epoch. values: [N]. beyond: [N]
    whether it was stored as outside its sensor's range.
    """

    series: Ints
    times: Ints
    values: Floats
    beyond: Bools


def read(connection: Connection, series: Sequence[int], starts: Sequence[int], ends: Sequence[int]) -> Readings:
    """Readings of each series within its own [start, end), in microseconds since the epoch."""
    buffer = io.BytesIO()
    values = {"series": list(series), "starts": [_time(t) for t in starts], "ends": [_time(t) for t in ends]}
    with connection.cursor() as cursor, cursor.copy(_SQL["readings_between"], values) as copy:
        for block in copy:
            buffer.write(block)
    # Two bytes of trailer follow the rows.
    size = (buffer.tell() - _HEADER - 2) // _ROW.itemsize
    rows = np.frombuffer(buffer.getbuffer(), dtype=_ROW, count=size, offset=_HEADER)
    return Readings(
        series=rows["series"].astype(np.int64),
        times=rows["time"].astype(np.int64) + _PG_EPOCH,
        values=rows["value"].astype(np.float64),
        beyond=rows["quality"] != 0,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """The series of some devices, placed in a window. ids: [N] series ids, rising. device_at, signal_at: [N] their
    positions among the devices and in `signals`. ranges: [S, 2] what the signals' sensors can give. modes: [S] which are modes.
    """

    signals: tuple[str, ...]
    ranges: Floats
    modes: Bools
    ids: Ints
    device_at: Ints
    signal_at: Ints

    def window(
        self,
        connection: Connection,
        starts: Ints,
        ends: Ints,
        *,
        tick: int,
        names: Ints,
        past: "Past | None" = None,
        there: "There | None" = None,
    ) -> Window:
        """The window of what is stored of each device within its own [start, end): [D], microseconds since the epoch.

        tick: its length in microseconds. names: [D] what the window calls its devices. past: what else is known of them.
        there: when those that only send events are taken to be there.
        """
        readings = read(connection, self.ids.tolist(), starts[self.device_at].tolist(), ends[self.device_at].tolist())
        row = np.searchsorted(self.ids, readings.series)
        also = None
        if there is not None:
            there = There(starts=np.maximum(there.starts, starts), ends=np.minimum(there.ends, ends))
            also = ticks_within(there.starts, there.ends, tick)
        found = build(
            devices=names,
            signals=self.signals,
            tick=tick,
            device_at=self.device_at[row],
            signal_at=self.signal_at[row],
            times=readings.times,
            values=readings.values,
            beyond=readings.beyond | outside(readings.values, self.signal_at[row], self.ranges),
            events=past.events if past else None,
            replaced=past.replaced if past else None,
            attributes=past.attributes if past else {},
            also=also,
            modes=self.modes,
        )
        return found if there is None else found.attended(there.starts, there.ends)


@dataclass(frozen=True, slots=True, kw_only=True)
class There:
    """When D devices that only send events are taken to be there: each within its own [start, end) of whole ticks, in
    microseconds since the epoch; never where the end is not after the start.
    """

    starts: Ints
    ends: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What is known of D devices beside their readings: error codes, replaced components, and attributes by name."""

    events: Happenings
    replaced: Happenings
    attributes: Mapping[str, tuple[str, ...]]


def past(
    connection: Connection, devices: Sequence[int], starts: Ints, ends: Ints, seen: Sequence[int], upto: Sequence[int]
) -> Past:
    """What happened to each device within its own [start, end), microseconds since the epoch.

    seen: [D] the transaction up to which each was looked at before: what was stored since, though it happened before
    the start, counts as if it happened at the start. upto: [D] the transaction up to which to look, at most `seen_now`.
    """
    place = {device: at for at, device in enumerate(devices)}
    values = {
        "devices": list(devices),
        "starts": [_time(t) for t in starts.tolist()],
        "ends": [_time(t) for t in ends.tolist()],
        "seen": list(seen),
        "upto": list(upto),
    }
    rows = [
        (
            max(micros(row["time"]), int(starts[place[row["device_id"]]])),
            place[row["device_id"]],
            row["kind"],
            row["what"],
        )
        for row in connection.execute(_SQL["happenings"], values)
    ]
    rows.sort(key=lambda row: row[0])

    def of(kind: str) -> Happenings:
        own = [row for row in rows if row[2] == kind]
        return Happenings(
            device=np.array([row[1] for row in own], dtype=np.int64),
            times=np.array([row[0] for row in own], dtype=np.int64),
            what=tuple(row[3] for row in own),
        )

    told: dict[str, list[str]] = {"model": [""] * len(devices), "firmware": [""] * len(devices)}
    for row in connection.execute(_SQL["attributes_of"], {"devices": list(devices)}):
        for name, text in {"model": row["model"], "firmware": row["firmware"], **row["said"]}.items():
            told.setdefault(name, [""] * len(devices))[place[row["id"]]] = text
    attributes = {name: tuple(texts) for name, texts in told.items() if any(texts)}
    return Past(events=of("error"), replaced=of("maintenance"), attributes=attributes)


def seen_now(connection: Connection) -> int:
    """The newest transaction that none can overtake any more."""
    row = connection.execute(_SQL["seen_now"]).fetchone()
    assert row is not None
    seen: int = row["seen"]
    return seen


def place(connection: Connection, devices: Sequence[int], signals: Mapping[str, Signal]) -> Placed:
    """Where the series of `devices` stand in a window of `signals`; other signals are left out."""
    device_at = {device: at for at, device in enumerate(devices)}
    signal_at = {signal: at for at, signal in enumerate(signals)}
    rows = [
        (row["id"], device_at[row["device_id"]], signal_at[row["signal"]])
        for row in connection.execute(_SQL["series_of"], {"devices": list(devices)})
        if row["signal"] in signal_at
    ]
    ids, at_device, at_signal = np.array(rows, dtype=np.int64).reshape(-1, 3).T
    return Placed(
        signals=tuple(signals),
        ranges=ranges_of(signals),
        modes=modes_of(signals),
        ids=ids,
        device_at=at_device,
        signal_at=at_signal,
    )


def first_words(connection: Connection, devices: Sequence[int], upto: Sequence[int]) -> dict[int, int]:
    """When each device first said anything of itself, in microseconds, where it did; upto: as for `past`."""
    rows = connection.execute(_SQL["first_words"], {"devices": list(devices), "upto": list(upto)})
    return {row["id"]: micros(row["time"]) for row in rows}


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A device of a profile: when it first and last measured anything. eventful: it never did, and these are the times of
    its first word and its last event. Microseconds since the epoch.
    """

    id: int
    name: str
    first: int
    last: int
    eventful: bool


def spans_of_profile(connection: Connection, profile: str, since: datetime) -> list[Member]:
    """The devices of a profile that measured anything since a time, or never did but spoke since then; by name."""
    rows = connection.execute(_SQL["spans_of_profile"], {"profile": profile, "since": since})
    return [Member(**(row | {"first": micros(row["first"]), "last": micros(row["last"])})) for row in rows]


def device_time(connection: Connection, profile: str) -> timedelta:
    """How long the devices of a profile have been there, from the first to the last that is stored of each, added up."""
    members = spans_of_profile(connection, profile, _EPOCH)
    return sum((member.last - member.first for member in members), 0) * _MICROSECOND


def micros(time: datetime) -> int:
    """Microseconds since the epoch."""
    return round((time - _EPOCH) / _MICROSECOND)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def _time(microseconds: int) -> datetime:
    return _EPOCH + microseconds * _MICROSECOND
