"""A made-up fleet for the detection benchmark: pumps with nine signals, as a profile and as endless readings."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from core.profile import Profile, parse
from telemetry.window import Floats, Ints

TICK = 60_000_000
"""Microseconds."""
MODELS = 100
"""Devices that differ; a larger fleet holds copies of them, with noise of their own."""
WARM_UP = 60
"""Ticks after which all detectors judge."""
TEXT = f"""
profile: bench_pump
title: Pump
tick: 1min
silence_after: 1h
signals:
  vibration_1: {{title: Vibration 1, unit: m/s2, range: [0, 100], interval: 1min, component: pump}}
  vibration_2: {{title: Vibration 2, unit: m/s2, range: [0, 100], interval: 1min, component: pump}}
  current: {{title: Current, unit: A, range: [0, 50], interval: 1min, component: motor}}
  motor_temp: {{title: Motor temperature, unit: Cel, range: [-20, 150], interval: 1min, component: motor}}
  pressure: {{title: Pressure, unit: hPa, range: [0, 10000], interval: 1min, component: valves}}
  flow: {{title: Flow, unit: l/s, range: [0, 20], interval: 1min, component: valves}}
  load: {{title: Load, unit: "%", range: [0, 100], interval: 1min, role: context}}
  room: {{title: Room, unit: Cel, range: [-20, 60], interval: 1min, role: context}}
  trips: {{title: Trips, unit: count, range: [0, 100000], interval: 1min, component: motor}}
components: {{pump: {{title: Pump}}, motor: {{title: Motor}}, valves: {{title: Valves}}}}
failure_modes: {{burst: {{title: Burst, component: valves}}}}
detectors:
  sensors: {{warm_up: {WARM_UP}min}}
  limits: [{{signal: pressure, high: 9000, failure_mode: burst}}]
  baseline: {{warm_up: {WARM_UP}min, memory: 14d, smooth: 10min, on_delay: 10min, off_delay: 10min}}
  counters: {{}}
  correlation: {{warm_up: {WARM_UP}min, memory: 1d}}
  fleet: {{warm_up: {WARM_UP}min, memory: 1d}}
"""
_MIDDLE = np.array([3.0, 3.0, 12.0, 60.0, 2500.0, 8.0, 60.0, 20.0])
_BY_LOAD = np.array([0.5, 0.4, 3.0, 4.0, 200.0, 1.0, 10.0, 0.0])
_BY_ROOM = np.array([0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0])
_NOISE = np.array([0.1, 0.1, 0.3, 0.5, 20.0, 0.1, 1.0, 0.1])
SIGNALS = len(_NOISE) + 1
"""The last is a counter."""
_COUNTS = 5000.0
"""Ticks from one count to the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """N readings as columns, as they come from the store: positions, microseconds since the epoch, values."""

    device_at: Ints
    signal_at: Ints
    times: Ints
    values: Floats


def profile() -> Profile:
    """The fleet's profile: all label-free detectors on."""
    return parse(TEXT, "benchmarks/pumps.py")


def chunks(devices: int, *, ticks: int, start: int = 0, seed: int = 1) -> Iterator[Chunk]:
    """The readings from tick `start` on in chunks of `ticks`: signals that follow load and room, with noise, and a counter that mostly stands still."""
    random = np.random.default_rng(seed)
    drawn = np.random.default_rng(9)
    own = 1.0 + 0.05 * drawn.standard_normal((MODELS, len(_NOISE)))
    own = own[np.arange(devices) % MODELS]
    counted = (100.0 * drawn.random(MODELS))[np.arange(devices) % MODELS]
    while True:
        at = np.arange(start, start + ticks)
        room = 3.0 * np.sin(at / 1440.0 * 2.0 * np.pi)[:, None, None]
        load = random.standard_normal((ticks, devices, 1))
        noise = random.standard_normal((ticks, devices, len(_NOISE))) * _NOISE
        trips = np.floor(counted + at[:, None] / _COUNTS)
        values = np.concatenate([own * _MIDDLE + load * _BY_LOAD + room * _BY_ROOM + noise, trips[:, :, None]], axis=2)
        tick, device, signal = (grid.ravel() for grid in np.indices(values.shape))
        yield Chunk(device_at=device, signal_at=signal, times=(tick + start) * TICK + 1_000_000, values=values.ravel())
        start += ticks
