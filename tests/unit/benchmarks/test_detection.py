"""The pieces of the detection benchmark: a fleet that is healthy, copies that go on, peers that answer."""

from itertools import islice

import numpy as np

from anomaly.judge import Judge
from benchmarks import answers, detection, peers, pumps


def test_its_fleet_is_judged_by_all_detectors_and_stays_healthy() -> None:
    judge = Judge(pumps.profile())
    state = detection.warmed(judge.profile, pumps.MODELS)
    chunk = next(pumps.chunks(pumps.MODELS, ticks=8, start=6 * pumps.WARM_UP, seed=3))
    seen = []
    opened = judge.run(detection.built(judge, pumps.MODELS, chunk), state, lambda _, scores: seen.append(scores))
    assert np.isfinite(seen[-1]).all()
    assert len(opened) <= 0.1 * pumps.MODELS
    assert {name for name, (_, layout) in judge.layouts.items() if layout} == {
        "sensors",
        "counters",
        "baseline",
        "correlation",
        "fleet",
        "episodes",
    }


def test_its_readings_go_on_from_chunk_to_chunk() -> None:
    first, second = islice(pumps.chunks(3, ticks=4, start=10), 2)
    assert (first.times.min(), second.times.max()) == (10 * pumps.TICK + 1_000_000, 17 * pumps.TICK + 1_000_000)
    assert len(first.values) == 3 * 4 * pumps.SIGNALS


def test_a_larger_fleet_is_measured_with_copies() -> None:
    state = Judge(pumps.profile()).fresh(pumps.MODELS)
    assert detection.readings_per_s(state, 250, 4000) > 0
    assert detection.bytes_per_device(state, pumps.MODELS) > 1000


def test_peers_answer() -> None:
    assert peers.river_readings_per_s(0.05) > 0
    assert peers.sklearn_readings_per_s(0.05) > 0


def test_a_model_answers_beside_scikit_learn() -> None:
    assert all(ratio > 0 for ratio in answers.ratios(0.01).values())
