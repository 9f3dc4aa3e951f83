"""Runs a profile over recorded history, by the code that runs live, and judges what it would have said.

One pass in the order of time: the judge sees each tick once and never the future. Beside it, the same episode code runs
at other thresholds, so that a threshold can be set from healthy history for each false-alarm budget.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from anomaly.finding import Change, FindingChange
from anomaly.judgement import baselines, failures, intervals, nab, remaining
from anomaly.judgement.alarms import FACTORS, LIVE, Alarms, Exposure, Part, Sweep
from anomaly.judgement.failures import Failures, Row
from anomaly.judgement.groups import Lives, groups_of
from anomaly.judgement.intervals import IntervalFigures
from anomaly.judgement.remaining import LifeFigures
from anomaly.judgement.rules import HOUR, Rules
from anomaly.judgement.scale import Parts, Scale, beside
from anomaly.learning import examples, training
from anomaly.learning.examples import Failed
from anomaly.learning.features import Features, Vocabulary
from anomaly.learning.training import Learnt
from core.errors import InvalidInput
from core.profile import Profile
from telemetry.recorded import Intervals, RemainingLife
from telemetry.window import Bools, Floats, Ints, Window


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

    def vocabulary(self) -> tuple[Sequence[str], Mapping[str, Sequence[str]]]:
        """The error codes in it, and the texts of each attribute of its devices."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """What really happened. failed: device, component, time as columns; None: not known. began: [F] since when each is known to have
    shown, microseconds; None: nobody said.
    """

    failed: tuple[Ints, Ints, Ints] | None = None
    began: Ints | None = None
    anomalies: Intervals | None = None
    life: RemainingLife | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a backtest says. `live` is the profile as it stands; `budgets` with thresholds set from healthy history.

    intervals_labelled: of the devices with a labelled interval alone. interval_curve: by threshold factor, in hindsight; never a result. alarms: at the profile's own
    threshold, with their verdicts at the first lead; leads: [F] of each failure, -1 where it was missed. rule: the simple rule that did best, with hindsight.
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
    intervals_labelled: IntervalFigures | None
    interval_baselines: dict[str, IntervalFigures]
    interval_curve: tuple[tuple[float, IntervalFigures], ...]
    nab: dict[str, float | None] | None
    life: LifeFigures | None
    life_by_age: LifeFigures | None


def learn(
    profile: Profile,
    history: History,
    labels: Labels,
    rules: Rules,
    *,
    jobs: int = 1,
    progress: Callable[[int], None] = lambda _: None,
) -> Learnt | None:
    """A model from the part of the history that `rules` set apart to learn from; None where too few failures are in it, or too little healthy time.

    `progress` is told the time (microseconds) up to which it has come.
    """
    if labels.failed is None:
        return None
    devices = np.ones(len(history.devices), dtype=bool)
    if rules.train_devices:
        devices[:] = False
        devices[list(rules.train_devices)] = True
    device, component, time = labels.failed
    until = rules.train_until
    told: Bools = (device >= 0) & ((time <= until) if until is not None else True)
    first, last = history.spans()
    codes, attributes = history.vocabulary()
    vocabulary = Vocabulary.of(codes, attributes)

    def windows() -> Iterator[Window]:
        for window in history.windows():
            yield window
            if len(window.times):
                progress(int(window.times[-1]))

    began = time if labels.began is None else labels.began
    failed = Failed(device=device[told], component=component[told], time=time[told], began=began[told])
    ticks = float((last - first)[devices].sum() / history.tick)
    usual = examples.conditions_of(profile, windows(), failed, devices=devices, until=until, ticks=ticks)
    found = examples.collect(
        profile,
        Features(profile, vocabulary, usual),
        windows(),
        failed,
        devices=devices,
        until=until,
        ticks=ticks,
        watched=last,
    )
    lead = rules.leads[0] / history.tick
    return training.learn(profile, vocabulary, found, devices=len(devices), lead=lead, conditions=usual, jobs=jobs)


def run(
    profile: Profile,
    history: History,
    labels: Labels,
    rules: Rules,
    progress: Callable[[int], None] = lambda _: None,
    learnt: Learnt | None = None,
) -> Outcome:
    """Judges the history. `progress` is told the time (microseconds) up to which it has come. learnt: see `learn`."""
    size = len(history.devices)
    if not size:
        raise InvalidInput("the telemetry holds no device")
    first, last = history.spans()
    failed = _failures(labels, rules, first, last)
    parts = Parts(size, first, last, history.rows, rules)
    silence = round(profile.silence_after.total_seconds() * 1e6)
    dangers = _dangers(failed, rules)
    exposed = Exposure(parts.judged, dangers, tick=history.tick, silence=silence)
    healthy = Exposure(parts.reference, dangers, tick=history.tick, silence=silence)

    components = tuple(profile.components)
    groups = groups_of(profile, size, learnt, rules)
    sweeps = [Sweep(g.judge.tracks, g.judge.episodes, components, len(g.devices), history.tick) for g in groups]
    rule = baselines.SimpleRule(profile, size, _mean_over(rules, labels, history.tick))
    heard = _Heard(size, failed, rules, history.tick, keep=labels.anomalies is not None)
    lives = Lives(labels.life, history.tick)
    findings: list[FindingChange] = []
    for window in history.windows():
        for group, sweep in zip(groups, sweeps, strict=True):
            found = lives.run(group, window, sweep.take)
            findings += [change for change in found if change.change is not Change.EXTENDED]
        rule.take(window)
        for counter in (exposed, healthy, heard):
            counter.take(window)
        if len(window.times):
            progress(int(window.times[-1]))

    each = [
        [replace(alarms, device=group.devices[alarms.device]) for alarms in sweep.alarms()]
        for group, sweep in zip(groups, sweeps, strict=True)
    ]
    raw = [Alarms.joined(level) for level in zip(*each, strict=True)]
    merged = [alarms.merged(rules.cooldown) for alarms in raw]
    live: tuple[Row, ...] = ()
    rows: tuple[Row, ...] = ()
    flagged: tuple[Row, ...] = ()
    others: dict[str, tuple[Row, ...]] = {}
    best = ""
    matched = None
    if failed is not None:
        # A failure after the end of all telemetry could not be seen coming in full.
        heard.known &= failed.time <= int(last.max()) + history.tick
        matched = failures.match(merged[LIVE], failed, rules.leads[0])
        scale = Scale(parts, exposed, healthy, failed, heard.known, rules, learnt=learnt is not None)
        live = tuple(scale.at(merged[LIVE], lead) for lead in rules.leads)
        rows, flagged = scale.budgets(merged), scale.flagged(merged)
        others, best = beside(scale, rule, first, last, len(components))
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
        baselines=others,
        rule=best,
        failures=failed,
        known=heard.known if failed is not None else None,
        alarms=merged[LIVE] if failed is not None else raw[LIVE],
        verdicts=matched.verdict if matched else np.zeros(len(raw[LIVE]), dtype=np.int64),
        leads=matched.lead if matched else np.empty(0, dtype=np.int64),
        findings=tuple(findings),
        labels=labels,
        intervals=None,
        intervals_labelled=None,
        interval_baselines={},
        interval_curve=(),
        nab=None,
        life=lives.judge(labels.life, rules.life_cap) if labels.life is not None else None,
        life_by_age=_by_age(failed, first, labels, rules, history.tick),
    )
    return _with_intervals(outcome, raw, rule, heard, parts) if labels.anomalies is not None else outcome


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
        heard = window.heard
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
    if labels.began is not None:
        # What is known to have shown for longer than the horizon was no false alarm, nor would it have been a little sooner.
        horizon += np.maximum(time - labels.began[member], 0)
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


def _with_intervals(
    outcome: Outcome, raw: Sequence[Alarms], rule: baselines.SimpleRule, heard: _Heard, parts: Parts
) -> Outcome:
    labels = outcome.labels.anomalies
    assert labels is not None
    ticks = [t if judged else t[:0] for t, judged in zip(heard.ticks(), parts.judged.devices, strict=True)]
    since = parts.judged.since

    def judged(alarms: Alarms) -> IntervalFigures:
        return intervals.judge(alarms, labels, ticks, since)

    labelled = [t if (labels.device == device).any() else t[:0] for device, t in enumerate(ticks)]
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
        intervals_labelled=intervals.judge(raw[LIVE], labels, labelled, since),
        interval_baselines={
            "no_alarm": judged(Alarms.of([])),
            "always": judged(endless),
            "random": judged(baselines.coin(ticks)),
            "simple_rule": judged(simple),
        },
        interval_curve=tuple((FACTORS[at], judged(alarms)) for at, alarms in enumerate(raw)),
        nab=nab.judge(raw[LIVE], labels, heard.ticks()) if outcome.rules.nab else None,
    )


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
