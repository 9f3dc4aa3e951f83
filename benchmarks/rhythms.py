"""How well slow faults are told of signals with a rhythm of the day or the week: `python -m benchmarks.rhythms`.

Made-up fleets of 40 devices over 90 days, judged by a profile of signals and components alone, without any label or context. Each
device's signal scatters by 1 from tick to tick and swings by 20 between its hours; 12 devices leave their normal by 3 in the two days
before they fail, half of them upwards.
"""

from collections.abc import Callable, Mapping, Sequence

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from anomaly.backtest import Labels
from benchmarks import fleets
from core.profile import Profile, parse
from telemetry.recorded import Recording
from telemetry.window import Bools, Floats

DEVICES, FAILING, DAYS = 40, 12, 90
TICKS = (60, 15)
"""Minutes."""
_SWING, _MOVED, _GROWS = 10.0, 3.0, 2
"""Half of what the rhythm swings by; what a fault comes to, and in how many days."""
_HEALTHY = 35
"""Days after which failures begin."""
_THURSDAY = 3
"""The epoch's first day, of a week that begins on Monday."""
TEXT = """
profile: bench_rhythm
title: Rhythm
tick: TICK
silence_after: 1d
signals: {heat: {title: Heat, unit: Cel, range: [0, 200], interval: TICK, component: part}}
components: {part: {title: Part}}
"""

Draw = Callable[[np.random.Generator, Floats], Floats]
"""What the hour makes of a device's signal, from -1 to 1, at times in hours since the epoch."""


def _none(random: np.random.Generator, hours: Floats) -> Floats:  # noqa: ARG001 — the others draw
    return np.zeros_like(hours)


def _sun(random: np.random.Generator, hours: Floats) -> Floats:
    return np.sin((hours - random.uniform(-3, 3)) / 24 * 2 * np.pi)


def _at_work(random: np.random.Generator, hours: Floats) -> Bools:
    """Nine hours of each day; when they begin differs by device."""
    begins = 8 + random.uniform(-1, 1)
    found: Bools = (hours % 24 >= begins) & (hours % 24 < begins + 9)
    return found


def _shift(random: np.random.Generator, hours: Floats) -> Floats:
    return np.where(_at_work(random, hours), 1.0, -1.0)


def _week(random: np.random.Generator, hours: Floats, off: Sequence[int] = ()) -> Floats:
    day = hours // 24
    works = _at_work(random, hours) & ((day + _THURSDAY) % 7 < 5) & ~np.isin(day, off)
    return np.where(works, 1.0, -1.0)


def _holidays(random: np.random.Generator, hours: Floats) -> Floats:
    return _week(random, hours, random.choice(np.arange(21, DAYS), 5, replace=False).tolist())


def _vacation(random: np.random.Generator, hours: Floats) -> Floats:
    first = int(random.integers(40, 50))
    return _week(random, hours, range(first, first + 14))


KINDS: Mapping[str, Draw] = {
    "none": _none,
    "the sun's": _sun,
    "nine hours of each day": _shift,
    "working days": _week,
    "working days, five holidays": _holidays,
    "working days, two weeks of vacation": _vacation,
}


def profile_of(minutes: int) -> Profile:
    """Signals and components alone, at a tick of so many minutes."""
    return parse(TEXT.replace("TICK", f"{minutes}min"), "benchmarks/rhythms.py")


def fleet(
    draw: Draw, minutes: int, *, devices: int, failing: int, days: int, seed: int, healthy: int = _HEALTHY
) -> tuple[Recording, Labels]:
    """Devices with a rhythm, the first of which fail after so many healthy days."""
    random = np.random.default_rng(seed)
    hours = np.arange(days * 24 * 60 // minutes) * minutes / 60
    values = []
    for at in range(devices):
        own = 100 + _SWING * draw(random, hours) + random.normal(0, 1, len(hours))
        if at < failing:
            own = own[hours < 24 * random.integers(healthy, days)]
            fault = np.linspace(0, _MOVED, _GROWS * 24 * 60 // minutes)
            own[-len(fault) :] += fault if at % 2 else -fault
        values.append(own)
    return fleets.recorded(profile_of(minutes), values, failing)


@click.command(help=__doc__)
@click.option("--seed", default=1, show_default=True, help="The same seed makes the same fleets.")
def main(seed: int) -> None:
    table = Table("rhythm", *(f"{what} ({at} min)" for at in TICKS for what in ("warned", "false")), title="rhythms")
    for name, draw in KINDS.items():
        cells: list[str] = []
        for minutes in TICKS:
            made = fleet(draw, minutes, devices=DEVICES, failing=FAILING, days=DAYS, seed=seed)
            cells += fleets.told(fleets.judged(profile_of(minutes), *made))
        table.add_row(name, *cells)
    Console().print(table)


if __name__ == "__main__":
    main()
