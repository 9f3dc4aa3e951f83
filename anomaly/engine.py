"""The live engine: follows what was stored, judges it, and writes findings. One turn is one transaction.

States, cursor and findings move together, so a stop or a crash repeats nothing and loses nothing. Any number of engines
may run: the one that holds the cursor's row has the turn, and the others stand by.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import get_args

from anomaly import judging, late, progress, registry, silence, store
from anomaly.due import Due, Rules, by_events, by_readings, parts, together
from anomaly.finding import Change, FindingChange, moment
from anomaly.judge import Judge
from anomaly.judging import LOOK_BACK, Horizon
from anomaly.known import SHADOW, Known
from anomaly.learning.model import hash_of
from anomaly.progress import Judged
from anomaly.registry import Stage
from core import log
from core.clock import Clock
from core.database import Connection, Database
from core.profile import Profile
from telemetry import history
from telemetry.history import Span

_log = log.get(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What one turn did. `more` says that the next one should follow at once."""

    readings: int
    findings: int
    more: bool


@dataclass(slots=True)
class Waiting:
    """Devices of one profile that measured beyond the time up to which all of it are judged, and that time in microseconds."""

    spans: dict[int, Span] = field(default_factory=dict)
    shared: int = 0


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
        self._waiting: dict[str, Waiting] = {}

    def turn(self) -> Turn:
        """Judges what was stored since the last turn. Raises DatabaseAway."""
        try:
            with self._database.transaction() as connection:
                cursor = store.take_cursor(connection)
                if cursor is None:
                    return Turn(readings=0, findings=0, more=False)
                if cursor.turn != self._turn:
                    # Another process had the last turn, or this one has just started: what is in memory is old.
                    self._known, self._waiting = {}, {}
                used = registry.in_use(connection)
                if used != self._used:
                    self._known, self._used = {}, used
                upto = history.seen_now(connection)
                stored = history.stored_since(connection, cursor.xact, most_readings=self._most)
                # Events are followed as far as batches are: to where a backlog is cut, else to what none can overtake.
                upto = stored.cursor if stored.more else max(stored.cursor, upto)
                changes = self._judge(connection, stored.spans)
                changes += self._judge_eventful(connection, cursor.xact, upto)
                if not stored.more:
                    changes += self._listen(connection)
                store.apply(connection, changes, self._clock())
                turn = store.move_cursor(connection, upto)
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
        """Judges devices by what they measured."""
        changes: list[FindingChange] = []
        for profile, members in self._by_profile(progress.devices(connection, sorted(spans))):
            changes += self._begun_anew(connection, [m for m in members if m.eventful])
            if profile.detectors.fleet is None:
                due = [_due(m, spans[m.device], profile) for m in members]
            else:
                due, spans = self._together(connection, profile, members, spans)
            found, seen = self._judge_profile(connection, profile, due, self._horizon(connection, profile))
            changes += found
            progress.save_judged(
                connection, [(d.device, moment(d.end), spans[d.device].stored_at, seen[d.device]) for d in due]
            )
        return changes

    def _together(
        self, connection: Connection, profile: Profile, members: Sequence[Judged], spans: Mapping[int, Span]
    ) -> tuple[list[Due], Mapping[int, Span]]:
        """Devices that are compared with each other are judged together, once a tick is over for all of them. Returns what is due of
        those that measured now, and of those that wait since then, and what each of them measured.
        """
        waiting = self._waiting.setdefault(profile.name, Waiting())
        newest = max(spans[m.device].last for m in members)
        shared = Rules.of(profile).shared(min(newest, history.micros(self._clock())), profile)
        mine = {m.device: spans[m.device].joined(waiting.spans.get(m.device)) for m in members}
        if shared > waiting.shared:
            others = waiting.spans.keys() - mine.keys()
            there = progress.devices(connection, sorted(others))
            members = [*members, *(m for m in there if m.profile == profile.name)]
            mine |= {device: waiting.spans[device] for device in others}
            waiting.spans, waiting.shared = {}, shared
        due = [_due(m, mine[m.device], profile) for m in members]
        held = together(due, waiting.shared)
        for own, now in zip(due, held, strict=True):
            waiting.spans.pop(own.device, None)
            if own.end > now.end:
                waiting.spans[own.device] = mine[own.device]
        return held, {**spans, **mine}

    def _judge_eventful(self, connection: Connection, after: int, upto: int) -> list[FindingChange]:
        """Judges devices that never measured anything by their events."""
        now = history.micros(self._clock())
        before = {name: moment(Rules.of(profile).over(now)) for name, profile in self._profiles.items()}
        words = progress.spoken(connection, after, upto, before)
        changes: list[FindingChange] = []
        for profile, members in self._by_profile(words):
            found = [by_events(m, words[m], now, Rules.of(profile)) for m in members]
            due = [one for one in found if one is not None]
            horizon = replace(self._horizon(connection, profile), eventful=True)
            # Where neither a model nor a failure mode knows what codes mean, it is kept how far they were looked at.
            seen = {d.device: horizon.seen if d.end > d.start else d.seen for d in due}
            if profile.codes or any((profile.name, stage) in self._used for stage in get_args(Stage)):
                for part in parts(due, profile, back=LOOK_BACK * profile.horizon):
                    told, judged = self._judge_profile(connection, profile, part, horizon)
                    changes += told
                    seen |= judged
            progress.save_spoken(connection, [(d.device, moment(d.end), moment(d.last), seen[d.device]) for d in due])
        return changes

    def _by_profile(self, found: Iterable[Judged]) -> Iterator[tuple[Profile, list[Judged]]]:
        """Devices by their profile; those of a profile that is not known here are left out."""
        members: dict[str, list[Judged]] = defaultdict(list)
        for one in found:
            if one.profile in self._profiles:
                members[one.profile].append(one)
            else:
                _log.warning(
                    "a device's profile is not known here; it is not judged", device=one.device, profile=one.profile
                )
        return ((self._profiles[name], own) for name, own in members.items())

    def _horizon(self, connection: Connection, profile: Profile) -> Horizon:
        # Up to here: what commits later, though it happened before, is looked at next time.
        return Horizon(far=late.reach(profile), seen=history.seen_now(connection), now=self._clock())

    def _begun_anew(self, connection: Connection, devices: Sequence[Judged]) -> list[FindingChange]:
        """Forgets devices that were judged by events alone and measure now: from their first reading on they are as new, so
        that it makes no difference which of the two came first. Returns what was open of them, as over.
        """
        if not devices:
            return []
        for known in self._known.values():
            met = [d.device for d in devices if d.device in known.positions]
            known.state.put(known.at(met), known.judge.fresh(len(met)))
        return progress.forget(connection, {d.device: moment(d.until or 0) for d in devices})

    def _judge_profile(
        self, connection: Connection, profile: Profile, devices: Sequence[Due], horizon: Horizon
    ) -> tuple[list[FindingChange], dict[int, int]]:
        """Judges devices as far as they are due; returns what changed, and for each device the transaction up to which its
        events were seen. A device that judges nothing now looks at its events next time.
        """
        starts = {d.device: d.start for d in devices}
        ends = {d.device: d.end for d in devices}
        seen = {d.device: d.seen for d in devices}
        first = {d.device: d.late for d in devices if d.late is not None}
        changes = self._again(connection, profile, first, starts, seen, horizon)
        at = {device: start for device, start in starts.items() if ends[device] > start}
        if not at:
            return changes, seen
        known = self._loaded(connection, profile, "live")
        changes += judging.met(connection, known, at, seen, horizon)
        found = judging.window(connection, known, at, ends, seen, horizon)
        new = {device: start for device, start in at.items() if not seen[device]}
        judging.begun(connection, known, new, horizon)
        changes += judging.judged(connection, known, found, starts, ends, horizon)
        if (profile.name, "shadow") in self._used:
            shadow = self._loaded(connection, profile, "shadow")
            judging.met(connection, shadow, at, seen, horizon)
            judging.begun(connection, shadow, new, horizon)
            changed = judging.judged(connection, shadow, found, starts, ends, horizon)
            store.apply_shadow(connection, shadow.model or 0, changed, horizon.now)
        return changes, seen | dict.fromkeys(at, horizon.seen)

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
        changes = judging.met(connection, known, at, seen, horizon)
        again = judging.judged_again(connection, known, checkpoints, at, horizon)
        if (profile.name, "shadow") in self._used:
            shadow = self._loaded(connection, profile, "shadow")
            judging.met(connection, shadow, at, seen, horizon)
            # Both look at the same events, so they go back together.
            both = {device: checkpoints[device] for device in again.devices}
            went = judging.judged_again(connection, shadow, both, at, horizon).devices
            judging.shown_anew(connection, shadow, {d: at[d] for d in both if d not in went}, horizon)
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
            model = None
            if number is not None and registry.fits(connection, number, hash_of(profile)):
                model = registry.load(connection, number)
            elif number is not None:
                _log.warning(
                    "a model was learnt for another state of its profile, or by another release; train it again",
                    profile=profile.name,
                    stage=stage,
                )
            judge = Judge(profile, model, alone=stage == "shadow")
            prefix = SHADOW if stage == "shadow" else ""
            known = Known(judge=judge, positions={}, state=judge.fresh(0), prefix=prefix, model=number)
            self._known[profile.name, stage] = known
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
                changes.append(silence.told(device, what, heard.heard_at, now))
        return changes


def _due(judged: Judged, span: Span, profile: Profile) -> Due:
    return by_readings(judged, span.first, span.last, Rules.of(profile))
