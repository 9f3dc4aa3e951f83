"""The live engine: follows what was stored, judges it, and writes findings. One turn is one transaction.

States, cursor and findings move together, so a stop or a crash repeats nothing and loses nothing. Any number of engines
may run: the one that holds the cursor's row has the turn, and the others stand by.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from anomaly import judging, late, registry, silence, store
from anomaly.detectors.failure_model import FailureModel
from anomaly.finding import Change, FindingChange, moment
from anomaly.judge import EPISODES, Judge
from anomaly.judging import Horizon
from anomaly.known import SHADOW, Known
from anomaly.model import hash_of
from anomaly.registry import Stage
from core import log
from core.clock import Clock
from core.database import Connection, Database
from core.profile import Profile
from telemetry import history, window
from telemetry.history import Span

_log = log.get(__name__)


_LOOK_BACK = 8
"""So many horizons of stored readings a model is shown that comes to a device that is judged already."""


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
        self._known: dict[tuple[str, Stage], Known] = {}
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
        tick, lateness = (d // timedelta(microseconds=1) for d in (profile.tick, profile.lateness))
        # Up to here: what commits later, though it happened before, is looked at next time.
        horizon = Horizon(far=late.reach(profile), seen=history.seen_now(connection), now=self._clock())
        starts, ends, seen, first = {}, {}, {}, {}
        for device, until, events in members:
            span = spans[device]
            begin = window.floor(span.first, tick)
            # A device of which nothing was judged yet begins with what it measured first, however it came.
            starts[device] = until if events else min(until or begin, begin)
            # A tick is over once the device has measured beyond it; lateness leaves room for what comes out of order.
            ends[device] = max(starts[device], window.floor(span.last - lateness, tick))
            # A device that judges nothing now looks at its events next time.
            seen[device] = events
            if span.first < starts[device]:
                first[device] = span.first
        due = [device for device, _, _ in members if ends[device] > starts[device]]
        changes = self._again(connection, profile, first, starts, seen, horizon)
        if due:
            at = {device: starts[device] for device in due}
            known = self._loaded(connection, profile, "live")
            changes += self._met(connection, known, at, seen, horizon)
            found = judging.window(connection, known, at, ends, seen, horizon)
            new = {device: starts[device] for device in due if not seen[device]}
            judging.begun(connection, known, new, horizon)
            changes += judging.judged(connection, known, found, starts, ends, horizon)
            if (profile.name, "shadow") in self._used:
                shadow = self._loaded(connection, profile, "shadow")
                self._met(connection, shadow, at, seen, horizon)
                judging.begun(connection, shadow, new, horizon)
                changed = judging.judged(connection, shadow, found, starts, ends, horizon)
                store.apply_shadow(connection, shadow.model or 0, changed, horizon.now)
            seen |= dict.fromkeys(due, horizon.seen)
        store.save_judged(
            connection,
            [(device, moment(ends[device]), spans[device].stored_at, seen[device]) for device, _, _ in members],
        )
        return changes

    def _again(
        self,
        connection: Connection,
        profile: Profile,
        first: Mapping[int, int],
        until: Mapping[int, int],
        seen: dict[int, int],
        horizon: Horizon,
    ) -> list[FindingChange]:
        """Judges again the devices of which something came late, up to where they were judged. Moves `seen`."""
        checkpoints = judging.covering(connection, first, until, horizon) if first else {}
        if not checkpoints:
            return []
        at = {device: until[device] for device in checkpoints}
        known = self._loaded(connection, profile, "live")
        changes = self._met(connection, known, at, seen, horizon)
        again = judging.judged_again(connection, known, checkpoints, at, horizon)
        if (profile.name, "shadow") in self._used:
            shadow = self._loaded(connection, profile, "shadow")
            self._met(connection, shadow, at, seen, horizon)
            # Both look at the same events, so they go back together.
            both = {device: checkpoints[device] for device in again.devices}
            judging.judged_again(connection, shadow, both, at, horizon)
        seen |= dict.fromkeys(again.devices, horizon.seen)
        if again.devices:
            _log.info(
                "judged again what came late",
                profile=profile.name,
                devices=len(again.devices),
                findings=again.findings,
            )
        return [*changes, *again.extended]

    def _loaded(self, connection: Connection, profile: Profile, stage: Stage) -> Known:
        known = self._known.get((profile.name, stage))
        if known is None:
            number = self._used.get((profile.name, stage))
            model = registry.load(connection, number) if number is not None else None
            if model is not None and model.profile_hash != hash_of(profile):
                _log.warning(
                    "a model was learnt for another state of its profile, or from other features; train it again",
                    model=model.version,
                )
                model = None
            judge = Judge(profile, model, alone=stage == "shadow")
            prefix = SHADOW if stage == "shadow" else ""
            known = Known(judge=judge, positions={}, state=judge.fresh(0), prefix=prefix, model=number)
            self._known[profile.name, stage] = known
        return known

    def _met(
        self,
        connection: Connection,
        known: Known,
        until: Mapping[int, int],
        seen: Mapping[int, int],
        horizon: Horizon,
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
            back = _LOOK_BACK * known.judge.profile.horizon
            judging.caught_up(connection, known, {d: until[d] for d in strange}, back, horizon)
        gone = [device for device in new if (device, EPISODES) in other]
        closing = {device: moment(until[device]) for device in gone}
        return store.open_findings(connection, gone, closing) if gone and not known.prefix else []

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
