"""The detectors that ship with Forewarn, by name."""

from anomaly.detector import Detector
from anomaly.detectors.baseline import Baseline
from anomaly.detectors.limits import Limits
from anomaly.detectors.surprise import Surprise
from core.profile import Profile

REGISTRY: dict[str, type[Limits] | type[Baseline] | type[Surprise]] = {
    Limits.name: Limits,
    Baseline.name: Baseline,
    Surprise.name: Surprise,
}


def of(profile: Profile) -> list[Detector]:
    """The detectors that `profile` switches on."""
    return [kind(profile) for name, kind in REGISTRY.items() if getattr(profile.detectors, name)]
