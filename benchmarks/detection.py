"""How fast and how large detection is: `python -m benchmarks.detection [--json OUT] [--quick]`.

All label-free detectors judge a made-up fleet in one thread, from columns of readings to findings: the window is built,
every detector scores and learns, episodes open and close. Beside it, in the same run, what others would take.
"""

import os

# Before numpy is loaded: one thread, so that a reading a second is one of one core.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import argparse  # noqa: E402 — the limits come first
import json  # noqa: E402
import platform  # noqa: E402
import resource  # noqa: E402
import statistics  # noqa: E402
import time  # noqa: E402
from dataclasses import dataclass  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402

from anomaly.judge import Judge, State  # noqa: E402
from benchmarks import answers, finding_delay, peers, pumps  # noqa: E402
from benchmarks.services import Timescale  # noqa: E402
from telemetry import window  # noqa: E402

_CHUNK = 8
"""Ticks judged in one call, as after a short pause of the engine; fewer where that is more than the engine takes at once."""
_LIVED = 6 * pumps.WARM_UP
"""Ticks that the fleet has lived when it is measured."""
_MOST_READINGS = 2_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is measured. readings: of each fleet, at least; rounds; seconds of each peer, and of live findings."""

    readings: int
    rounds: int
    peer_s: float
    live_s: float


FULL = Size(readings=20_000_000, rounds=3, peer_s=10, live_s=60)
QUICK = Size(readings=1_500_000, rounds=1, peer_s=2, live_s=8)
FLEETS = (100, 10_000, 100_000)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--json", type=Path, metavar="OUT", help="also write the figures to a file")
    parser.add_argument("--quick", action="store_true", help="within 60 s; one round")
    given = parser.parse_args()
    began = time.monotonic()
    figures = measure(QUICK if given.quick else FULL)
    figures["seconds"] = round(time.monotonic() - began, 1)
    show(figures)
    if given.json:
        given.json.write_text(json.dumps(figures, indent=2) + "\n")


def measure(size: Size) -> dict[str, Any]:
    """All figures."""
    rates: dict[int, list[float]] = {devices: [] for devices in FLEETS}
    river, loop = [], []
    state = warmed(pumps.profile(), pumps.MODELS)
    for _ in range(size.rounds):
        # One after the other in each round, so that a machine that slows down does so for all of them.
        for devices in FLEETS:
            rates[devices].append(readings_per_s(state, devices, size.readings))
        river.append(peers.river_readings_per_s(size.peer_s))
        loop.append(peers.sklearn_readings_per_s(size.peer_s))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    ours = rates[10_000]
    return {
        "readings_per_s_per_core": {str(devices): round(statistics.median(found)) for devices, found in rates.items()},
        "bytes_per_device": bytes_per_device(state, pumps.MODELS),
        "peak_mb": round(peak / 1e6),
        "river_ratio": round(statistics.median(a / b for a, b in zip(ours, river, strict=True)), 1),
        "sklearn_loop_ratio": round(statistics.median(a / b for a, b in zip(ours, loop, strict=True)), 1),
        "river_readings_per_s": round(statistics.median(river)),
        "sklearn_loop_readings_per_s": round(statistics.median(loop)),
        "model_ratio": answers.ratios(size.peer_s),
        **delay(size.live_s),
        "rounds": size.rounds,
        "machine": platform.platform(),
    }


def warmed(profile: Any, devices: int) -> State:
    """The state of devices after their warm-up."""
    judge = Judge(profile)
    state = judge.fresh(devices)
    for at, chunk in enumerate(pumps.chunks(devices, ticks=_CHUNK)):
        judge.run(built(judge, devices, chunk), state)
        if (at + 1) * _CHUNK >= _LIVED:
            break
    return state


def built(judge: Judge, devices: int, chunk: pumps.Chunk) -> window.Window:
    """The window of a chunk of readings, as after they were read from the store."""
    return window.build(
        devices=np.arange(devices),
        signals=tuple(judge.profile.signals),
        tick=pumps.TICK,
        device_at=chunk.device_at,
        signal_at=chunk.signal_at,
        times=chunk.times,
        values=chunk.values,
    )


def readings_per_s(model: State, devices: int, readings: int) -> float:
    """Readings a second of a fleet of so many devices; making them up is not counted."""
    judge = Judge(pumps.profile())
    state = model.take(np.arange(devices) % pumps.MODELS)
    ticks = max(1, min(_CHUNK, _MOST_READINGS // (devices * pumps.SIGNALS)))
    source = pumps.chunks(devices, ticks=ticks, start=_LIVED, seed=3)
    done, took = 0, 0.0
    while done < readings:
        chunk = next(source)
        began = time.perf_counter()
        judge.run(built(judge, devices, chunk), state)
        took += time.perf_counter() - began
        done += len(chunk.values)
    return done / took


def bytes_per_device(state: State, devices: int) -> int:
    """Bytes of state that a device takes in memory."""
    return sum(column.nbytes for part in state.parts.values() for column in part.values()) // devices


def delay(seconds: float) -> dict[str, Any]:
    """Milliseconds until a finding is committed: with the pause that is set by default, and almost without one."""
    if why := Timescale.missing():
        return {"finding_p99_ms": None, "finding_p50_ms": None, "finding_skipped": why}
    with Timescale() as database:
        database.prepare()
        found = finding_delay.measure(database, seconds=seconds, interval="2s")
        brisk = finding_delay.measure(database, seconds=seconds, interval="0.05s")
    return {
        "finding_p99_ms": _percentile(found, 99),
        "finding_p50_ms": _percentile(found, 50),
        "finding_p99_ms_without_pause": _percentile(brisk, 99),
    }


def _percentile(values: list[float], share: int) -> float:
    return round(float(np.percentile(values, share)), 1)


def show(figures: dict[str, Any]) -> None:
    """Prints the figures."""
    for devices, rate in figures["readings_per_s_per_core"].items():
        print(f"{devices + ' devices':28}{rate:>12,} readings/s on one core")
    print(
        f"{'river, HalfSpaceTrees':28}{figures['river_readings_per_s']:>12,} readings/s, ours x{figures['river_ratio']}"
    )
    print(
        f"{'IsolationForest by device':28}{figures['sklearn_loop_readings_per_s']:>12,} readings/s,"
        f" ours x{figures['sklearn_loop_ratio']}"
    )
    for rows, ratio in figures["model_ratio"].items():
        print(f"{'a model, ' + rows + ' devices at once':36}x{ratio} of what scikit-learn answers")
    print(f"{'state':28}{figures['bytes_per_device']:>12,} bytes a device; peak of the process {figures['peak_mb']} MB")
    if "finding_skipped" in figures:
        print(f"finding delay not measured: {figures['finding_skipped']}")
    else:
        print(
            f"{'reading to finding':28}{figures['finding_p50_ms']:>12,} ms median, {figures['finding_p99_ms']} ms p99 with a"
            f" pause of 2 s between two looks; {figures['finding_p99_ms_without_pause']} ms p99 almost without"
        )
    print(f"{figures['seconds']} s")


if __name__ == "__main__":
    main()
