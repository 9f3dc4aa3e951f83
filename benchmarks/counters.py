"""How well counters that begin to count are told, by how they count while all is well: `python -m benchmarks.counters`.

Made-up fleets of 60 devices over 60 days of hours, judged by a profile of signals and components alone, without any label. Ten devices
count more and more often in the three days before they fail, from once a day to twelve times. Beside it `baseline` and `sensors`
alone, which is what a profile had before there were `counters`.
"""

from collections.abc import Callable, Mapping

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from anomaly.backtest import Labels
from benchmarks import fleets
from core.detection import Baseline, Detectors, Sensors
from core.profile import parse
from telemetry.recorded import Recording
from telemetry.window import Floats

DEVICES, FAILING, DAYS = 60, 10, 60
_DAY = 24
_LAST = 3 * _DAY
_OFTEN = (0.05, 0.5)
"""Of the hours in which a failing device counts one more, at first and at last."""
TEXT = """
profile: bench_counter
title: Counter
tick: 1h
silence_after: 1d
signals: {faults: {title: Faults, unit: count, range: [0, 100000], interval: 1h, component: part}}
components: {part: {title: Part}}
"""

PROFILE = parse(TEXT, "benchmarks/counters.py")

Draw = Callable[[np.random.Generator, int], Floats]
"""A counter of a healthy device over so many hours."""


def _by_chance(a_day: float, at_once: float = 1.0) -> Draw:
    def draw(random: np.random.Generator, hours: int) -> Floats:
        counts = random.poisson(a_day / _DAY, hours) * random.geometric(1 / at_once, hours)
        return np.asarray(counts.cumsum(), dtype=float)

    return draw


def _from_zero_again(random: np.random.Generator, hours: int) -> Floats:
    borders = [0, *sorted(random.choice(hours, 8, replace=False).tolist()), hours]
    spells = [random.poisson(0.5 / _DAY, n).cumsum() for n in np.diff(borders).tolist()]
    return np.concatenate(spells).astype(float)


def _number(random: np.random.Generator, hours: int) -> Floats:
    return random.poisson(20, hours).astype(float)


KINDS: Mapping[str, Draw] = {
    "never": _by_chance(0.0),
    "once a month": _by_chance(1 / 30),
    "once a week": _by_chance(1 / 7),
    "three times a day": _by_chance(3.0),
    "once a month, ten at once": _by_chance(1 / 30, 10.0),
    "every other day, from 0 again each week": _from_zero_again,
    "a number about 20, no counter": _number,
}


def fleet(draw: Draw, *, devices: int, failing: int, days: int, seed: int) -> tuple[Recording, Labels]:
    """Devices that count by a kind, the first of which fail."""
    random = np.random.default_rng(seed)
    hours, values = days * _DAY, []
    for at in range(devices):
        own = draw(random, hours)
        if at < failing:
            own = own[: int(hours * (0.5 + 0.4 * random.random()))]
            own[-_LAST:] += (random.random(_LAST) < np.linspace(*_OFTEN, _LAST)).cumsum()
        values.append(own)
    return fleets.recorded(PROFILE, values, failing)


@click.command(help=__doc__)
@click.option("--seed", default=1, show_default=True, help="The same seed makes the same fleets.")
def main(seed: int) -> None:
    before = PROFILE.model_copy(update={"detectors": Detectors(sensors=Sensors(), baseline=Baseline())})
    table = Table("counts", "warned", "false a device-month", "lead, h", "baseline: warned", "false", title="counters")
    for name, draw in KINDS.items():
        recording, labels = fleet(draw, devices=DEVICES, failing=FAILING, days=DAYS, seed=seed)
        now, then = (fleets.judged(profile, recording, labels) for profile in (PROFILE, before))
        lead = "–" if now.lead_median_hours is None else f"{now.lead_median_hours:.0f}"
        table.add_row(name, *fleets.told(now), lead, *fleets.told(then))
    Console().print(table)


if __name__ == "__main__":
    main()
