"""Windows: gap-aware slices of signals by tick and device, columnar. What detectors see, live and in history."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """N things that happened to devices in a window, in the order of time.

    names: what can have happened (codes, components). at: [N] positions of their ticks, rising. device: [N] positions of
    the devices. what: [N] positions in `names`.
    """

    names: tuple[str, ...] = ()
    at: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    device: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    what: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    def of(self, tick: int) -> "Marks":
        """Those of one tick of the window, by its position; `at` is no position any more then."""
        cut = slice(*np.searchsorted(self.at, (tick, tick + 1)).tolist())
        return Marks(names=self.names, at=self.at[cut], device=self.device[cut], what=self.what[cut])


@dataclass(frozen=True, slots=True, kw_only=True)
class Beyond:
    """Readings beyond what their sensor can give. values: [..., D, S] mean of a tick's, NaN where there was none. share:
    [..., D, S] their share of the tick's readings.
    """

    values: Floats
    share: Floats

    def at(self, index: Any) -> "Beyond":
        """A part of it."""
        return Beyond(values=self.values[index], share=self.share[index])


_NOTHING = Marks()
_UNKNOWN: Mapping[str, tuple[str, ...]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Means of the readings of D devices of one profile and its S signals, at T ticks, and what else was heard of them.

    devices: [D] device ids. signals: S names. times: [T] start of each tick in microseconds since the epoch (UTC),
    rising; ticks in which nothing was heard of any device are left out, so neighbours may lie apart.
    values: [T, D, S] mean of a tick's readings in the signal's unit, or the one that most of them have where it is a mode; NaN
    where there was none.
    beyond: the readings that are beyond what the sensor can give, which are none of these; None where there is none.
    alive: [T, D] whether the device was heard, where that is not simply whether it measured anything.
    events: error codes. replaced: components that were replaced. attributes: by name, D texts, empty where not known.
    """

    devices: Ints
    signals: tuple[str, ...]
    times: Ints
    values: Floats
    beyond: Beyond | None = None
    alive: Bools | None = None
    events: Marks = _NOTHING
    replaced: Marks = _NOTHING
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: _UNKNOWN)

    @property
    def heard(self) -> Bools:
        """[T, D] whether the device was heard."""
        return _heard(self.values, self.beyond) if self.alive is None else self.alive

    def attended(self, starts: Ints, ends: Ints) -> "Window":
        """The same where each device is taken to be there within its own [start, end) too, microseconds since the epoch.

        starts, ends: [D]. The ticks must be in the window.
        """
        there = (self.times[:, None] >= starts) & (self.times[:, None] < ends)
        return replace(self, alive=self.heard | there)

    def ticks(self) -> Iterator["Tick"]:
        """The window's ticks in the order of time."""
        for at, time in enumerate(self.times):
            values = self.values[at]
            beyond = self.beyond.at(at) if self.beyond is not None else None
            yield Tick(
                time=int(time),
                values=values,
                beyond=beyond,
                heard=_heard(values, beyond) if self.alive is None else self.alive[at],
                events=self.events.of(at) if len(self.events.at) else _NOTHING,
                replaced=self.replaced.of(at) if len(self.replaced.at) else _NOTHING,
                attributes=self.attributes,
            )

    def part(self, devices: Ints) -> "Window":
        """What was heard of some of the devices, given by their positions."""
        place = np.full(len(self.devices), -1, dtype=np.int64)
        place[devices] = np.arange(len(devices))
        heard: Bools = np.asarray(self.heard[:, devices].any(axis=1))
        for own in (self.events, self.replaced):
            heard[own.at[place[own.device] >= 0]] = True
        kept = np.nonzero(heard)[0]

        def marks(own: Marks) -> Marks:
            mine = place[own.device] >= 0
            at = np.searchsorted(kept, own.at[mine])
            return Marks(names=own.names, at=at, device=place[own.device[mine]], what=own.what[mine])

        return Window(
            devices=self.devices[devices],
            signals=self.signals,
            times=self.times[kept],
            values=self.values[np.ix_(kept, devices)],
            beyond=None if self.beyond is None else self.beyond.at(np.ix_(kept, devices)),
            alive=None if self.alive is None else self.alive[np.ix_(kept, devices)],
            events=marks(self.events),
            replaced=marks(self.replaced),
            attributes={name: tuple(texts[at] for at in devices) for name, texts in self.attributes.items()},
        )

    def cut(self, time: int) -> tuple["Window", "Window"]:
        """The ticks that begin before a time, and the rest."""
        at = int(np.searchsorted(self.times, time))

        def marks(own: Marks, low: int, high: int) -> Marks:
            rows = slice(*np.searchsorted(own.at, (low, high)).tolist())
            return Marks(names=own.names, at=own.at[rows] - low, device=own.device[rows], what=own.what[rows])

        def between(low: int, high: int) -> "Window":
            return Window(
                devices=self.devices,
                signals=self.signals,
                times=self.times[low:high],
                values=self.values[low:high],
                beyond=None if self.beyond is None else self.beyond.at(slice(low, high)),
                alive=None if self.alive is None else self.alive[low:high],
                events=marks(self.events, low, high),
                replaced=marks(self.replaced, low, high),
                attributes=self.attributes,
            )

        return between(0, at), between(at, len(self.times))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """One tick of a window. time: its start, microseconds since the epoch. values, beyond: [D, S]. heard: [D], whether the
    device was heard. events, replaced: what happened in it. attributes: those of the window.
    """

    time: int
    values: Floats
    heard: Bools
    beyond: Beyond | None = None
    events: Marks = _NOTHING
    replaced: Marks = _NOTHING
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: _UNKNOWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Happenings:
    """N things that happened to devices, oldest first: error codes, replacements, failures.

    device: [N] positions, -1 for a device that is none of those asked for. times: [N] microseconds since the epoch.
    what: N texts, a code or a component.
    """

    device: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    times: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    what: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.times)

    def between(self, start: int, end: int) -> "Happenings":
        """Those in [start, end), microseconds since the epoch."""
        low, high = np.searchsorted(self.times, (start, end)).tolist()
        return Happenings(device=self.device[low:high], times=self.times[low:high], what=self.what[low:high])

    def placed(self, place: Ints) -> "Happenings":
        """The same with devices at other positions: `place` gives the new one of each, -1 where it is not asked for."""
        device = np.where(self.device >= 0, place[self.device], -1) if len(self.device) else self.device
        return Happenings(device=device, times=self.times, what=self.what)


def floor(time: int, tick: int) -> int:
    """The start of the tick that `time` lies in, both in microseconds."""
    return time - time % tick


def _heard(values: Floats, beyond: Beyond | None) -> Bools:
    """[..., D] whether a device sent any reading, [..., D, S]."""
    heard: Bools = np.asarray(np.isfinite(values).any(axis=-1))
    return heard if beyond is None else heard | np.asarray((beyond.share > 0).any(axis=-1))


def ticks_within(starts: Ints, ends: Ints, tick: int) -> Ints:
    """The starts of all ticks that lie in one of several [start, end) of whole ticks, rising. Microseconds."""
    some = ends > starts
    order = np.argsort(starts[some], kind="stable")
    starts, ends = starts[some][order], np.maximum.accumulate(ends[some][order])
    # Spans that touch or overlap are one: each tick is listed once, however many devices share it.
    apart = np.nonzero(starts[1:] > ends[:-1])[0]
    parts = zip(starts[np.append(0, apart + 1)], ends[np.append(apart, -1)], strict=True) if len(starts) else ()
    return np.concatenate([np.empty(0, dtype=np.int64), *(np.arange(a, b, tick) for a, b in parts)])


def build(
    *,
    devices: Ints,
    signals: tuple[str, ...],
    tick: int,
    device_at: Ints,
    signal_at: Ints,
    times: Ints,
    values: Floats,
    events: Happenings | None = None,
    replaced: Happenings | None = None,
    attributes: Mapping[str, tuple[str, ...]] = _UNKNOWN,
    also: Ints | None = None,
    beyond: Bools | None = None,
    modes: Bools | None = None,
) -> Window:
    """The window of N readings given as columns, and of what else happened. also: starts of ticks it has in any case.

    tick: its length in microseconds. device_at, signal_at: [N] positions in `devices` and `signals`.
    times: [N] microseconds since the epoch. values: [N]. beyond: [N] whether it is beyond what its sensor can give. modes: [S]
    which signals are numbers of modes, of which there is no mean. The order of readings does not matter.
    """
    more = [h.times[h.device >= 0] for h in (events, replaced) if h is not None]
    starts = np.concatenate([times, *more])
    starts, at = np.unique(
        np.append(starts - starts % tick, also if also is not None else starts[:0]), return_inverse=True
    )
    at = at[: len(times)]
    shape = (len(starts), len(devices), len(signals))
    cell = (at * shape[1] + device_at) * shape[2] + signal_at
    size = shape[0] * shape[1] * shape[2]
    bad = None
    if beyond is not None and beyond.any():
        outliers, counts = _means(cell[beyond], values[beyond], size)
        cell, times, values = cell[~beyond], times[~beyond], values[~beyond]
        with np.errstate(invalid="ignore"):
            share = np.nan_to_num(counts / (counts + np.bincount(cell, minlength=size)))
        bad = Beyond(values=outliers.reshape(shape), share=share.reshape(shape))
    means, _ = _means(cell, values, size)
    if modes is not None and modes.any():
        some = modes[cell % shape[2]]
        _put_most_frequent(cell[some], times[some], values[some], means)
    return Window(
        devices=devices,
        signals=signals,
        times=starts,
        values=means.reshape(shape),
        beyond=bad,
        events=marked(events, starts, tick),
        replaced=marked(replaced, starts, tick),
        attributes=attributes,
    )


def _means(cell: Ints, values: Floats, size: int) -> tuple[Floats, Ints]:
    """[size] the mean of the values of each cell, NaN where there is none, and how many there are."""
    counts = np.bincount(cell, minlength=size)
    with np.errstate(invalid="ignore"):
        means: Floats = np.bincount(cell, weights=values, minlength=size) / counts
    return means, counts


def _put_most_frequent(cell: Ints, times: Ints, values: Floats, into: Floats) -> None:
    """Writes the value that most readings of each cell have, of several the one that was measured last."""
    order = np.lexsort((times, values, cell))
    cell, times, values = cell[order], times[order], values[order]
    ends = np.nonzero(np.append((cell[1:] != cell[:-1]) | (values[1:] != values[:-1]), [True] * (len(cell) > 0)))[0]
    counts = np.diff(ends, prepend=-1)
    # The last one of a cell is written last, and stays.
    best = ends[np.lexsort((times[ends], counts, cell[ends]))]
    into[cell[best]] = values[best]


def marked(happened: Happenings | None, starts: Ints, tick: int) -> Marks:
    """Happenings as marks on ticks, given by their starts, which must hold them; those of unknown devices are left out."""
    if happened is None or not len(happened):
        return _NOTHING
    known = happened.device >= 0
    names, what = np.unique(np.array(happened.what, dtype=object)[known].astype(str), return_inverse=True)
    times = happened.times[known]
    at = np.searchsorted(starts, times - times % tick)
    order = np.argsort(at, kind="stable")
    return Marks(names=tuple(names.tolist()), at=at[order], device=happened.device[known][order], what=what[order])
