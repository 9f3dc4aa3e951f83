"""The detectors that ship with Forewarn, by name."""

from anomaly.detector import Detector
from anomaly.detectors.baseline import Baseline
from anomaly.detectors.failure_model import FailureModel
from anomaly.detectors.limits import Limits
from anomaly.detectors.surprise import Surprise
from anomaly.model import Model
from core.profile import Profile

REGISTRY: dict[str, type[Limits] | type[Baseline] | type[Surprise]] = {
    Limits.name: Limits,
    Baseline.name: Baseline,
    Surprise.name: Surprise,
}
"""Those that need nothing but a profile."""


def of(profile: Profile, model: Model | None = None) -> list[Detector]:
    """The detectors that `profile` switches on, and the model that was learnt for it."""
    found: list[Detector] = [
        kind(profile) for name, kind in REGISTRY.items() if getattr(profile.detectors, name) not in (None, ())
    ]
    return [*found, FailureModel(profile, model)] if model else found
