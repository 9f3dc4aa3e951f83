"""Makes plans: draws from a seed which device fails how and when, what is odd for a while, when parts are renewed."""

from datetime import UTC, date, datetime, timedelta

import numpy as np

from simulator.catalogue import PRODUCTS
from simulator.customers import draw_devices
from simulator.plan import INTERVAL, Fault, Growth, Oddity, Plan, Service, on_grid
from simulator.product import Product

SETTLING = timedelta(days=8)
"""So long a device is healthy at the start of its history, if the history is long enough."""

_SERVED_FOR = timedelta(days=60)
"""Services are planned so far beyond the end of the history, since live operation goes on."""


def make(
    *,
    product: str = "fridge",
    seed: int,
    devices: int,
    days: float,
    failing: int,
    end: datetime,
    as_of: date | None = None,
) -> Plan:
    """The plan of a fleet whose history of `days` ends at `end` (aware; rounded down to a whole interval).

    as_of: the history is the one that would have ended on this date (UTC) at the same time of day, moved to `end`.

    A quarter of the `failing` devices breaks in the last days before `end`, some three eighths soon after it (so
    these are failing, not broken, at `end`), the others earlier in the history. Failure modes take turns, so as many
    failing devices as the product has failure modes show all of them. Raises ValueError for what makes no fleet.
    """
    if product not in PRODUCTS:
        raise ValueError(f"there is no product {product!r}; there is {', '.join(PRODUCTS)}")
    if devices < 1 or days <= 0:
        raise ValueError("a fleet has at least one device and a history longer than nothing")
    if not 0 <= failing <= devices:
        raise ValueError(f"failing must be between 0 and the number of devices, {devices}")
    if end.tzinfo is None:
        raise ValueError("the end of the history needs a time zone")
    kind = PRODUCTS[product]
    end = on_grid(end)
    start = on_grid(end - timedelta(days=days))
    rng = np.random.default_rng([seed, 1])
    order = [int(at) for at in rng.permutation(devices)]
    faults = _faults(kind, rng, order[:failing], start, end)
    return Plan(
        product=product,
        seed=seed,
        start=start,
        end=end,
        devices=draw_devices(kind.brand, seed, devices),
        faults=faults,
        oddities=_oddities(kind, rng, sorted(order[failing:]), start, end),
        services=_services(kind, seed, devices, faults, start, end + _SERVED_FOR),
        moved=end.astimezone(UTC).date() - as_of if as_of else timedelta(0),
    )


def _faults(
    product: Product, rng: np.random.Generator, devices: list[int], start: datetime, end: datetime
) -> tuple[Fault, ...]:
    days = (end - start) / timedelta(days=1)
    healthy = min(SETTLING / timedelta(days=1), 0.3 * days)
    last = max(1, round(len(devices) / 4))
    soon = round(len(devices) * 3 / 8)
    modes = [list(product.components)[int(k)] for k in rng.permutation(len(product.components))]
    faults = []
    for n, at in enumerate(devices):
        length = float(rng.uniform(7, 25))
        # Days from `start` to the failure, by the group that the device falls into.
        recent, near, earlier = rng.uniform(days - 4, days - 0.25), rng.uniform(days + 0.5, days + 6), rng.uniform()
        earliest = healthy + 7
        if n < last:
            failure = float(recent)
        elif n < last + soon or earliest >= days - 4:
            failure = float(near)
        else:
            failure = earliest + float(earlier) * (days - 4 - earliest)
        # A fault is never shorter than three days, even if a short history leaves no healthy time then.
        length = max(3.0, min(length, failure - healthy))
        faults.append(
            Fault(
                at=at,
                failure_mode=modes[n % len(modes)],
                onset=on_grid(start + timedelta(days=failure - length)),
                failure_time=on_grid(start + timedelta(days=failure)),
                growth=list(Growth)[int(rng.integers(len(Growth)))],
            )
        )
    return tuple(sorted(faults, key=lambda fault: fault.at))


def _oddities(
    product: Product, rng: np.random.Generator, devices: list[int], start: datetime, end: datetime
) -> tuple[Oddity, ...]:
    days = (end - start) / timedelta(days=1)
    oddities = []
    for at in devices:
        # About one oddity a device and month, of which none overlap so that each can be judged alone.
        free_from = 0.0
        for _ in range(int(rng.poisson(days / 30))):
            kind = list(product.oddities)[int(rng.integers(len(product.oddities)))]
            length = float(rng.uniform(*product.oddities[kind])) / 24
            begin = free_from + float(rng.uniform(0.2, 1)) * max(0.0, days - free_from)
            if begin >= days:
                break
            begins = on_grid(start + timedelta(days=begin))
            ends = max(on_grid(begins + timedelta(days=length)), begins + INTERVAL)
            oddities.append(Oddity(at=at, kind=kind, start=begins, end=ends))
            free_from = begin + length
    return tuple(oddities)


def _services(
    product: Product, seed: int, devices: int, faults: tuple[Fault, ...], start: datetime, end: datetime
) -> tuple[Service, ...]:
    """Each component of `product.services` at its own pace, from a random age on. A renewal would end the growing fault
    of its component, and a broken device is not serviced: such a service does not take place.
    """
    failing = {fault.at: fault for fault in faults}
    services = []
    for at in range(devices):
        # Its own generator for each device, so that the first devices of a seed do not depend on their number.
        rng = np.random.default_rng([seed, 8, at])
        for component, pace in product.services.items():
            time = start + timedelta(days=float(rng.uniform(0, pace[1])))
            while time < end:
                fault = failing.get(at)
                own = fault is not None and product.components[fault.failure_mode] == component
                if fault is None or time < (fault.onset if own else fault.failure_time):
                    services.append(Service(at=at, component=component, time=on_grid(time)))
                time += timedelta(days=float(rng.uniform(*pace)))
    return tuple(sorted(services, key=lambda service: service.time))
