"""What became of findings: how many were confirmed, how many were false, and how a shadow compares with what is live.

All here is a function of values. A finding's verdict is that of the ticket of the same device and component that a person
solved: a shadow opens none of its own, so it lives on the tickets of what is live.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

from anomaly.judgement import alarms
from proactive.ticket import Resolution

MONTH = timedelta(microseconds=alarms.MONTH)
"""A device-month, as long as in a backtest."""
_ENOUGH = 0.1
"""Device-months below which a rate would be chance alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A finding of what is live, or of a shadow. opened_at, closed_at: by the device's clock. stored_at: by ours."""

    device: int
    component: str
    opened_at: datetime
    closed_at: datetime | None
    stored_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How a ticket about a component of a device ended. Times by our clock."""

    device: int
    component: str
    opened_at: datetime
    solved_at: datetime
    resolution: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Findings of something that judges, and their verdicts. months: device-months that it judged."""

    findings: int
    confirmed: int
    no_fault_found: int
    months: float

    @property
    def verdicts(self) -> int:
        """How many findings have an answer."""
        return self.confirmed + self.no_fault_found

    @property
    def precision(self) -> float | None:
        """The confirmed share of the findings with an answer; None while none has."""
        return self.confirmed / self.verdicts if self.verdicts else None

    @property
    def false_alarms(self) -> float | None:
        """An estimate of the false alarms a device-month: findings without an answer are as often false as those with one.
        None while nothing or hardly anything was judged.
        """
        if not self.verdicts or self.months < _ENOUGH:
            return None
        return self.findings * self.no_fault_found / self.verdicts / self.months

    @property
    def unconfirmed(self) -> float | None:
        """Findings a device-month that nobody confirmed: the false alarms cannot be more. None as above."""
        return (self.findings - self.confirmed) / self.months if self.months >= _ENOUGH else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A shadow beside what is live, over the time that both judged, on the components that the shadow knows.

    ahead: by how much the shadow was earlier where both found a fault (negative: later), the median; None where none.
    """

    since: datetime
    until: datetime
    live: Record
    shadow: Record
    both: int
    shadow_first: int
    live_first: int
    ahead: timedelta | None

    @property
    def only_live(self) -> int:
        """Findings of what is live that the shadow does not have."""
        return self.live.findings - self.both

    @property
    def only_shadow(self) -> int:
        """Findings of the shadow that what is live does not have."""
        return self.shadow.findings - self.both


def compare(
    live: Iterable[Found],
    shadow: Iterable[Found],
    verdicts: Sequence[Verdict],
    *,
    since: datetime,
    until: datetime,
    horizon: timedelta,
    months: float,
) -> Comparison:
    """Compares what was found from `since` on. A fault that either knew before is left out on both sides.

    horizon: findings of one component that lie no farther apart are one fault, and a ticket opened within it answers.
    """
    pairs, live_alone, shadow_alone = _paired(list(live), list(shadow), horizon)
    pairs = [(a, b) for a, b in pairs if a.stored_at >= since and b.stored_at >= since]
    of_live = [a for a, _ in pairs] + [a for a in live_alone if a.stored_at >= since]
    of_shadow = [b for _, b in pairs] + [b for b in shadow_alone if b.stored_at >= since]
    ahead = [a.opened_at - b.opened_at for a, b in pairs]
    return Comparison(
        since=since,
        until=until,
        live=record(of_live, verdicts, horizon=horizon, months=months),
        shadow=record(of_shadow, verdicts, horizon=horizon, months=months),
        both=len(pairs),
        shadow_first=sum(lead > timedelta(0) for lead in ahead),
        live_first=sum(lead < timedelta(0) for lead in ahead),
        ahead=timedelta(seconds=median(lead.total_seconds() for lead in ahead)) if ahead else None,
    )


def record(found: Sequence[Found], verdicts: Sequence[Verdict], *, horizon: timedelta, months: float) -> Record:
    """How findings ended."""
    by_part: dict[tuple[int, str], list[Verdict]] = defaultdict(list)
    for verdict in sorted(verdicts, key=lambda v: v.solved_at):
        by_part[verdict.device, verdict.component].append(verdict)
    ends = [_answer(one, by_part.get((one.device, one.component), []), horizon) for one in found]
    return Record(
        findings=len(found),
        confirmed=ends.count(Resolution.CONFIRMED),
        no_fault_found=ends.count(Resolution.NO_FAULT_FOUND),
        months=months,
    )


def _answer(found: Found, verdicts: Sequence[Verdict], horizon: timedelta) -> str | None:
    """The resolution of the first ticket that was open when the finding came, or was opened within the horizon after."""
    for verdict in verdicts:
        if verdict.opened_at - horizon <= found.stored_at <= verdict.solved_at:
            return verdict.resolution
    return None


def _paired(
    live: list[Found], shadow: list[Found], horizon: timedelta
) -> tuple[list[tuple[Found, Found]], list[Found], list[Found]]:
    """Findings of both that are one fault, and what each has alone."""
    others: dict[tuple[int, str], list[Found]] = defaultdict(list)
    for one in sorted(shadow, key=lambda f: f.opened_at):
        others[one.device, one.component].append(one)
    pairs, alone = [], []
    for one in sorted(live, key=lambda f: f.opened_at):
        near = others.get((one.device, one.component), [])
        other = next((o for o in near if _one_fault(one, o, horizon)), None)
        if other is None:
            alone.append(one)
        else:
            near.remove(other)
            pairs.append((one, other))
    return pairs, alone, [one for rest in others.values() for one in rest]


def _one_fault(a: Found, b: Found, horizon: timedelta) -> bool:
    first, second = (a, b) if a.opened_at <= b.opened_at else (b, a)
    return first.closed_at is None or second.opened_at <= first.closed_at + horizon
