"""How well failures of simulated devices are foreseen, by fault: `python -m benchmarks.simulated --product fridge`.

A fleet with a ground truth is judged by the live code, without any label. A fault counts as warned when its failure mode
opens a finding after the onset and before the failure; every other finding is false. The fleet runs on past the plan's
end until the last planned failure has happened, so that none is left out. With `--bare` the profile is left with its signals
and components, as one writes it on the first day: warned then means that the right component was named. With `--learn` the
first days only set the threshold, all that is said in them counting as false, and what comes after is judged; with `--verdicts` a
support team has looked at what was told: what it confirmed by then does not count as false.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import numpy as np

from anomaly.finding import Change
from anomaly.judge import Judge
from anomaly.judgement.alarms import FACTORS, Alarms, Sweep
from anomaly.judgement.failures import threshold
from anomaly.judgement.rules import HOUR, duration
from core.errors import InvalidInput
from core.profile import Profile, Profiles
from simulator.catalogue import PRODUCTS
from simulator.fleet import Fleet
from simulator.plan import Fault, Plan
from simulator.planning import make
from simulator.product import Event
from telemetry import window
from telemetry.window import Happenings

MONTH = timedelta(days=30)


def bare(profile: Profile, tick: timedelta) -> Profile:
    """A profile of signals and components alone."""
    default = Profile.model_fields["detectors"].default
    return profile.model_copy(update={"tick": tick, "failure_modes": {}, "detectors": default})


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A finding: of which device (its position in the plan), when it opened, and what it blames."""

    device: int
    at: datetime
    component: str
    failure_mode: str


def judge(
    plan: Plan, profile: Profile, *, until: datetime, learnt_until: datetime | None = None, verdicts: bool = False
) -> tuple[list[Told], float]:
    """All findings of a plan's fleet, and the threshold that they are by, in thresholds of the profile.

    learnt_until: up to then nothing is told, and the threshold is found by which all that it would have told costs no more than the
    profile's budget of false alarms. verdicts: what was right, and led to a repair by then, is known not to be false.
    """
    judge = Judge(profile)
    state = judge.fresh(len(plan.devices))
    tick = profile.tick // timedelta(microseconds=1)
    sweep = Sweep(judge.tracks, judge.episodes, tuple(profile.components), len(plan.devices), tick)
    replaced = Happenings(
        device=np.array([service.at for service in plan.services], dtype=np.int64),
        times=np.array([round(service.time.timestamp() * 1e6) for service in plan.services], dtype=np.int64),
        what=tuple(service.component for service in plan.services),
    )
    run = Fleet(plan).run()
    told: list[Told] = []
    events: list[Event] = []
    while run.now < until:
        since = round(run.now.timestamp() * 1e6)
        chunk = run.advance(min(run.now + timedelta(days=5), until))
        upto = round(run.now.timestamp() * 1e6)
        # What is told at the end of an interval happened in the next one, which may be of the next chunk.
        events = [*(event for event in events if event.time.timestamp() * 1e6 >= since), *chunk.events]
        order = [chunk.signals.index(name) for name in profile.signals]
        values = chunk.values[:, :, order]
        device, time, signal = np.nonzero(np.isfinite(values))
        found = window.build(
            devices=np.arange(len(plan.devices)),
            signals=tuple(profile.signals),
            tick=tick,
            device_at=device,
            signal_at=signal,
            times=chunk.times[time] * 1000,
            values=values[device, time, signal],
            replaced=replaced.between(since, upto),
            events=_errors(events).between(since, upto),
        )
        told += [
            Told(device=c.device, at=c.at, component=c.component, failure_mode=c.failure_mode)
            for c in judge.run(found, state, sweep.take if learnt_until else None)
            if c.change is Change.OPENED
        ]
    if learnt_until is None:
        return told, 1.0
    confirmed = _confirmed(plan, profile, told, learnt_until) if verdicts else {}
    return _within_budget(plan, profile, judge, sweep, learnt_until, confirmed)


def _errors(events: Sequence[Event]) -> Happenings:
    """The error codes among what devices reported, oldest first."""
    errors = sorted((event for event in events if event.kind == "error"), key=lambda event: event.time)
    return Happenings(
        device=np.array([event.at for event in errors], dtype=np.int64),
        times=np.array([round(event.time.timestamp() * 1e6) for event in errors], dtype=np.int64),
        what=tuple(event.code for event in errors),
    )


def _confirmed(
    plan: Plan, profile: Profile, told: Sequence[Told], until: datetime
) -> dict[int, tuple[str, datetime, datetime]]:
    """The repairs before some time of which somebody was told, by device: of which component an alarm was right, from when, and to when."""
    tells = naming(plan, profile)
    found = {}
    for fault in plan.faults:
        own = [c for c in told if c.device == fault.at and fault.onset < c.at < fault.failure_time]
        right = [c for c in own if tells(c, fault)]
        if right and fault.failure_time < until:
            since = min(c.at for c in right) - profile.horizon
            found[fault.at] = (right[0].component, since, fault.failure_time + timedelta(days=1))
    return found


def _within_budget(
    plan: Plan,
    profile: Profile,
    judge: Judge,
    sweep: Sweep,
    learnt_until: datetime,
    confirmed: dict[int, tuple[str, datetime, datetime]],
) -> tuple[list[Told], float]:
    months = len(plan.devices) * ((learnt_until - plan.start) / MONTH)
    months -= sum((high - low) / MONTH for _, low, high in confirmed.values())

    def told(alarms: Alarms) -> list[Told]:
        return [
            Told(
                device=int(device),
                at=datetime.fromtimestamp(start / 1e6, UTC),
                component=judge.tracks[source].component,
                failure_mode=judge.tracks[source].failure_mode,
            )
            for device, start, source in zip(alarms.device, alarms.start, alarms.source, strict=True)
        ]

    def false(finding: Told) -> bool:
        component, low, high = confirmed.get(finding.device, ("", learnt_until, learnt_until))
        right = finding.component == component and low <= finding.at < high
        return finding.at < learnt_until and not right

    levels = [told(alarms.merged(24 * HOUR)) for alarms in sweep.alarms()]
    at = threshold([sum(map(false, level)) / months for level in levels], profile.false_alarms)
    at = at if at is not None else len(levels) - 1
    return [finding for finding in levels[at] if finding.at >= learnt_until], FACTORS[at]


def naming(plan: Plan, profile: Profile) -> Callable[[Told, Fault], bool]:
    """Whether a finding of a device names a fault of it: its failure mode, or its component where the profile knows no modes."""
    shipped = Profiles()[plan.product].failure_modes

    def tells(finding: Told, fault: Fault) -> bool:
        if fault.failure_mode in profile.failure_modes:
            return finding.failure_mode == fault.failure_mode
        return finding.component == shipped[fault.failure_mode].component

    return tells


def figures(
    plan: Plan, profile: Profile, opened: Sequence[Told], *, since: datetime, until: datetime
) -> dict[str, Any]:
    """Warned share, lead and component by fault that begins after `since`; false findings a device-month from then on of devices
    that do not fail by another. profile: what findings were judged by.
    """
    tells = naming(plan, profile)
    faults = {fault.at: fault for fault in plan.faults if fault.onset >= since}
    leads: dict[str, list[float]] = defaultdict(list)
    missed: dict[str, int] = defaultdict(int)
    told = first_right = 0
    right: set[int] = set()
    for at, fault in faults.items():
        own = [c for c in opened if c.device == at and fault.onset < c.at < fault.failure_time]
        hits = [c.at for c in own if tells(c, fault)]
        if hits:
            leads[fault.failure_mode].append((fault.failure_time - min(hits)) / timedelta(days=1))
        else:
            missed[fault.failure_mode] += 1
        if own:
            told += 1
            first_right += tells(min(own, key=lambda c: c.at), fault)
        # After the failure the broken device is no healthy one: what is found then is neither right nor false.
        right |= {
            id(c) for c in opened if c.device == at and (c.at >= fault.failure_time or (tells(c, fault) and c in own))
        }
    others = {fault.at for fault in plan.faults if fault.onset < since}
    false = [c for c in opened if id(c) not in right and c.device not in others]
    months = (len(plan.devices) - len(others)) * ((until - since) / MONTH)
    warned = sum(len(days) for days in leads.values())
    rows = [
        {
            "failure_mode": str(mode),
            "faults": len(leads[mode]) + missed[mode],
            "warned": len(leads[mode]) / max(1, len(leads[mode]) + missed[mode]),
            "lead_median_days": float(np.median(leads[mode])) if leads[mode] else None,
            "lead_p10_days": float(np.percentile(leads[mode], 10)) if leads[mode] else None,
        }
        for mode in sorted({*leads, *missed})
    ]
    return {
        "devices": len(plan.devices),
        "device_months": months,
        "faults": len(faults),
        "warned": warned / max(1, len(faults)),
        "component_right": first_right / max(1, told),
        "false_findings": len(false),
        "false_per_device_month": len(false) / months,
        "by_fault": rows,
    }


@click.command()
@click.option("--product", type=click.Choice(list(PRODUCTS)), default="fridge", show_default=True)
@click.option("--devices", default=200, show_default=True)
@click.option("--days", default=90, show_default=True)
@click.option("--failing", default=90, show_default=True)
@click.option("--seed", default=1, show_default=True)
@click.option("--bare", "tick", help="Signals and components alone, judged at this tick.", metavar="DURATION")
@click.option(
    "--learn", help="Set the threshold by the first so many days, judge what comes after.", metavar="DURATION"
)
@click.option("--verdicts", is_flag=True, help="With --learn: a support team confirmed what was right in those days.")
@click.option("--json", "file", type=click.Path(path_type=Path), help="Write the figures here too.")
def main(
    *,
    product: str,
    devices: int,
    days: int,
    failing: int,
    seed: int,
    tick: str | None,
    learn: str | None,
    verdicts: bool,
    file: Path | None,
) -> None:
    """Judge a simulated fleet and compare with its ground truth."""
    end = datetime(2026, 6, 1, tzinfo=UTC)
    plan = make(product=product, seed=seed, devices=devices, days=days, failing=failing, end=end)
    until = max([end, *(fault.failure_time + timedelta(hours=1) for fault in plan.faults)])
    profile = Profiles()[product]
    learnt_until = None
    try:
        if tick is not None:
            profile = bare(profile, timedelta(microseconds=duration(tick, "--bare")))
        if learn is not None:
            learnt_until = plan.start + timedelta(microseconds=duration(learn, "--learn"))
    except InvalidInput as error:
        raise click.UsageError(str(error)) from None
    if learnt_until is not None and not plan.start < learnt_until < end:
        raise click.UsageError(f"--learn {learn}: it must be longer than nothing and shorter than the {days} days")
    if verdicts and learn is None:
        raise click.UsageError("--verdicts goes with --learn: verdicts set the threshold of what comes after")
    told, factor = judge(plan, profile, until=until, learnt_until=learnt_until, verdicts=verdicts)
    found = figures(plan, profile, told, since=learnt_until or plan.start, until=until) | {"threshold_factor": factor}
    print(f"{'fault':22}{'n':>5}{'warned':>9}{'lead median':>13}{'lead p10':>10}")
    for row in found["by_fault"]:
        lead, p10 = (f"{row[k]:.1f} d" if row[k] is not None else "-" for k in ("lead_median_days", "lead_p10_days"))
        print(f"{row['failure_mode']:22}{row['faults']:>5}{row['warned']:>9.2f}{lead:>13}{p10:>10}")
    print(
        f"warned {found['warned']:.3f} of {found['faults']} faults, component right first {found['component_right']:.3f}"
    )
    print(f"false findings {found['false_findings']} in {found['device_months']:.0f} device-months:", end=" ")
    print(f"{found['false_per_device_month']:.4f} a device-month")
    if learnt_until:
        print(
            f"at {factor:.2f} of the profile's threshold, as the first {learn} allow {profile.false_alarms:g} a device-month"
        )
    if file:
        file.write_text(json.dumps(found, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
