"""The benchmark of counters: each kind of fleet is made and judged."""

import pytest

from benchmarks import counters, fleets


@pytest.mark.parametrize("kind", counters.KINDS)
def test_each_kind_is_judged(kind: str) -> None:
    recording, labels = counters.fleet(counters.KINDS[kind], devices=8, failing=2, days=20, seed=3)
    row = fleets.judged(counters.PROFILE, recording, labels)
    assert row.failures == 2
    assert row.recall is not None
    assert recording.values.min() >= 0
