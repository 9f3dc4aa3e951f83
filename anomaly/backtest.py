"""Runs a profile over recorded history, by the code that runs live, and judges what it would have said.

One pass in the order of time: the judge sees each tick once and never the future. Beside it, the same episode code runs
at other thresholds, so that a threshold can be set from healthy history for each false-alarm budget.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from anomaly.finding import Change, FindingChange
from anomaly.judge import Judge
from anomaly.judgement import baselines, failures, intervals, nab, remaining
from anomaly.judgement.alarms import FACTORS, LIVE, Alarms, Exposure, Part, Sweep
from anomaly.judgement.failures import Failures, Row, Tally
from anomaly.judgement.intervals import IntervalFigures
from anomaly.judgement.remaining import LifeFigures
from anomaly.judgement.rules import HOUR, Rules, judged_from
from core.errors import InvalidInput
from core.profile import Profile
from telemetry.recorded import Intervals, RemainingLife
from telemetry.window import Bools, Floats, Ints, Window

_FOLDS = 5
_SEEDS = 20


class History(Protocol):
    """Telemetry of D devices. first, last: [D] microseconds since the epoch; rows: each device's row times, or None."""

    @property
    def devices(self) -> tuple[str, ...]:
        """Their names."""
        ...

    @property
    def tick(self) -> int:
        """The profile's tick in microseconds."""
        ...

    def spans(self) -> tuple[Ints, Ints]:
        """[D] the first and the last time of each device."""
        ...

    def rows(self) -> list[Ints] | None:
        """The times of each device's rows; None where they are not at hand."""
        ...

    def windows(self) -> Iterator[Window]:
        """All windows, oldest first, each with all devices."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """What really happened. failed: device, component, time as columns; None: not known."""

    failed: tuple[Ints, Ints, Ints] | None = None
    anomalies: Intervals | None = None
    life: RemainingLife | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a backtest says. `live` is the profile as it stands; `budgets` with thresholds set from healthy history.

    curve, interval_curve, nab_curve: by threshold factor, in hindsight; never a result. alarms: at the profile's own
    threshold, with their verdicts; leads: [F] of each failure, -1 where it was missed. rule: the simple rule that did best, with hindsight.
    """

    profile: str
    devices: tuple[str, ...]
    components: tuple[str, ...]
    rules: Rules
    months: float
    reference_months: float
    first: Ints
    last: Ints
    judged: Part
    live: tuple[Row, ...]
    budgets: tuple[Row, ...]
    flagged: tuple[Row, ...]
    baselines: dict[str, tuple[Row, ...]]
    rule: str
    failures: Failures | None
    known: Bools | None
    alarms: Alarms
    verdicts: Ints
    leads: Ints
    findings: tuple[FindingChange, ...]
    labels: Labels
    intervals: IntervalFigures | None
    interval_baselines: dict[str, IntervalFigures]
    interval_curve: tuple[tuple[float, IntervalFigures], ...]
    nab: dict[str, float | None] | None
    life: LifeFigures | None
    life_by_age: LifeFigures | None


def run(
    profile: Profile, history: History, labels: Labels, rules: Rules, progress: Callable[[int], None] = lambda _: None
) -> Outcome:
    """Judges the history. `progress` is told the time (microseconds) up to which it has come."""
    size = len(history.devices)
    if not size:
        raise InvalidInput("the telemetry holds no device")
    first, last = history.spans()
    failed = _failures(labels, rules, first, last)
    parts = _Parts(size, first, last, history.rows, rules)
    silence = round(profile.silence_after.total_seconds() * 1e6)
    dangers = _dangers(failed, rules)
    exposed = Exposure(parts.judged, dangers, tick=history.tick, silence=silence)
    healthy = Exposure(parts.reference, dangers, tick=history.tick, silence=silence)

    judge = Judge(profile)
    state = judge.fresh(size)
    components = tuple(profile.components)
    sweep = Sweep(judge.tracks, judge.episodes, components, size, history.tick)
    rule = baselines.SimpleRule(profile, size, _mean_over(rules, labels, history.tick))
    heard = _Heard(size, failed, rules, history.tick, keep=labels.anomalies is not None)
    findings: list[FindingChange] = []
    for window in history.windows():
        found = judge.run(window, state, sweep.take)
        findings += [change for change in found if change.change is not Change.EXTENDED]
        rule.take(window)
        for counter in (exposed, healthy, heard):
            counter.take(window)
        if len(window.times):
            progress(int(window.times[-1]))

    raw = sweep.alarms()
    merged = [alarms.merged(rules.cooldown) for alarms in raw]
    live: tuple[Row, ...] = ()
    rows: tuple[Row, ...] = ()
    flagged: tuple[Row, ...] = ()
    beside: dict[str, tuple[Row, ...]] = {}
    best = ""
    matched = None
    if failed is not None:
        # A failure after the end of all telemetry could not be seen coming in full.
        heard.known &= failed.time <= int(last.max()) + history.tick
        matched = failures.match(merged[LIVE], failed, min(rules.leads))
        scale = _Scale(parts, exposed.months, healthy.healthy_months, failed, heard.known, rules)
        live = tuple(scale.at(merged[LIVE], lead) for lead in rules.leads)
        rows, flagged = scale.budgets(merged), scale.flagged(merged)
        beside, best = _beside(scale, rule, first, last, len(components))
    outcome = Outcome(
        profile=profile.name,
        devices=history.devices,
        components=components,
        rules=rules,
        months=float(exposed.months.sum()),
        reference_months=float(healthy.healthy_months.sum()),
        first=first,
        last=last,
        judged=parts.judged,
        live=live,
        budgets=rows,
        flagged=flagged,
        baselines=beside,
        rule=best,
        failures=failed,
        known=heard.known if failed is not None else None,
        alarms=merged[LIVE] if failed is not None else raw[LIVE],
        verdicts=matched.verdict if matched else np.zeros(len(raw[LIVE]), dtype=np.int64),
        leads=matched.lead if matched else np.empty(0, dtype=np.int64),
        findings=tuple(findings),
        labels=labels,
        intervals=None,
        interval_baselines={},
        interval_curve=(),
        nab=None,
        life=None,
        life_by_age=_by_age(failed, first, labels, rules, history.tick),
    )
    return _with_intervals(outcome, raw, rule, heard, parts) if labels.anomalies is not None else outcome


class _Parts:
    """What is judged, and the healthy history from which thresholds are set, group by group of judged devices."""

    def __init__(self, size: int, first: Ints, last: Ints, rows: Callable[[], list[Ints] | None], rules: Rules) -> None:
        since = judged_from(first, last, rows() if rules.healthy_first else None, rules.healthy_first)
        end = np.full(size, np.iinfo(np.int64).max)
        everyone = np.ones(size, dtype=bool)
        trained = np.zeros(size, dtype=bool)
        trained[list(rules.train_devices)] = True
        self.groups: list[tuple[Bools, Bools]]
        if rules.train_devices:
            # The devices that are learnt from are healthy history for their whole time.
            self.judged = Part(devices=~trained, since=since, until=end)
            self.reference = Part(devices=trained, since=first, until=end)
            self.groups = [(~trained, trained)]
        elif rules.train_until is not None:
            border = np.full(size, rules.train_until, dtype=np.int64)
            self.judged = Part(devices=everyone, since=np.maximum(since, border), until=end)
            self.reference = Part(devices=everyone, since=first, until=border)
            self.groups = [(everyone, everyone)]
        else:
            # Each fifth of the devices is judged with thresholds from the other four.
            self.judged = Part(devices=everyone, since=since, until=end)
            self.reference = self.judged
            fold = np.arange(size) % min(_FOLDS, size)
            self.groups = [(fold == at, fold != at) for at in range(min(_FOLDS, size))]


class _Scale:
    """Turns alarms into rows of figures."""

    def __init__(
        self, parts: _Parts, months: Floats, healthy: Floats, failed: Failures, known: Bools, rules: Rules
    ) -> None:
        self._parts = parts
        self._months = months
        self._healthy = healthy
        self.failed = failed
        self._known = known
        self.rules = rules
        self._failing = np.zeros(len(months), dtype=bool)
        self._failing[failed.device] = True

    def budgets(self, levels: Sequence[Alarms]) -> tuple[Row, ...]:
        """A row for each lead and budget, with thresholds from healthy history. levels: alarms at each factor."""
        costs = np.array([self._false_of(alarms) for alarms in levels])
        return self._rows(levels, costs, self._healthy, self.rules.budgets)

    def flagged(self, levels: Sequence[Alarms]) -> tuple[Row, ...]:
        """The same where the budget is the share of devices without a failure that have any alarm."""
        well = ~self._failing
        costs = np.array([(self._false_of(alarms) > 0) & well for alarms in levels])
        return self._rows(levels, costs, well.astype(float), self.rules.flagged)

    def _rows(
        self, levels: Sequence[Alarms], costs: Ints | Bools, base: Floats, budgets: Sequence[float]
    ) -> tuple[Row, ...]:
        """costs: [levels, D], summed over the reference devices and held against the sum of `base`."""
        result = []
        for lead in self.rules.leads:
            tallies: dict[int | None, Tally] = {}
            for budget in budgets:
                chosen: list[tuple[Tally, Bools]] = []
                factors: list[float] = []
                for members, reference in self._parts.groups:
                    total = float(base[reference].sum())
                    rates = costs[:, reference].sum(axis=1) / total if total > 0 else np.full(len(levels), np.inf)
                    at = failures.threshold(rates.tolist(), budget)
                    if at not in tallies:
                        tallies[at] = self._tally(levels[at] if at is not None else Alarms.of([]), lead)
                    chosen.append((tallies[at], members & self._parts.judged.devices))
                    if at is not None:
                        factors.append(FACTORS[at])
                factor = float(np.median(factors)) if factors else None
                result.append(self._row(chosen, budget, lead, factor))
        return tuple(result)

    def at(self, alarms: Alarms, lead: int, *, budget: float | None = None) -> Row:
        """The row of alarms as they are; without a budget they are those of the profile's own threshold."""
        chosen = [(self._tally(alarms, lead), self._parts.judged.devices)]
        return self._row(chosen, budget, lead, 1.0 if budget is None else None)

    def _tally(self, alarms: Alarms, lead: int) -> Tally:
        return failures.tally(alarms, self.failed, lead, self._parts.judged, self._known)

    def _row(self, chosen: Sequence[tuple[Tally, Bools]], budget: float | None, lead: int, factor: float | None) -> Row:
        return failures.row(chosen, self._months, self._failing, budget=budget, lead_hours=lead / HOUR, factor=factor)

    def _false_of(self, alarms: Alarms) -> Ints:
        """[D] false alarms in healthy reference time."""
        matched = failures.match(alarms, self.failed, 0, settle=self.rules.cooldown)
        inside = self._parts.reference.holds(alarms.device, alarms.start) & matched.healthy
        return np.bincount(alarms.device[inside], minlength=len(self._months))


class _Heard:
    """Which failures could have been foreseen at all, and, where labelled intervals ask for it, all ticks by device."""

    def __init__(self, size: int, failed: Failures | None, rules: Rules, tick: int, *, keep: bool) -> None:
        self._failed = failed
        self._lead = min(rules.leads)
        self._tick = tick
        self._keep = keep
        self._ticks: list[list[Ints]] = [[] for _ in range(size)]
        self.known = np.zeros(len(failed) if failed else 0, dtype=bool)

    def take(self, window: Window) -> None:
        heard: Bools = np.asarray(np.isfinite(window.values).any(axis=2))
        over = window.times + self._tick
        if self._failed is not None:
            for at, (device, time, horizon) in enumerate(
                zip(self._failed.device, self._failed.time, self._failed.horizon, strict=True)
            ):
                low, high = np.searchsorted(over, (time - horizon, time - self._lead + 1))
                self.known[at] = self.known[at] or bool(heard[low:high, device].any())
        if self._keep:
            for device, ticks in enumerate(self._ticks):
                ticks.append(window.times[heard[:, device]])

    def ticks(self) -> list[Ints]:
        return [np.concatenate(t) if t else np.empty(0, dtype=np.int64) for t in self._ticks]


def _failures(labels: Labels, rules: Rules, first: Ints, last: Ints) -> Failures | None:
    if labels.failed is None:
        return None
    device, component, time = labels.failed
    member: Bools = device >= 0
    device, component, time = device[member], component[member], time[member]
    # A failure long before or after all telemetry of its device is none that could be judged.
    share = rules.horizon.share
    horizon = (
        np.full(len(time), rules.horizon.time or 0, dtype=np.int64)
        if share is None
        else (np.maximum(time - first[device], 0) * share).astype(np.int64)
    )
    near: Bools = (time >= first[device]) & (time - horizon <= last[device])
    order = np.argsort(time[near], kind="stable")
    return Failures(device=device[near], component=component[near], time=time[near], horizon=horizon[near]).take(order)


def _dangers(failed: Failures | None, rules: Rules) -> list[tuple[int, int, int]]:
    if failed is None:
        return []
    return list(
        zip(
            failed.device.tolist(),
            (failed.time - failed.horizon).tolist(),
            (failed.time + rules.cooldown).tolist(),
            strict=True,
        )
    )


def _mean_over(rules: Rules, labels: Labels, tick: int) -> int:
    """The trailing mean of the simple rule: a day, or half a horizon that is shorter; ten ticks for intervals."""
    if labels.failed is None:
        return 10 * tick
    return min(24 * HOUR, (rules.horizon.time or 48 * HOUR) // 2)


def _beside(
    scale: _Scale, rule: baselines.SimpleRule, first: Ints, last: Ints, components: int
) -> tuple[dict[str, tuple[Row, ...]], str]:
    """The rows of the baselines by name, and which signal the simple rule looks at."""
    rules, failed = scale.rules, scale.failed
    pairs = [(lead, budget) for lead in rules.leads for budget in rules.budgets]
    # So often that each failure has an alarm in time.
    every = max(int((failed.horizon - max(rules.leads)).min()) if len(failed) else HOUR, HOUR // 60)
    constant = {"no_alarm": Alarms.of([]), "always": baselines.always(first, last, components, every)}
    result = {
        name: tuple(scale.at(alarms, lead, budget=budget) for lead, budget in pairs)
        for name, alarms in constant.items()
    }
    result["random"] = tuple(
        _mean(
            [
                scale.at(baselines.random(first, last, components, budget, seed=seed), lead, budget=budget)
                for seed in range(_SEEDS)
            ]
        )
        for lead, budget in pairs
    )
    levels = rule.sweep.alarms()
    candidates: dict[str, tuple[Row, ...]] = {}
    for at, name in enumerate([*rule.signals, "any signal"]):
        alarms = [x if name == "any signal" else x.take(x.source == at) for x in levels]
        candidates[name] = scale.budgets([x.merged(rules.cooldown) for x in alarms])
    best = max(candidates, key=lambda name: sum(row.recall or 0.0 for row in candidates[name]))
    result["simple_rule"] = candidates[best]
    return result, best


def _mean(rows: Sequence[Row]) -> Row:
    """The mean of rows of figures; None where none has one."""

    def mean(name: str) -> float | None:
        values = [value for row in rows if (value := getattr(row, name)) is not None]
        return float(np.mean(values)) if values else None

    fixed = {"budget", "lead_hours", "failures", "factor"}
    names = [name for name in Row.__dataclass_fields__ if name not in fixed]
    means: dict[str, Any] = {name: mean(name) for name in names}
    return replace(rows[0], **means, factor=None)


def _with_intervals(
    outcome: Outcome, raw: Sequence[Alarms], rule: baselines.SimpleRule, heard: _Heard, parts: _Parts
) -> Outcome:
    labels = outcome.labels.anomalies
    assert labels is not None
    ticks = [t if judged else t[:0] for t, judged in zip(heard.ticks(), parts.judged.devices, strict=True)]
    since = parts.judged.since

    def judged(alarms: Alarms) -> IntervalFigures:
        return intervals.judge(alarms, labels, ticks, since)

    simple = rule.sweep.alarms()[LIVE]
    ends = outcome.last + 1
    total = np.arange(len(ends))
    zeros = np.zeros(len(ends), dtype=np.int64)
    endless = Alarms(
        device=total, component=zeros, start=outcome.first, end=ends, score=zeros.astype(float), source=zeros
    )
    return replace(
        outcome,
        intervals=judged(raw[LIVE]),
        interval_baselines={
            "no_alarm": judged(Alarms.of([])),
            "always": judged(endless),
            "random": _half(ticks, labels, since),
            "simple_rule": judged(simple),
        },
        interval_curve=tuple((FACTORS[at], judged(alarms)) for at, alarms in enumerate(raw)),
        nab=_nab(raw[LIVE], labels, heard.ticks()) if outcome.rules.nab else None,
    )


def _half(ticks: Sequence[Ints], labels: Intervals, since: Ints) -> IntervalFigures:
    """Alarm or not by the toss of a coin, tick by tick."""
    dice = np.random.default_rng(0)
    rows: list[tuple[int, int, int, int, float, int]] = []
    for device, times in enumerate(ticks):
        chosen = times[dice.random(len(times)) < 0.5]
        rows += [(device, 0, time, time + 1, 1.0, 0) for time in chosen.tolist()]
    return intervals.judge(Alarms.of(rows), labels, ticks, since)


def _nab(alarms: Alarms, labels: Intervals, ticks: Sequence[Ints]) -> dict[str, float | None]:
    series = [
        nab.Series(
            rows=times,
            windows=list(
                zip(
                    labels.starts[labels.device == device].tolist(),
                    labels.ends[labels.device == device].tolist(),
                    strict=True,
                )
            ),
            # An alarm opens when its tick is over; the row it speaks of is the one before.
            detections=alarms.start[alarms.device == device] - 1,
        )
        for device, times in enumerate(ticks)
    ]
    return {name: nab.score(series, costs) for name, costs in nab.PROFILES.items()}


def _by_age(failed: Failures | None, first: Ints, labels: Labels, rules: Rules, tick: int) -> LifeFigures | None:
    if labels.life is None:
        return None
    known = labels.life.device >= 0
    truth = RemainingLife(
        device=labels.life.device[known], times=labels.life.times[known], ticks=labels.life.ticks[known]
    )
    lives = (failed.time - first[failed.device]) / tick if failed is not None else np.empty(0)
    ages: Floats = (truth.times - first[truth.device]) / tick
    return remaining.judge(remaining.by_age(lives, truth, ages), truth, rules.life_cap)
