"""The detectors that ship with Forewarn, by name."""

from anomaly.detector import Detector
from anomaly.detectors.baseline import Baseline
from anomaly.detectors.limits import Limits
from core.profile import Profile

REGISTRY: dict[str, type[Limits] | type[Baseline]] = {Limits.name: Limits, Baseline.name: Baseline}


def of(profile: Profile) -> list[Detector]:
    """The detectors that `profile` switches on."""
    return [kind(profile) for name, kind in REGISTRY.items() if getattr(profile.detectors, name)]
