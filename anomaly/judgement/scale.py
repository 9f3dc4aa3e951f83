"""From alarms at each threshold to rows of figures: what is judged, and by which healthy history a threshold is set."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from anomaly.judgement import baselines, failures
from anomaly.judgement.alarms import FACTORS, Alarms, Exposure, Part
from anomaly.judgement.failures import Failures, Row, Tally, Verdict
from anomaly.judgement.rules import HOUR, Rules, judged_from
from telemetry.window import Bools, Floats, Ints

_FOLDS = 5
_SEEDS = 20


class Parts:
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


class Scale:
    """Turns alarms into rows of figures."""

    def __init__(
        self,
        parts: Parts,
        judged: Exposure,
        reference: Exposure,
        failed: Failures,
        known: Bools,
        rules: Rules,
        *,
        learnt: bool,
    ) -> None:
        """judged, reference: how long each device was heard in either part. learnt: whether known failures may be learnt from."""
        self._parts = parts
        self._months = months = judged.months
        self._reference = reference
        self.failed = failed
        self._known = known
        self._learnt = learnt
        self.rules = rules
        self._failing = np.zeros(len(months), dtype=bool)
        self._failing[failed.device] = True

    def budgets(self, levels: Sequence[Alarms]) -> tuple[Row, ...]:
        """A row for each lead and budget, with thresholds from healthy history. levels: alarms at each factor.

        Where failures are known to learn from, no threshold is lower than foreseeing them needs.
        """
        false, leads = (np.array(each) for each in zip(*map(self._reference_of, levels), strict=True))
        costs = [(false[:, 0], self._reference.healthy_months), (false[:, 1], self._reference.months)]
        return self._rows(levels, costs, self.rules.budgets, leads if self._learnt else None)

    def flagged(self, levels: Sequence[Alarms]) -> tuple[Row, ...]:
        """The same where the budget is the share of devices without a failure that have any alarm."""
        well = ~self._failing
        costs = np.array([(self._reference_of(alarms)[0][0] > 0) & well for alarms in levels])
        return self._rows(levels, [(costs, well.astype(float))], self.rules.flagged)

    def _rows(
        self,
        levels: Sequence[Alarms],
        costs: Sequence[tuple[Ints | Bools, Floats]],
        budgets: Sequence[float],
        leads: Ints | None = None,
    ) -> tuple[Row, ...]:
        """costs: [levels, D] with a base, [D], each: summed over the reference devices, and held against the sum of the base.
        None of them may be beyond the budget. leads: [levels, F], microseconds at which each failure was foreseen, -1 where not.
        """
        told = self._known & self._parts.reference.holds(self.failed.device, self.failed.time)
        result = []
        for lead in self.rules.leads:
            tallies: dict[int | None, Tally] = {}
            # By group, whatever the budget: what each threshold costs, and which known failures it foresees.
            asked = []
            for members, reference in self._parts.groups:
                rates = np.max([_rates(cost, base, reference) for cost, base in costs], axis=0).tolist()
                own = told & reference[self.failed.device]
                asked.append((members, rates, None if leads is None else (leads[:, own] >= lead).sum(axis=1).tolist()))
            for budget in budgets:
                chosen: list[tuple[Tally, Bools]] = []
                factors: list[float] = []
                for members, rates, foreseen in asked:
                    at = failures.threshold(rates, budget, foreseen)
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

    def _reference_of(self, alarms: Alarms) -> tuple[Ints, Ints]:
        """[2, D] false alarms in reference time: those in healthy time, and all, as they are judged. [F] at which lead each failure
        was foreseen, microseconds; -1 where it was not.
        """
        matched = failures.match(alarms, self.failed, 0, settle=self.rules.cooldown)
        inside = self._parts.reference.holds(alarms.device, alarms.start)
        kinds = (matched.healthy, (matched.verdict == Verdict.FALSE) | (matched.verdict == Verdict.WRONG_COMPONENT))
        size = len(self._months)
        false = np.stack([np.bincount(alarms.device[inside & kind], minlength=size) for kind in kinds])
        return false, matched.lead


def _rates(cost: Ints | Bools, base: Floats, reference: Bools) -> Floats:
    """[levels] the cost of the reference devices for each unit of what they are held against."""
    total = float(base[reference].sum())
    rates: Floats = cost[:, reference].sum(axis=1) / total if total > 0 else np.full(len(cost), np.inf)
    return rates


def beside(
    scale: Scale, rule: baselines.SimpleRule, first: Ints, last: Ints, components: int
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
