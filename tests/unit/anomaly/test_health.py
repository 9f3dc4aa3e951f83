"""The health of components from scores."""

import numpy as np
import pytest

from anomaly.detector import Track
from anomaly.health import of_score, of_scores

NAN = np.nan


def track(component: str, kind: str = "degradation") -> Track:
    return Track(component=component, failure_mode="worn", kind=kind, on_delay=1, off_delay=1, off_below=1.0)


def test_it_is_one_when_nothing_deviates_half_at_the_threshold_and_near_nothing_far_beyond() -> None:
    assert of_score(np.array([-1e300, -5.0, 0.0])).tolist() == [1.0, 1.0, 1.0]
    assert of_score(np.array([1.0])).tolist() == [0.5]
    assert of_score(np.array([0.5]))[0] > 0.9
    assert of_score(np.array([3.0]))[0] < 0.02
    assert 0 <= of_score(np.array([1e300]))[0] < 1e-6


def test_it_only_falls() -> None:
    health = of_score(np.linspace(-1, 10, 200))
    assert (np.diff(health) <= 0).all()


@pytest.mark.parametrize(
    ("scores", "wanted"),
    [
        ([0.0, 1.0, 0.0, 9.0], [0.5, 1.0, NAN]),
        ([NAN, 1.0, NAN, 9.0], [0.5, NAN, NAN]),
        ([NAN, NAN, 1.0, NAN], [NAN, 0.5, NAN]),
    ],
    ids=["the worst counts", "what is known counts", "nothing is known"],
)
def test_the_worst_that_is_known_counts_and_sensor_faults_do_not(scores: list[float], wanted: list[float]) -> None:
    tracks = [track("heater"), track("heater", "limit"), track("fan"), track("heater", "sensor")]
    found = of_scores(np.array([scores]), tracks, ["heater", "fan", "door"])
    np.testing.assert_array_equal(found, [wanted])
