"""What detectors of deviations ask about: failure modes by their symptoms, and other components for anything unusual."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from anomaly.detector import or_zero
from core.profile import Profile, Role
from telemetry.window import Bools, Floats

ABNORMAL = "abnormal"
"""What is asked about a component that has signals but no failure mode with symptoms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """M questions about S signals. modes: [M] component and failure mode. signs: [M, S] direction of each symptom, 0
    where the signal is none. either: [M, S] signals of which any deviation shows it.
    """

    modes: tuple[tuple[str, str], ...]
    signs: Floats
    either: Bools

    @classmethod
    def of(cls, profile: Profile, signals: Sequence[str]) -> Self:
        """All that can be asked of these signals of the profile."""
        modes: list[tuple[str, str]] = []
        signs: list[list[float]] = []
        either: list[list[bool]] = []
        for name, mode in profile.failure_modes.items():
            if set(mode.symptoms) & set(signals):
                modes.append((mode.component, name))
                signs.append([{"high": 1.0, "low": -1.0}.get(mode.symptoms.get(s, ""), 0.0) for s in signals])
                either.append([False] * len(signals))
        for component in unexplained(profile):
            own = [profile.signals[s].component == component for s in signals]
            if any(own):
                modes.append((component, ABNORMAL))
                signs.append([0.0] * len(signals))
                either.append(own)
        shape = (len(modes), len(signals))
        return cls(
            modes=tuple(modes),
            signs=np.array(signs, dtype=float).reshape(shape),
            either=np.array(either, dtype=bool).reshape(shape),
        )

    def shown(self, track: int, deviation: Floats) -> Floats:
        """[D, S] how much each signal speaks for a question; 0 where it speaks against it or is not known."""
        own = np.where(self.either[track], np.abs(deviation), deviation * self.signs[track])
        return or_zero(own).clip(0.0)

    def fuse(self, deviation: Floats) -> Floats:
        """[D, M] from signed deviations [D, S]. Stouffer's sum of symptoms: several signs, each too weak alone, are strong
        together; NaN while one of them is not known. For `either`, the strongest that is known.
        """
        result = np.full((len(deviation), len(self.modes)), np.nan)
        for m, (signs, either) in enumerate(zip(self.signs, self.either, strict=True)):
            if either.any():
                result[:, m] = np.fmax.reduce(np.abs(deviation[:, either]), axis=1)
            else:
                symptoms = signs != 0
                result[:, m] = deviation[:, symptoms] @ signs[symptoms] / np.sqrt(symptoms.sum())
        return result


def unexplained(profile: Profile) -> list[str]:
    """Components with judged signals but no failure mode that has symptoms."""
    told = {mode.component for mode in profile.failure_modes.values() if mode.symptoms}
    measured = {s.component for s in profile.signals.values() if s.role is Role.MEASURE}
    return [component for component in profile.components if component not in told and component in measured]
