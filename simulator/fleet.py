"""Runs a plan and gives what the devices measure, as arrays. Tests and benchmarks use it without MQTT.

    fleet = Fleet(plan.make(seed=7, devices=50, days=30, failing=8, end=now))
    for chunk in fleet.history():
        chunk.values  # [devices, times, signals]

The same plan gives the same values, however it is cut into chunks.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt

from simulator.faults import condition
from simulator.homes import PER_DAY, Homes
from simulator.plan import INTERVAL, Harmless, Plan, on_grid
from simulator.thermal import STEP, Design, Means, Refrigerators, Surroundings

SIGNALS = (
    "cabinet_temp",
    "freezer_temp",
    "evaporator_temp",
    "condenser_temp",
    "ambient_temp",
    "compressor_duty",
    "power",
    "compressor_vibration",
    "fan_speed",
    "door_open",
    "defrost_power",
)
_DECIMALS = np.array([1, 1, 1, 1, 1, 1, 1, 2, 0, 1, 1])
_NOISE = np.array([0.05, 0.05, 0.1, 0.1, 0.1, 0.0, 0.3, 0.02, 8.0, 0.0, 1.0])
_NEVER_NEGATIVE = np.array([s not in {"cabinet_temp", "freezer_temp", "evaporator_temp"} for s in SIGNALS])
_WARM_UP = timedelta(hours=12)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A discrete message of the device with the number `at`."""

    at: int
    time: datetime
    kind: str
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """What a fleet measured in some intervals.

    devices: names, D. signals: names, S. times: int64 [T], ms since the epoch, UTC, the ends of the intervals. values:
    float64 [D, T, S] in the profile's units, NaN where nothing was measured. arrivals: int64 [D, T], ms, when the
    device could send the reading; later than its time after an outage of the home's WiFi. cabinet: float64 [D, T],
    degrees Celsius, what a good thermometer in the cabinet would show, for judging a failure; no device sends it.
    """

    devices: tuple[str, ...]
    signals: tuple[str, ...]
    times: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    arrivals: npt.NDArray[np.int64]
    cabinet: npt.NDArray[np.float64]
    events: tuple[Event, ...]


class Fleet:
    """All devices of a plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def history(
        self, start: datetime | None = None, end: datetime | None = None, *, chunk: timedelta = timedelta(days=1)
    ) -> Iterator[Chunk]:
        """The readings with times after `start` and up to `end`, by default the plan's, in chunks of a length.

        The physics always runs from the plan's start, so a later `start` gives the end of the same history.
        """
        begin = on_grid(start or self.plan.start)
        until = on_grid(end or self.plan.end)
        run = self.run()
        if begin > run.now:
            run.advance(begin)
        while run.now < until:
            yield run.advance(min(run.now + chunk, until))

    def run(self) -> "Run":
        """The fleet at the plan's start, to be taken further step by step, beyond the plan's end if need be."""
        return Run(self.plan)


class Run:
    """A fleet in operation; `now` is the time up to which it has run."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.names = tuple(device.device for device in plan.devices)
        count = len(self.names)
        self._design = Design.draw(np.random.default_rng([plan.seed, 3]), count)
        self._duty = self._design.duty()
        self._homes = Homes(plan, self._design)
        self._machines = Refrigerators(self._design, np.random.default_rng([plan.seed, 6]))
        self._noise: npt.NDArray[np.float32] | None = None
        self._noise_date: datetime | None = None
        self._was_powered = np.ones(count, dtype=bool)
        self._too_warm = np.zeros(count, dtype=bool)
        self.now = plan.start - _WARM_UP
        while self.now < plan.start:
            self._interval()

    @property
    def powered(self) -> npt.NDArray[np.bool_]:
        """[D] whether each device has power at `now`."""
        return self._was_powered

    def advance(self, until: datetime) -> Chunk:
        """Runs to `until`, rounded down to the end of an interval, and gives what was measured on the way."""
        count = max(0, int((until - self.now) / INTERVAL))
        devices = len(self.names)
        times = np.empty(count, dtype=np.int64)
        values = np.empty((devices, count, len(SIGNALS)))
        arrivals = np.empty((devices, count), dtype=np.int64)
        cabinet = np.empty((devices, count))
        events: list[Event] = []
        for n in range(count):
            begin = self.now
            around, means = self._interval()
            times[n] = _ms(self.now)
            values[:, n] = self._measure(begin, around, means)
            cabinet[:, n] = means.true_cabinet
            arrivals[:, n] = times[n]
            for odd in self._plan.oddities:
                if odd.kind is Harmless.WIFI_OUTAGE and odd.start < self.now < odd.end:
                    arrivals[odd.at, n] = _ms(odd.end)
            events += self._events(around, values[:, n])
        return Chunk(
            devices=self.names,
            signals=SIGNALS,
            times=times,
            values=values,
            arrivals=arrivals,
            cabinet=cabinet,
            events=tuple(events),
        )

    def _interval(self) -> tuple[Surroundings, Means]:
        around = self._homes.during(self.now)
        parts = condition(self._plan.faults, self.now, duty=self._duty, cooling=self._design.cooling_power)
        means = self._machines.run(around, parts)
        self.now += INTERVAL
        return around, means

    def _measure(self, begin: datetime, around: Surroundings, means: Means) -> npt.NDArray[np.float64]:
        """What the sensors give of the interval that began at `begin`: [D, S] with noise, rounded, silent without power."""
        door = around.door.sum(axis=(0, 1)) / (len(around.door) * STEP) * 100
        exact = np.stack(
            [
                means.cabinet,
                means.freezer,
                means.evaporator,
                means.condenser,
                around.room,
                means.duty,
                means.power,
                means.vibration,
                means.fan_speed,
                door,
                means.heater_power,
            ],
            axis=1,
        )
        # A part that stands still or is broken open reads exactly nothing.
        noisy = np.where(exact == 0, 0, exact + _NOISE * self._noise_at(begin))
        noisy = np.where(_NEVER_NEGATIVE, np.maximum(noisy, 0), noisy)
        scale = 10.0**_DECIMALS
        rounded: npt.NDArray[np.float64] = np.round(noisy * scale) / scale + 0.0
        rounded[~around.powered] = np.nan
        return rounded

    def _noise_at(self, begin: datetime) -> npt.NDArray[np.float32]:
        date = begin.replace(hour=0, minute=0, second=0, microsecond=0)
        if self._noise is None or date != self._noise_date:
            rng = np.random.default_rng([self._plan.seed, 7, int(date.timestamp()) // 86400])
            shape = (PER_DAY, len(self.names), len(SIGNALS))
            self._noise, self._noise_date = rng.standard_normal(shape, dtype=np.float32), date
        noise: npt.NDArray[np.float32] = self._noise[int((begin - date) / INTERVAL)]
        return noise

    def _events(self, around: Surroundings, values: npt.NDArray[np.float64]) -> list[Event]:
        """What the devices' own firmware reports at `now`: power is back, or the cabinet or freezer is too warm."""
        cabinet, freezer = values[:, 0], values[:, 1]
        warm = (cabinet > 12) | (freezer > -6) | (self._too_warm & ((cabinet > 9) | (freezer > -9)))
        alarmed = warm & ~self._too_warm & around.powered
        back = around.powered & ~self._was_powered
        self._too_warm = np.where(around.powered, warm, self._too_warm)
        self._was_powered = around.powered
        return [
            Event(at=int(at), time=self.now, kind=kind, code=code)
            for where, kind, code in ((back, "state", "power_on"), (alarmed, "error", "temperature_alarm"))
            for at in np.flatnonzero(where)
        ]


def _ms(time: datetime) -> int:
    return int(time.astimezone(UTC).timestamp() * 1000)
