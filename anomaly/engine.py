"""The live engine: follows what was stored, judges it, and writes findings. One turn is one transaction.

States, cursor and findings move together, so a stop or a crash repeats nothing and loses nothing. Any number of engines
may run: the one that holds the cursor's row has the turn, and the others stand by.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from anomaly import silence, store
from anomaly.finding import Change, FindingChange, moment
from anomaly.judge import Judge, State
from core import log
from core.clock import Clock
from core.database import Connection, Database
from core.profile import Profile
from telemetry import history, window
from telemetry.history import Span

_log = log.get(__name__)


@dataclass(slots=True)
class _Known:
    """State of all devices of one profile that this process has met."""

    judge: Judge
    positions: dict[int, int]
    state: State


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
        self._known: dict[str, _Known] = {}

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
        by_profile: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for device, profile, until in store.devices(connection, sorted(spans)):
            if profile in self._profiles:
                since = history.micros(until) if until else 0
                by_profile[profile].append((device, since))
            else:
                _log.warning("a device's profile is not known here; it is not judged", device=device, profile=profile)
        changes: list[FindingChange] = []
        for name, members in by_profile.items():
            changes += self._judge_profile(connection, self._profiles[name], members, spans)
        return changes

    def _judge_profile(
        self, connection: Connection, profile: Profile, members: list[tuple[int, int]], spans: Mapping[int, Span]
    ) -> list[FindingChange]:
        tick = profile.tick // timedelta(microseconds=1)
        lateness = profile.lateness // timedelta(microseconds=1)
        starts, ends = {}, {}
        for device, until in members:
            span = spans[device]
            starts[device] = until or window.floor(span.first, tick)
            # A tick is over once the device has measured beyond it; lateness leaves room for what comes out of order.
            ends[device] = max(starts[device], window.floor(span.last - lateness, tick))
            if span.first < starts[device]:
                _log.info("readings came after their tick was judged", device=device, since=str(moment(span.first)))
        changes: list[FindingChange] = []
        due = [device for device, _ in members if ends[device] > starts[device]]
        if due:
            found = history.place(connection, due, tuple(profile.signals)).window(
                connection,
                np.array([starts[device] for device in due], dtype=np.int64),
                np.array([ends[device] for device in due], dtype=np.int64),
                tick=tick,
                names=np.array(due, dtype=np.int64),
            )
            known = self._load(connection, profile, due)
            at = np.array([known.positions[device] for device in due], dtype=np.int64)
            part = known.state.take(at)
            changes = known.judge.run(found, part)
            known.state.put(at, part)
            store.save_states(
                connection, [(d, *packed) for i, d in enumerate(due) for packed in known.judge.pack(part, i)]
            )
        store.save_judged(
            connection, [(device, moment(ends[device]), spans[device].stored_at) for device, _ in members]
        )
        return changes

    def _load(self, connection: Connection, profile: Profile, due: list[int]) -> _Known:
        known = self._known.get(profile.name)
        if known is None:
            judge = Judge(profile)
            known = self._known[profile.name] = _Known(judge=judge, positions={}, state=judge.fresh(0))
        new = [device for device in due if device not in known.positions]
        if new:
            first = len(known.positions)
            known.positions |= {device: first + at for at, device in enumerate(new)}
            known.state = known.state.grow(known.judge.fresh(len(new)))
            for device, name, version, packed in store.states(connection, new):
                if not known.judge.unpack(known.state, known.positions[device], name, version, packed):
                    _log.warning("a stored state is of another version; it starts anew", device=device, detector=name)
        return known

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
