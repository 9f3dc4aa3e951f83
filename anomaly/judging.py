"""Judges devices on from what is stored of them, keeps their states, and goes back to a checkpoint where something came late."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from anomaly import late, store
from anomaly.detectors.failure_model import FailureModel
from anomaly.finding import Change, FindingChange, moment
from anomaly.health import of_scores
from anomaly.judge import EPISODES, State
from anomaly.known import SHADOW, Known
from core import log
from core.database import Connection
from telemetry import history
from telemetry.history import There
from telemetry.window import Floats, Tick, Window, floor

_log = log.get(__name__)

LOOK_BACK = 8
"""So many horizons of what is stored a model is shown that comes to a device that is judged already."""

Times = Mapping[int, int]
"""A time of each device, in microseconds since the epoch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Horizon:
    """What holds for one turn. far: how far back a device is judged again, in microseconds; 0 where it never is.

    seen: the transaction up to which events are looked at. now: the server's time. eventful: it is of devices that only
    send events.
    """

    far: int
    seen: int
    now: datetime
    eventful: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """Which devices were judged again, what is to be written of their findings that go on, and how many findings changed."""

    devices: tuple[int, ...] = ()
    extended: Sequence[FindingChange] = ()
    findings: int = 0


def window(
    connection: Connection,
    known: Known,
    starts: Times,
    ends: Times,
    seen: Times,
    horizon: Horizon,
    *,
    upto: Times | None = None,
) -> Window:
    """What is stored of devices between a start and an end of each. seen: up to which transaction each one's events are
    in its state. upto: up to which they are looked at, where that is not as far as the turn goes.
    """
    devices = list(starts)
    profile = known.judge.profile
    first = np.array([starts[device] for device in devices], dtype=np.int64)
    last = np.array([ends[device] for device in devices], dtype=np.int64)
    # A device that is new brings all that ever happened to it.
    since = np.array([starts[device] if seen[device] else 0 for device in devices], dtype=np.int64)
    looked = [horizon.seen if upto is None else upto[device] for device in devices]
    past = history.past(connection, devices, since, last, [seen[device] for device in devices], looked)
    tick = profile.tick // timedelta(microseconds=1)
    there = None
    if horizon.eventful:
        words = history.first_words(connection, devices, looked)
        begins = [floor(words[device], tick) if device in words else ends[device] for device in devices]
        there = There(starts=np.array(begins, dtype=np.int64), ends=last)
    return history.place(connection, devices if there is None else [], profile.signals).window(
        connection,
        first,
        last,
        tick=tick,
        names=np.array(devices, dtype=np.int64),
        past=past,
        there=there,
    )


def met(
    connection: Connection, known: Known, until: Times, seen: Mapping[int, int], horizon: Horizon
) -> list[FindingChange]:
    """Restores what is known of devices that were not met before; returns what is over because its judge is gone."""
    new = [device for device in until if device not in known.positions]
    if not new:
        return []
    first = len(known.positions)
    known.positions |= {device: first + at for at, device in enumerate(new)}
    known.state = known.state.grow(known.judge.fresh(len(new)))
    restored: dict[str, set[int]] = {name: set() for name in known.judge.layouts}
    other = set()
    for device, stored, version, packed in store.states(connection, new):
        if stored.startswith(SHADOW) != bool(known.prefix):
            continue
        name = stored.removeprefix(known.prefix)
        if known.judge.unpack(known.state, known.positions[device], name, version, packed):
            restored[name].add(device)
        elif name in known.judge.layouts:
            _log.warning("a stored state is of another version; it starts anew", device=device, detector=name)
            other.add((device, name))
    # A device that nobody judged yet brings its whole past by itself.
    strange = [d for d in new if d not in restored.get(FailureModel.name, ()) and seen[d]]
    if known.judge.model is not None and strange:
        caught_up(connection, known, {d: until[d] for d in strange}, seen, horizon)
    gone = [device for device in new if (device, EPISODES) in other]
    closing = {device: moment(until[device]) for device in gone}
    return store.open_findings(connection, gone, closing) if gone and not known.prefix else []


def judged(
    connection: Connection,
    known: Known,
    found: Window,
    starts: Times,
    ends: Times,
    horizon: Horizon,
    *,
    again: bool = False,
) -> list[FindingChange]:
    """Judges a window and stores the states after it, and those on the way that are needed to judge it again. again: it is, by what
    was known of the fleet then.
    """
    devices: list[int] = found.devices.tolist()
    at = known.at(devices)
    part = known.state.take(at)
    if not again:
        known.judge.acquaint(known.state, part)
    stops: dict[int, list[int]] = defaultdict(list)
    for position, device in enumerate(devices):
        for stop in late.checkpoints(starts[device], ends[device], horizon.far) if horizon.far else ():
            stops[stop].append(position)
    changes: list[FindingChange] = []
    newest = _Newest(devices=len(devices), tracks=len(known.judge.tracks))
    for stop, positions in sorted(stops.items()):
        before, found = found.cut(stop)
        changes += known.judge.run(before, part, newest.take)
        enough = {devices[p]: ends[devices[p]] - horizon.far for p in positions}
        store.save_checkpoints(connection, stop, horizon.seen, known.packed(part, devices, positions), enough)
    changes += known.judge.run(found, part, newest.take)
    known.state.put(at, part)
    store.save_states(connection, known.packed(part, devices, range(len(devices))))
    if not known.prefix:
        _save_health(connection, known, devices, newest)
    return changes


class _Newest:
    """The newest scores of each device, [D, K], and the tick they are of; 0 where it was not heard."""

    def __init__(self, *, devices: int, tracks: int) -> None:
        self.scores = np.full((devices, tracks), np.nan)
        self.ticks = np.zeros(devices, dtype=np.int64)

    def take(self, tick: Tick, scores: Floats) -> None:
        self.scores[tick.heard] = scores[tick.heard]
        self.ticks[tick.heard] = tick.time


def _save_health(connection: Connection, known: Known, devices: Sequence[int], newest: _Newest) -> None:
    profile = known.judge.profile
    components = list(profile.components)
    heard = np.nonzero(newest.ticks)[0]
    if not len(heard):
        return
    health = of_scores(newest.scores[heard], known.judge.tracks, components)
    at = [moment(tick) + profile.tick for tick in newest.ticks[heard].tolist()]
    store.save_health(connection, [devices[p] for p in heard.tolist()], components, health, at)


def begun(connection: Connection, known: Known, starts: Times, horizon: Horizon) -> None:
    """Keeps that nothing is known of devices before they are judged for the first time."""
    if not horizon.far:
        return
    nothing = known.judge.fresh(1)
    together: dict[int, list[int]] = defaultdict(list)
    for device, start in starts.items():
        together[start - horizon.far].append(device)
    for at, devices in together.items():
        packed = [row for device in devices for row in known.packed(nothing, [device], [0])]
        store.save_checkpoints(connection, at, 0, packed, dict.fromkeys(devices, at))


def judged_again(
    connection: Connection, known: Known, checkpoints: Mapping[int, store.Checkpoint], ends: Times, horizon: Horizon
) -> Again:
    """Judges devices anew from their checkpoints to an end of each; writes what that changes in what was found."""
    starts = {device: one.until for device, one in checkpoints.items() if _restored(known, device, one)}
    if not starts:
        return Again()
    seen = {device: checkpoints[device].seen for device in starts}
    found = window(connection, known, starts, ends, seen, horizon)
    changes = judged(connection, known, found, starts, ends, horizon, again=True)
    if known.prefix:
        store.revise_shadow(connection, known.model or 0, starts, changes, horizon.now)
        return Again(devices=tuple(starts))
    still = [
        (device, *mode) for device in starts for mode in known.judge.still_open(known.state, known.positions[device])
    ]
    told, again = store.told_since(connection, starts), late.seen(changes, still)
    changed = 0
    for key in sorted(told.keys() | again.keys()):
        revisions = late.revise(told.get(key, []), again.get(key, []))
        changed += store.revise(connection, revisions, moment(ends[key[0]]), horizon.now)
    goes_on = {(c.device, c.component, c.failure_mode): c for c in changes if c.change is Change.EXTENDED}
    extended = [goes_on[key] for key in still if key in goes_on]
    return Again(devices=tuple(starts), extended=extended, findings=changed)


def _restored(known: Known, device: int, checkpoint: store.Checkpoint) -> bool:
    """Puts a device back to a checkpoint; False, and nothing done, when that is of other detectors or another model."""
    own = known.judge.fresh(1)
    wanted = {name for name, (_, layout) in known.judge.layouts.items() if layout}
    for stored, version, state in checkpoint.states:
        name = stored.removeprefix(known.prefix)
        if stored == known.prefix + name and known.judge.unpack(own, 0, name, version, state):
            wanted.discard(name)
    if wanted:
        _log.warning("what came late is not judged: its checkpoint is of other detectors", device=device)
        return False
    known.state.put(known.at([device]), own)
    return True


def covering(connection: Connection, first: Times, until: Times, horizon: Horizon) -> dict[int, store.Checkpoint]:
    """The checkpoints to judge devices again from. first: what came earliest of each, before `until`, to where each is judged.

    What is older than can be judged again is said in the log.
    """
    old = [device for device in first if first[device] < until[device] - horizon.far]
    for device in old:
        _log.info("readings came too late to be judged", device=device, since=str(moment(first[device])))
    if not horizon.far:
        return {}
    return store.checkpoints(connection, {d: max(at, until[d] - horizon.far) for d, at in first.items()})


def caught_up(connection: Connection, known: Known, until: Times, seen: Mapping[int, int], horizon: Horizon) -> None:
    """Shows a model what is stored of the last time of devices that were judged before it came. seen: up to which
    transaction each one's events were looked at; those that came since are in the window that is judged next.
    """
    devices = list(until)
    back = LOOK_BACK * known.judge.profile.horizon // timedelta(microseconds=1)
    starts = {device: end - back for device, end in until.items()}
    found = window(connection, known, starts, until, dict.fromkeys(until, 0), horizon, upto=seen)
    at = known.at(devices)
    part = known.state.take(at)
    known.judge.follow(found, part)
    known.state.put(at, part)


def shown_anew(connection: Connection, known: Known, until: Times, horizon: Horizon) -> None:
    """Shows a model anew what is stored of devices that cannot go back, as it came after what they would go back to."""
    if known.judge.model is None or not until:
        return
    devices, name = list(until), FailureModel.name
    at = known.at(devices)
    known.state.put(at, State({name: known.judge.fresh(len(devices)).parts[name]}))
    caught_up(connection, known, until, dict.fromkeys(devices, horizon.seen), horizon)
    store.save_states(connection, known.packed(known.state.take(at), devices, range(len(devices))))
