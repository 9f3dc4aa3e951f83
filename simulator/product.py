"""What a kind of product has to tell so that the fleet's machinery can plan, run, record and publish it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import numpy as np
import numpy.typing as npt

from simulator.customers import Brand
from simulator.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A discrete message of the device with the number `at`; `component` is what maintenance was done on."""

    at: int
    time: datetime
    kind: str
    code: str
    component: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One interval of D devices.

    values: [D, S] in the profile's units, NaN where nothing was measured. powered: [D] at the interval's end.
    delivered: [D] what the customer gets of the product, whatever its own sensors say.
    """

    values: npt.NDArray[np.float64]
    powered: npt.NDArray[np.bool_]
    delivered: npt.NDArray[np.float64]
    events: tuple[Event, ...]


class Operation(Protocol):
    """All devices of a plan at work."""

    def interval(self, begin: datetime) -> Measured:
        """Goes through the interval from `begin`; called for each interval in turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """One kind of product, named as its profile.

    components: component by failure mode. oddities: shortest and longest time by kind, hours. offline: the oddity in
    which readings wait in the device until it is over. services: shortest and longest time between renewals by
    component, days. operate: sets all devices of a plan to work at its start.
    """

    brand: Brand
    signals: tuple[str, ...]
    components: Mapping[str, str]
    oddities: Mapping[str, tuple[float, float]]
    offline: str
    services: Mapping[str, tuple[float, float]]
    operate: Callable[[Plan], Operation]
