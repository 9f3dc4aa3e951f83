"""Runs a plan and gives what the devices measure, as arrays. Tests and benchmarks use it without MQTT.

    fleet = Fleet(make(seed=7, devices=50, days=30, failing=8, end=now))
    for chunk in fleet.history():
        chunk.values  # [devices, times, signals]

The same plan gives the same values, however it is cut into chunks.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt

from simulator.catalogue import PRODUCTS
from simulator.plan import INTERVAL, Plan, Service, on_grid
from simulator.product import Event, Measured

_WARM_UP = timedelta(hours=12)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """What a fleet measured in some intervals.

    devices: names, D. signals: names, S. times: int64 [T], ms since the epoch, UTC, the ends of the intervals. values:
    float64 [D, T, S] in the profile's units, NaN where nothing was measured. arrivals: int64 [D, T], ms, when the
    device could send the reading; later than its time after an outage of its network. delivered: float64 [D, T], what
    the customer gets of the product, whatever its own sensors say (the cabinet's true temperature in degrees Celsius,
    the tank's true pressure in hPa), for judging a failure; no device sends it.
    """

    devices: tuple[str, ...]
    signals: tuple[str, ...]
    times: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    arrivals: npt.NDArray[np.int64]
    delivered: npt.NDArray[np.float64]
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
        self._product = PRODUCTS[plan.product]
        self.names = tuple(device.device for device in plan.devices)
        self._operation = self._product.operate(plan)
        self._services: dict[datetime, list[Service]] = defaultdict(list)
        for service in plan.services:
            self._services[service.time].append(service)
        self._powered = np.ones(len(self.names), dtype=bool)
        self.now = plan.start - _WARM_UP
        while self.now < plan.start:
            self._interval()

    @property
    def powered(self) -> npt.NDArray[np.bool_]:
        """[D] whether each device has power at `now`."""
        return self._powered

    def advance(self, until: datetime) -> Chunk:
        """Runs to `until`, rounded down to the end of an interval, and gives what was measured on the way."""
        count = max(0, int((until - self.now) / INTERVAL))
        devices = len(self.names)
        times = np.empty(count, dtype=np.int64)
        values = np.empty((devices, count, len(self._product.signals)))
        arrivals = np.empty((devices, count), dtype=np.int64)
        delivered = np.empty((devices, count))
        events: list[Event] = []
        for n in range(count):
            begin = self.now
            measured = self._interval()
            times[n] = _ms(self.now)
            values[:, n], delivered[:, n] = measured.values, measured.delivered
            arrivals[:, n] = times[n]
            for odd in self._plan.oddities:
                if odd.kind == self._product.offline and odd.start < self.now < odd.end:
                    arrivals[odd.at, n] = _ms(odd.end)
            events += measured.events
            events += [
                Event(at=done.at, time=self.now, kind="maintenance", code="service", component=done.component)
                for done in self._services.get(begin, ())
            ]
        return Chunk(
            devices=self.names,
            signals=self._product.signals,
            times=times,
            values=values,
            arrivals=arrivals,
            delivered=delivered,
            events=tuple(events),
        )

    def _interval(self) -> Measured:
        measured = self._operation.interval(self.now)
        self._powered = measured.powered
        self.now += INTERVAL
        return measured


def _ms(time: datetime) -> int:
    return int(time.astimezone(UTC).timestamp() * 1000)
