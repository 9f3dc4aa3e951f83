"""How far what devices send is from what a model learnt."""

import numpy as np
import pytest

from anomaly.drift import FEWEST_DEVICES, Drift, SignalDrift, index


def test_the_usual_shares_are_no_drift() -> None:
    assert index([50, 450, 450, 50], (1.0, 2.0, 3.0)) == pytest.approx(0)


def test_the_index_is_that_of_the_definition() -> None:
    seen, usual = np.array([0.05, 0.25, 0.5, 0.2]), np.array([0.05, 0.45, 0.45, 0.05])
    expected = ((seen - usual) * np.log(seen / usual)).sum()
    assert index([5, 25, 50, 20], (1.0, 2.0, 3.0)) == pytest.approx(expected)


@pytest.mark.parametrize("counts", [[0, 0, 0, 1000], [1000, 0, 0, 0], [0, 1000, 0, 0]])
def test_all_on_one_side_is_shifted_and_finite(counts: list[int]) -> None:
    assert 0.25 < index(counts, (1.0, 2.0, 3.0)) < 20


def test_a_heater_that_is_mostly_off_is_no_drift() -> None:
    # Its 5 % and 50 % quantile are both nothing: half of the ticks at nothing is as it was.
    assert index([0, 900, 50, 50], (0.0, 0.0, 140.0)) == pytest.approx(0, abs=1e-3)
    assert index([0, 300, 100, 600], (0.0, 0.0, 140.0)) > 0.25
    assert index([400, 500, 100, 0], (0.0, 0.0, 0.0)) > 0.25


def test_few_devices_say_nothing_and_a_look_comes_back_as_it_was() -> None:
    signal = SignalDrift(signal="heat", unit="Cel", low=1.0, high=2.0, index=0.7, outside=0.5)
    few = Drift(days=7.0, devices=FEWEST_DEVICES - 1, signals=(signal,))
    many = Drift(days=7.0, devices=FEWEST_DEVICES, signals=(signal,), unknown_codes=("E1",))
    assert few.shifted == []
    assert many.shifted == [signal]
    told = {"days": 7.0, "devices": FEWEST_DEVICES, "unknown_codes": ["E1"], "signals": [
        {"signal": "heat", "unit": "Cel", "low": 1.0, "high": 2.0, "index": 0.7, "outside": 0.5}
    ]}  # fmt: skip
    assert Drift.of(told) == many
