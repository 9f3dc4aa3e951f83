"""The live engine: follows what was stored, judges it, and writes findings. One turn is one transaction.

States, cursor and findings move together, so a stop or a crash repeats nothing and loses nothing. Any number of engines
may run: the one that holds the cursor's row has the turn, and the others stand by.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from anomaly import registry, silence, store
from anomaly.detectors.failure_model import FailureModel
from anomaly.finding import Change, FindingChange, moment
from anomaly.judge import EPISODES, Judge, State
from anomaly.model import hash_of
from anomaly.registry import Stage
from core import log
from core.clock import Clock
from core.database import Connection, Database
from core.profile import Profile
from telemetry import history, window
from telemetry.history import Span
from telemetry.window import Window

_log = log.get(__name__)


_SHADOW = "shadow "
"""Before the names of a shadow's states, so that they stand beside those of what is live."""
_LOOK_BACK = 8
"""So many horizons of stored readings a model is shown that comes to a device that is judged already."""


@dataclass(slots=True)
class _Known:
    """State of all devices of one profile that this process has met. model: the id of the model it judges by."""

    judge: Judge
    positions: dict[int, int]
    state: State
    prefix: str = ""
    model: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What one turn did. `more` says that the next one should follow at once."""

    readings: int
    findings: int
    more: bool


class DetectionEngine:
    """Judges stored readings of all profiles."""

    def __init__(
        self, database: Database, profiles: Mapping[str, Profile], clock: Clock, *, most_readings: int = 2_000_000
    ) -> None:
        self._database = database
        self._profiles = profiles
        self._clock = clock
        self._most = most_readings
        self._turn = -1
        self._known: dict[tuple[str, Stage], _Known] = {}
        self._used: dict[tuple[str, Stage], int] = {}

    def turn(self) -> Turn:
        """Judges what was stored since the last turn. Raises DatabaseAway."""
        try:
            with self._database.transaction() as connection:
                cursor = store.take_cursor(connection)
                if cursor is None:
                    return Turn(readings=0, findings=0, more=False)
                if cursor.turn != self._turn:
                    # Another process had the last turn, or this one has just started: what is in memory is old.
                    self._known = {}
                used = registry.in_use(connection)
                if used != self._used:
                    self._known, self._used = {}, used
                stored = history.stored_since(connection, cursor.xact, most_readings=self._most)
                changes = self._judge(connection, stored.spans)
                if not stored.more:
                    changes += self._listen(connection)
                store.apply(connection, changes, self._clock())
                turn = store.move_cursor(connection, stored.cursor)
        except BaseException:
            # The transaction is gone, so the states that were moved in memory are wrong.
            self._turn = -1
            raise
        self._turn = turn
        told = [c for c in changes if c.change is not Change.EXTENDED]
        for change in told:
            _log.info("finding", change=str(change.change), device=change.device, failure_mode=change.failure_mode)
        return Turn(readings=stored.readings, findings=len(told), more=stored.more)

    def _judge(self, connection: Connection, spans: Mapping[int, Span]) -> list[FindingChange]:
        by_profile: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
        for device, profile, until, seen in store.devices(connection, sorted(spans)):
            if profile in self._profiles:
                since = history.micros(until) if until else 0
                by_profile[profile].append((device, since, seen))
            else:
                _log.warning("a device's profile is not known here; it is not judged", device=device, profile=profile)
        changes: list[FindingChange] = []
        for name, members in by_profile.items():
            changes += self._judge_profile(connection, self._profiles[name], members, spans)
        return changes

    def _judge_profile(
        self, connection: Connection, profile: Profile, members: list[tuple[int, int, int]], spans: Mapping[int, Span]
    ) -> list[FindingChange]:
        tick = profile.tick // timedelta(microseconds=1)
        lateness = profile.lateness // timedelta(microseconds=1)
        starts, ends, seen = {}, {}, {}
        for device, until, events in members:
            span = spans[device]
            starts[device] = until or window.floor(span.first, tick)
            # A tick is over once the device has measured beyond it; lateness leaves room for what comes out of order.
            ends[device] = max(starts[device], window.floor(span.last - lateness, tick))
            # A device that is new brings its whole past; one that judges nothing now looks at its events next time.
            seen[device] = events
            if span.first < starts[device]:
                _log.info("readings came after their tick was judged", device=device, since=str(moment(span.first)))
        changes: list[FindingChange] = []
        due = [device for device, _, _ in members if ends[device] > starts[device]]
        if due:
            past = history.past(
                connection,
                due,
                np.array([starts[device] if seen[device] else 0 for device in due], dtype=np.int64),
                np.array([ends[device] for device in due], dtype=np.int64),
                [seen[device] for device in due],
            )
            now = history.seen_now(connection)
            seen |= dict.fromkeys(due, now)
            found = history.place(connection, due, tuple(profile.signals)).window(
                connection,
                np.array([starts[device] for device in due], dtype=np.int64),
                np.array([ends[device] for device in due], dtype=np.int64),
                tick=tick,
                names=np.array(due, dtype=np.int64),
                past=past,
            )
            judged_until = {device: moment(starts[device]) for device in due}
            known = self._loaded(connection, profile, "live")
            changes = self._met(connection, known, due, judged_until) + self._judged(connection, known, due, found)
            if (profile.name, "shadow") in self._used:
                shadow = self._loaded(connection, profile, "shadow")
                self._met(connection, shadow, due, judged_until)
                changed = self._judged(connection, shadow, due, found)
                store.apply_shadow(connection, shadow.model or 0, changed, self._clock())
        store.save_judged(
            connection,
            [(device, moment(ends[device]), spans[device].stored_at, seen[device]) for device, _, _ in members],
        )
        return changes

    def _judged(self, connection: Connection, known: _Known, due: list[int], found: Window) -> list[FindingChange]:
        at = np.array([known.positions[device] for device in due], dtype=np.int64)
        part = known.state.take(at)
        changes = known.judge.run(found, part)
        known.state.put(at, part)
        packed = [(d, known.prefix + n, v, s) for i, d in enumerate(due) for n, v, s in known.judge.pack(part, i)]
        store.save_states(connection, packed)
        return changes

    def _loaded(self, connection: Connection, profile: Profile, stage: Stage) -> _Known:
        known = self._known.get((profile.name, stage))
        if known is None:
            number = self._used.get((profile.name, stage))
            model = registry.load(connection, number) if number is not None else None
            if model is not None and model.profile_hash != hash_of(profile):
                _log.warning("a model was learnt for another state of its profile; train it again", model=model.version)
                model = None
            judge = Judge(profile, model, alone=stage == "shadow")
            prefix = _SHADOW if stage == "shadow" else ""
            known = _Known(judge=judge, positions={}, state=judge.fresh(0), prefix=prefix, model=number)
            self._known[profile.name, stage] = known
        return known

    def _met(
        self, connection: Connection, known: _Known, due: list[int], until: Mapping[int, datetime]
    ) -> list[FindingChange]:
        """Restores what is known of devices that were not met before; returns what is over because its judge is gone."""
        new = [device for device in due if device not in known.positions]
        if not new:
            return []
        first = len(known.positions)
        known.positions |= {device: first + at for at, device in enumerate(new)}
        known.state = known.state.grow(known.judge.fresh(len(new)))
        restored: dict[str, set[int]] = {name: set() for name in known.judge.layouts}
        judged, other = set(), set()
        for device, stored, version, packed in store.states(connection, new):
            if stored.startswith(_SHADOW) != bool(known.prefix):
                continue
            name = stored.removeprefix(known.prefix)
            judged.add(device)
            if known.judge.unpack(known.state, known.positions[device], name, version, packed):
                restored[name].add(device)
            elif name in known.judge.layouts:
                _log.warning("a stored state is of another version; it starts anew", device=device, detector=name)
                other.add((device, name))
        self._catch_up(connection, known, [d for d in new if d not in restored.get(FailureModel.name, ())], until)
        gone = [device for device in new if (device, EPISODES) in other]
        return store.open_findings(connection, gone, until) if gone and not known.prefix else []

    def _catch_up(
        self, connection: Connection, known: _Known, devices: list[int], until: Mapping[int, datetime]
    ) -> None:
        """Shows a model what is stored of devices that were judged before it came."""
        profile = known.judge.profile
        if known.judge.model is None or not devices:
            return
        ends = np.array([history.micros(until[device]) for device in devices], dtype=np.int64)
        back = _LOOK_BACK * profile.horizon // timedelta(microseconds=1)
        tick = profile.tick // timedelta(microseconds=1)
        past = history.past(connection, devices, ends * 0, ends, [0] * len(devices))
        found = history.place(connection, devices, tuple(profile.signals)).window(
            connection, ends - back, ends, tick=tick, names=np.array(devices, dtype=np.int64), past=past
        )
        at = np.array([known.positions[device] for device in devices], dtype=np.int64)
        part = known.state.take(at)
        known.judge.follow(found, part)
        known.state.put(at, part)

    def _listen(self, connection: Connection) -> list[FindingChange]:
        now = self._clock()
        shortest = min((p.silence_after for p in self._profiles.values()), default=timedelta.max)
        changes = []
        for device, name, heard in store.listening(connection, now - shortest):
            profile = self._profiles.get(name)
            if profile is None:
                continue
            what = silence.listen(heard, profile.silence_after, now)
            if what is not silence.Heard.NO_CHANGE:
                changes.append(_silence(device, what, heard.heard_at, now))
        return changes


def _silence(device: int, what: silence.Heard, heard_at: datetime, now: datetime) -> FindingChange:
    fell = what is silence.Heard.FELL_SILENT
    return FindingChange(
        change=Change.OPENED if fell else Change.CLOSED,
        device=device,
        kind="silence",
        component=silence.COMPONENT,
        failure_mode=silence.FAILURE_MODE,
        severity="warning",
        detector=silence.DETECTOR,
        version=silence.VERSION,
        began_at=heard_at,
        at=now,
        score=1.0 if fell else 0.0,
        because=f"nothing was received since {heard_at:%Y-%m-%d %H:%M} UTC" if fell else "",
    )
