"""Alarms against failures: which were foreseen, how early, at what cost of false alarms.

The unit is device x component x failure. An alarm foresees a failure of its component when it *starts* at least the
lead and at most the horizon before it. One that starts earlier, or blames another component, is false; one that starts
within the lead is late, neither right nor false.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from anomaly.judgement.alarms import Alarms, Part
from telemetry.window import Bools, Floats, Ints

BUDGETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0)
_HOUR = 3_600_000_000
_RESAMPLES = 1000
_MANY = 100
"""Known failures from which on the next is weaker than all of them no more than once in a hundred."""


class Verdict(IntEnum):
    """What an alarm was."""

    FALSE = 0
    HIT = 1
    LATE = 2
    WRONG_COMPONENT = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Failures:
    """N failures that are judged. device, component: [N] positions. time: [N] microseconds since the epoch.
    horizon: [N] how long before it an alarm may start, microseconds.
    """

    device: Ints
    component: Ints
    time: Ints
    horizon: Ints

    def __len__(self) -> int:
        return len(self.time)

    def take(self, at: Bools | Ints) -> "Failures":
        """Those at some positions, or where a mask says so."""
        return Failures(
            device=self.device[at], component=self.component[at], time=self.time[at], horizon=self.horizon[at]
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Matched:
    """Alarms beside failures. lead: [F] microseconds from the first right alarm to the failure, -1 where it was missed.
    right: [F] 1 when the first alarm of any component in time blamed the right one, 0 when not, -1 without any.
    verdict: [A]. healthy: [A] whether the alarm is false and far from every failure of its device.
    """

    lead: Ints
    right: Ints
    verdict: Ints
    healthy: Bools


def match(alarms: Alarms, failures: Failures, lead: int, *, settle: int = 0) -> Matched:
    """Judges each alarm and each failure. settle: time after a failure that is no healthy time, microseconds."""
    leads = np.full(len(failures), -1, dtype=np.int64)
    right = np.full(len(failures), -1, dtype=np.int64)
    verdict = np.full(len(alarms), Verdict.FALSE, dtype=np.int64)
    healthy = np.ones(len(alarms), dtype=bool)
    failed: dict[int, list[int]] = {}
    for at, device in enumerate(failures.device.tolist()):
        failed.setdefault(device, []).append(at)
    by_device = np.argsort(alarms.device, kind="stable")
    devices = alarms.device[by_device]
    for device, own in failed.items():
        mine = by_device[slice(*np.searchsorted(devices, (device, device + 1)).tolist())]
        if not len(mine):
            continue
        start, component, score = alarms.start[mine], alarms.component[mine], alarms.score[mine]
        hits = np.zeros(len(mine), dtype=bool)
        late = np.zeros(len(mine), dtype=bool)
        wrong = np.zeros(len(mine), dtype=bool)
        in_time = {}
        for at in own:
            before = failures.time[at] - start
            same = component == failures.component[at]
            within = (before >= lead) & (before <= failures.horizon[at])
            in_time[at] = within
            hits |= within & same
            late |= same & (before >= 0) & (before < lead)
            wrong |= within & ~same
            healthy[mine[(before <= failures.horizon[at]) & (before >= -settle)]] = False
            if (within & same).any():
                leads[at] = before[within & same].max()
        for at, within in in_time.items():
            if within.any():
                # Of alarms that open together the strongest counts: that is the one a person reads first.
                first = min(np.nonzero(within)[0].tolist(), key=lambda a: (start[a], -score[a]))
                right[at] = int(component[first] == failures.component[at] or hits[first])
        verdict[mine] = np.select(
            [hits, late, wrong], [int(Verdict.HIT), int(Verdict.LATE), int(Verdict.WRONG_COMPONENT)], int(Verdict.FALSE)
        )
    return Matched(lead=leads, right=right, verdict=verdict, healthy=healthy & (verdict == Verdict.FALSE))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What is counted for each of D devices at one threshold, and for each judged failure its device, lead (hours), mark
    of the component and whether an alarm came too early.
    """

    failures: Ints
    foreseen: Ints
    hits: Ints
    false: Ints
    late: Ints
    alarms: Ints
    device: Ints
    lead_hours: Floats
    right: Ints
    early: Bools


def tally(alarms: Alarms, failures: Failures, lead: int, part: Part, known: Bools) -> Tally:
    """Counts alarms and failures of a part of the history. alarms: merged already. failures: all of these devices.
    known: [F] whether the device measured at a time when the failure could have been foreseen; others do not count.
    """
    size = len(part.devices)
    matched = match(alarms, failures, lead)
    inside = part.holds(alarms.device, alarms.start)
    judged = known & part.holds(failures.device, failures.time)

    def count(where: Ints) -> Ints:
        return np.bincount(where, minlength=size)

    false = (matched.verdict == Verdict.FALSE) | (matched.verdict == Verdict.WRONG_COMPONENT)
    device = failures.device[judged]
    leads = matched.lead[judged]
    return Tally(
        failures=count(device),
        foreseen=count(device[leads >= 0]),
        hits=count(alarms.device[inside & (matched.verdict == Verdict.HIT)]),
        false=count(alarms.device[inside & false]),
        late=count(alarms.device[inside & (matched.verdict == Verdict.LATE)]),
        alarms=count(alarms.device[inside]),
        device=device,
        lead_hours=np.where(leads >= 0, leads / _HOUR, np.nan),
        right=matched.right[judged],
        early=early(alarms.take(inside), failures)[judged],
    )


def early(alarms: Alarms, failures: Failures) -> Bools:
    """[F] whether an alarm of its component came before the failure's horizon, and after the failure before it."""
    result = np.zeros(len(failures), dtype=bool)
    alarms = alarms.take(np.isin(alarms.device, failures.device))
    for at in range(len(failures)):
        same = (failures.device == failures.device[at]) & (failures.component == failures.component[at])
        earlier = failures.time[same & (failures.time < failures.time[at])]
        begin = earlier.max() if len(earlier) else -1
        own = (alarms.device == failures.device[at]) & (alarms.component == failures.component[at])
        starts = alarms.start[own]
        result[at] = ((starts > begin) & (starts < failures.time[at] - failures.horizon[at])).any()
    return result


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The judged figures at one budget and lead. None where nothing can be said: a precision without any alarm.

    budget: None is the profile's own threshold; where healthy_flagged was asked for, the share of them. recall_low, recall_high: 95 % bootstrap interval by device.
    factor: the threshold against the profile's own; the median where each group of devices has its own; None: no
    threshold keeps the budget. healthy_flagged: share of the devices without a failure that had an alarm. too_early:
    share of failures with an alarm of their component before the horizon, since the failure before.
    """

    budget: float | None
    lead_hours: float
    recall: float | None
    recall_low: float | None
    recall_high: float | None
    precision: float | None
    false_per_device_month: float | None
    lead_median_hours: float | None
    lead_p10_hours: float | None
    component_right: float | None
    failures: int
    foreseen: int
    false: int
    late: int
    healthy_flagged: float | None
    too_early: float | None
    factor: float | None


def threshold(rates: Sequence[float], budget: float, foreseen: Sequence[int] | None = None) -> int | None:
    """The lowest threshold whose false alarms, and those of each higher one, stay within the budget. Thresholds rise.

    foreseen: how many known failures each threshold foresees; then one of those within the budget that foresee most. Of
    few failures the lowest, as the next may be weaker than all of them; of 100 or more the highest that foresees all but one in a
    hundred of them, as what is told by lower ones is hardly ever a failure. None when even the highest costs too much. A very
    low threshold gives one endless episode, which would look cheap: so the search comes from above.
    """
    within = len(rates)
    while within > 0 and rates[within - 1] <= budget:
        within -= 1
    if within == len(rates):
        return None
    if foreseen is None:
        return within
    most = max(foreseen[within:])
    good = [at for at in range(within, len(rates)) if foreseen[at] >= most * (1 - 1 / _MANY)]
    return good[-1] if most >= _MANY else good[0]


def row(
    tallies: Sequence[tuple[Tally, Bools]],
    months: Floats,
    failing: Bools,
    *,
    budget: float | None,
    lead_hours: float,
    factor: float | None,
    seed: int = 0,
) -> Row:
    """One row of several groups of devices, each counted at its own threshold. months: [D] judged device-months.
    failing: [D] devices that fail at some time.
    """
    size = len(months)
    counts = {name: np.zeros(size, dtype=np.int64) for name in ("failures", "foreseen", "hits", "false", "late")}
    leads, right, too_early = [], [], []
    flagged = np.zeros(size, dtype=bool)
    judged = np.zeros(size, dtype=bool)
    for found, members in tallies:
        judged |= members
        counts = {name: sums + np.where(members, getattr(found, name), 0) for name, sums in counts.items()}
        leads.append(found.lead_hours[members[found.device]])
        right.append(found.right[members[found.device]])
        too_early.append(found.early[members[found.device]])
        flagged |= members & (found.alarms > 0)
    lead = np.concatenate([x[np.isfinite(x)] for x in leads]) if leads else np.empty(0)
    told = np.concatenate(right) if right else np.empty(0)
    told = told[told >= 0]
    total = {name: int(column.sum()) for name, column in counts.items()}
    time = float(months[judged].sum())
    well = judged & ~failing
    low, high = interval(counts["foreseen"][judged], counts["failures"][judged], seed=seed)
    return Row(
        budget=budget,
        lead_hours=lead_hours,
        recall=_share(total["foreseen"], total["failures"]),
        recall_low=low,
        recall_high=high,
        precision=_share(total["hits"], total["hits"] + total["false"]),
        false_per_device_month=total["false"] / time if time > 0 else None,
        lead_median_hours=float(np.median(lead)) if len(lead) else None,
        lead_p10_hours=float(np.quantile(lead, 0.1)) if len(lead) else None,
        component_right=float(told.mean()) if len(told) else None,
        failures=total["failures"],
        foreseen=total["foreseen"],
        false=total["false"],
        late=total["late"],
        healthy_flagged=_share(int((flagged & well).sum()), int(well.sum())),
        too_early=_share(int(np.concatenate(too_early).sum()), total["failures"]) if too_early else None,
        factor=factor,
    )


def interval(part: Ints, whole: Ints, *, seed: int = 0) -> tuple[float | None, float | None]:
    """The 95 % bootstrap interval of sum(part) / sum(whole) over devices, which are drawn anew a thousand times."""
    if not whole.sum():
        return None, None
    size, some = len(whole), whole > 0
    # Devices without a failure only take places in the draw: one entry stands for all of them.
    chances = np.append(np.full(some.sum(), 1 / size), (~some).sum() / size)
    drawn = np.random.default_rng(seed).multinomial(size, chances / chances.sum(), size=_RESAMPLES)[:, :-1]
    number = drawn @ whole[some]
    shares = (drawn @ part[some])[number > 0] / number[number > 0]
    return float(np.quantile(shares, 0.025)), float(np.quantile(shares, 0.975))


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
