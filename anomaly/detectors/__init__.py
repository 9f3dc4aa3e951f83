"""The detectors that ship with Forewarn, by name."""

from collections.abc import Callable

from anomaly.detector import Detector
from anomaly.detectors.baseline import Baseline
from anomaly.detectors.correlation import Correlation
from anomaly.detectors.counters import Counters
from anomaly.detectors.failure_model import FailureModel
from anomaly.detectors.fleet import Fleet
from anomaly.detectors.limits import Limits
from anomaly.detectors.sensors import Sensors
from anomaly.detectors.surprise import Surprise
from anomaly.learning.model import Model
from core.profile import Profile

REGISTRY: dict[str, Callable[[Profile], Detector]] = {
    Sensors.name: Sensors,
    Limits.name: Limits,
    Counters.name: Counters,
    Baseline.name: Baseline,
    Surprise.name: Surprise,
    Correlation.name: Correlation,
    Fleet.name: Fleet,
}
"""Those that need nothing but a profile, in the order in which they judge a tick: sensors first, since what a faulty sensor
says is kept from the others; and counters before those that compare a value with what it usually is.
"""


def of(profile: Profile, model: Model | None = None) -> list[Detector]:
    """The detectors that `profile` switches on and gives something to ask, and the model that was learnt for it."""
    found: list[Detector] = [kind(profile) for name, kind in REGISTRY.items() if getattr(profile.detectors, name)]
    found = [one for one in found if one.tracks]
    return [*found, FailureModel(profile, model)] if model else found
