"""Recorded data of a product: telemetry as Windows in the order of time, and what is known of its devices' past."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Self

import numpy as np

from core.errors import InvalidInput
from core.profile import Profile
from telemetry import window
from telemetry.ranges import modes_of, outside, ranges_of
from telemetry.table import BadTable, Table
from telemetry.window import Bools, Floats, Happenings, Ints, Window

_MOST_CELLS = 1_000_000
"""Cells of a window at the most: history of any length is judged in little memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """N rows of telemetry of D devices, oldest first, and what else is known of their past.

    devices: D names. signals: S names. device: [N] positions in `devices`. times: [N] microseconds since the epoch.
    values: [N, S] in the signals' units, NaN where nothing was measured. tick: microseconds. events: error codes.
    replaced: components. attributes: texts by device name and attribute. eventful: the devices only send events, and a row
    without a value says that a device was there. ranges: [S, 2] what the signals' sensors can give; None: anything. modes: [S] which
    signals are modes; None: none.
    """

    devices: tuple[str, ...]
    signals: tuple[str, ...]
    device: Ints
    times: Ints
    values: Floats
    tick: int
    events: Happenings = field(default_factory=Happenings)
    replaced: Happenings = field(default_factory=Happenings)
    attributes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    eventful: bool = False
    ranges: Floats | None = None
    modes: Bools | None = None

    def windows(self, *, most_cells: int = _MOST_CELLS) -> Iterator[Window]:
        """All windows in the order of time, each with all devices, as the live engine would build them."""
        starts = self.times - self.times % self.tick
        happened = (self.events, self.replaced)
        marks = [h.times[h.device >= 0] - h.times[h.device >= 0] % self.tick for h in happened]
        ticks = np.unique(np.concatenate([starts, *marks]))
        most = max(1, most_cells // (len(self.devices) * len(self.signals)))
        names = {name for own in self.attributes.values() for name in own}
        attributes = {n: tuple(self.attributes.get(d, {}).get(n, "") for d in self.devices) for n in sorted(names)}
        for first in range(0, len(ticks), most):
            border = (ticks[first], ticks[first + most] if first + most < len(ticks) else ticks[-1] + self.tick)
            low, high = np.searchsorted(self.times, border)
            row, signal = np.nonzero(np.isfinite(self.values[low:high]))
            values = self.values[low:high][row, signal]
            found = window.build(
                devices=np.arange(len(self.devices), dtype=np.int64),
                signals=self.signals,
                tick=self.tick,
                device_at=self.device[low:high][row],
                signal_at=signal,
                times=self.times[low:high][row],
                values=values,
                beyond=None if self.ranges is None else outside(values, signal, self.ranges),
                events=self.events.between(*border),
                replaced=self.replaced.between(*border),
                attributes=attributes,
                also=ticks[first : first + most],
                modes=self.modes,
            )
            yield replace(found, alive=self._alive(found.times, slice(low, high))) if self.eventful else found

    def _alive(self, ticks: Ints, rows: slice) -> Bools:
        alive = np.zeros((len(ticks), len(self.devices)), dtype=bool)
        alive[np.searchsorted(ticks, self.times[rows] - self.times[rows] % self.tick), self.device[rows]] = True
        return alive

    def of(self, names: Collection[str]) -> Self:
        """The rows of some devices alone."""
        kept = [at for at, name in enumerate(self.devices) if name in names]
        place = np.full(len(self.devices), -1)
        place[kept] = np.arange(len(kept))
        mine = place[self.device] >= 0
        return replace(
            self,
            devices=tuple(self.devices[at] for at in kept),
            device=place[self.device[mine]],
            times=self.times[mine],
            values=self.values[mine],
            events=self.events.placed(place),
            replaced=self.replaced.placed(place),
        )

    def rows(self) -> list[Ints]:
        """The rising times of each device's rows."""
        order = np.argsort(self.device, kind="stable")
        counts = np.bincount(self.device, minlength=len(self.devices))
        return np.split(self.times[order], np.cumsum(counts)[:-1])

    def vocabulary(self) -> tuple[Sequence[str], Mapping[str, Sequence[str]]]:
        """The error codes in it, and the texts of each attribute of its devices."""
        attributes: dict[str, list[str]] = {}
        for own in self.attributes.values():
            for name, text in own.items():
                attributes.setdefault(name, []).append(text)
        return self.events.what, attributes

    def spans(self) -> tuple[Ints, Ints]:
        """[D] the first and the last time of each device."""
        first = np.full(len(self.devices), np.iinfo(np.int64).max)
        last = np.full(len(self.devices), np.iinfo(np.int64).min)
        np.minimum.at(first, self.device, self.times)
        np.maximum.at(last, self.device, self.times)
        return first, last


@dataclass(frozen=True, slots=True, kw_only=True)
class Intervals:
    """N labelled intervals of abnormal behaviour. device: [N] positions. starts, ends: [N] microseconds, inclusive."""

    device: Ints
    starts: Ints
    ends: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class RemainingLife:
    """The true remaining life of N devices at a time. device: [N] positions. times: [N]. ticks: [N]."""

    device: Ints
    times: Ints
    ticks: Floats


def telemetry(file: Path, profile: Profile) -> Recording:
    """The telemetry in `file`: columns device and time, and one for each signal, by its own name or the profile's
    `columns`. Other columns are left out. Raises BadTable.
    """
    table = Table(file, needed=("device", "time"))
    signals = tuple(profile.signals)
    names, device = table.names("device")
    times = table.times("time")
    values = np.full((len(table), len(signals)), np.nan)
    taken: dict[str, str] = {}
    for column in table.columns:
        mapped = profile.columns.get(column)
        name, factor = (mapped.signal, mapped.factor) if mapped else (column, 1.0)
        if name not in profile.signals or column in {"device", "time"}:
            continue
        if name in taken:
            raise BadTable(file, 1, column, f"is the signal {name!r}, as is column {taken[name]!r}")
        taken[name] = column
        values[:, signals.index(name)] = table.numbers(column) * factor
    if not taken:
        known = ", ".join([*profile.columns, *signals])
        raise BadTable(file, 1, "", f"no column is a signal of {profile.name}; known columns are {known}")
    order = np.argsort(times, kind="stable")
    return Recording(
        devices=names,
        signals=signals,
        device=device[order],
        times=times[order],
        values=values[order],
        tick=profile.tick // timedelta(microseconds=1),
        ranges=ranges_of(profile.signals),
        modes=modes_of(profile.signals),
    )


def combined(recordings: Sequence[Recording]) -> Recording:
    """Several recordings of one profile as one. A device may stand in more than one; its rows come from all."""
    if len(recordings) == 1:
        return recordings[0]
    devices = tuple(sorted({name for r in recordings for name in r.devices}))
    device = np.concatenate([positions(r.devices, devices)[r.device] for r in recordings])
    times = np.concatenate([r.times for r in recordings])
    order = np.argsort(times, kind="stable")
    values = np.concatenate([r.values for r in recordings])
    return replace(recordings[0], devices=devices, device=device[order], times=times[order], values=values[order])


def eventful(
    profile: Profile, events: Path, others: Sequence[Path] = (), *, maintenance: Path | None = None
) -> Recording:
    """A recording of devices that only send events, as the live engine takes them: each is there at each tick from its first
    word in `events` to the last that is known of it, there or in `maintenance`. Raises BadTable, InvalidInput.

    others: files that name devices too; one that stands there alone never spoke, and is there at those times alone.
    """
    spoken, named = _times_of([events]), _times_of(others)
    devices = tuple(sorted({*spoken, *named}))
    if not devices:
        raise InvalidInput(f"{', '.join(map(str, (events, *others)))}: there is no row")
    done = _times_of([maintenance]) if maintenance else {}
    tick = profile.tick // timedelta(microseconds=1)

    def ticks(device: str) -> Ints:
        if device not in spoken:
            return np.unique(named[device] - named[device] % tick)
        known = np.concatenate([spoken[device], done.get(device, spoken[device][:0])])
        first, end = window.floor(int(spoken[device].min()), tick), int(known.max()) + 1
        return np.arange(first, end, tick)

    each = [ticks(device) for device in devices]
    times, device = np.concatenate(each), np.repeat(np.arange(len(devices)), [len(own) for own in each])
    order = np.argsort(times, kind="stable")
    return Recording(
        devices=devices,
        signals=tuple(profile.signals),
        device=device[order],
        times=times[order],
        values=np.full((len(times), len(profile.signals)), np.nan),
        tick=tick,
        eventful=True,
    )


def _times_of(files: Sequence[Path]) -> dict[str, Ints]:
    """The times at which each device stands in some files."""
    found: dict[str, list[Ints]] = {}
    for file in files:
        table = Table(file, needed=("device", "time"))
        if not len(table):
            continue
        names, at = table.names("device")
        times = table.times("time")
        counts = np.bincount(at, minlength=len(names))
        for name, own in zip(
            names, np.split(times[np.argsort(at, kind="stable")], np.cumsum(counts)[:-1]), strict=True
        ):
            found.setdefault(name, []).append(own)
    return {name: np.concatenate(parts) for name, parts in found.items()}


def devices(file: Path) -> tuple[str, ...]:
    """The devices that stand in a file. Raises BadTable."""
    names, _ = Table(file, needed=("device",)).names("device")
    return names


def happenings(file: Path, devices: tuple[str, ...], what: str) -> Happenings:
    """Events (`what` is code), maintenance or failures (`what` is component). Raises BadTable."""
    table = Table(file, needed=("device", "time", what))
    texts, text_at = table.names(what)
    times = table.times("time")
    order = np.argsort(times, kind="stable")
    return Happenings(
        device=_positions(table, devices)[order],
        times=times[order],
        what=tuple(texts[at] for at in text_at[order]),
    )


def components(file: Path, found: Happenings, profile: Profile) -> Ints:
    """[N] the position of each happening's component in the profile. Raises BadTable for one it does not have."""
    known = tuple(profile.components)
    for name in dict.fromkeys(found.what):
        if name not in known:
            reason = f"{profile.name} has no component {name!r}; it has {', '.join(known)}"
            raise BadTable(file, None, "component", reason)
    return np.array([known.index(name) for name in found.what], dtype=np.int64)


def intervals(file: Path, devices: tuple[str, ...]) -> Intervals:
    """Labelled intervals: device, start, end. Raises BadTable."""
    table = Table(file, needed=("device", "start", "end"))
    starts, ends = table.times("start"), table.times("end")
    if (ends < starts).any():
        raise BadTable(file, None, "end", f"row {int(np.argmax(ends < starts)) + 1} ends before it starts")
    order = np.argsort(starts, kind="stable")
    return Intervals(device=_positions(table, devices)[order], starts=starts[order], ends=ends[order])


def remaining_life(file: Path, devices: tuple[str, ...], profile: Profile) -> RemainingLife:
    """True remaining lives: device, time, and remaining_cycles (ticks of the profile) or remaining_hours."""
    table = Table(file, needed=("device", "time"))
    if "remaining_cycles" in table.columns:
        ticks = table.numbers("remaining_cycles")
    elif "remaining_hours" in table.columns:
        ticks = table.numbers("remaining_hours") * (timedelta(hours=1) / profile.tick)
    else:
        raise BadTable(file, 1, "remaining_cycles", "no such column, and no remaining_hours either")
    if not np.isfinite(ticks).all():
        raise BadTable(file, None, "", "a device has no remaining life given")
    return RemainingLife(device=_positions(table, devices), times=table.times("time"), ticks=ticks)


def attributes(file: Path, devices: tuple[str, ...]) -> dict[str, dict[str, str]]:
    """Attributes of devices as texts, by device and column; devices that are not asked for are left out."""
    table = Table(file, needed=("device",))
    names, device_at = table.names("device")
    wanted = set(devices)
    result: dict[str, dict[str, str]] = {}
    for column in table.columns:
        if column == "device":
            continue
        texts, text_at = table.names(column)
        for device, text in zip(device_at.tolist(), text_at.tolist(), strict=True):
            if names[device] in wanted:
                result.setdefault(names[device], {})[column] = texts[text]
    return result


def positions(names: tuple[str, ...], devices: tuple[str, ...]) -> Ints:
    """Where `names` stand in `devices`. Raises InvalidInput for one that is not there."""
    place = {name: at for at, name in enumerate(devices)}
    for name in names:
        if name not in place:
            raise InvalidInput(f"no device {name!r} in the telemetry, which has {len(devices)} devices")
    return np.array([place[name] for name in names], dtype=np.int64)


def _positions(table: Table, devices: tuple[str, ...]) -> Ints:
    names, at = table.names("device")
    place = {name: position for position, name in enumerate(devices)}
    known = np.array([place.get(name, -1) for name in names], dtype=np.int64)
    return known[at] if len(known) else at
