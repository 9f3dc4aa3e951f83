"""Which failure modes may be one fault: what is told of one then keeps the other from being told too. Pure."""

from collections.abc import Iterable, Sequence

import numpy as np

from anomaly.asked import ABNORMAL
from anomaly.detectors.sensors import COMPONENT as SENSORS
from anomaly.detectors.sensors import failure_mode as sensor_fault
from core.profile import Profile
from telemetry.window import Bools

Mode = tuple[str, str]
"""Component and failure mode."""


def explanations(profile: Profile, modes: Sequence[Mode]) -> Bools:
    """[M, M] whether the failure mode of the row, while it is open, explains a symptom of the column's: then both
    would be one fault told twice. A signal that is high explains none that would have to be low.
    """
    shown, dragged, doubted = [], [], []
    for component, mode in modes:
        sensor = component == SENSORS
        known = profile.failure_modes.get(mode) if not sensor else None
        # Where no direction is declared, either may show it.
        own = _either(
            n for n, s in profile.signals.items() if (sensor_fault(n) == mode if sensor else s.component == component)
        )
        signals = set(known.symptoms.items()) if known and known.symptoms else own
        shown.append(signals)
        dragged.append(signals | set(known.consequences.items() if known else ()))
        # Where any one of several signals may show a fault, or a code does, a faulty sensor leaves the others to be believed.
        alone = len({n for n, _ in signals}) == 1 if known is None else not known.codes
        doubted.append(signals if alone else set())
    explains: Bools = np.array(
        [[bool(a & b) for b in (doubted if c == SENSORS else shown)] for a, (c, _) in zip(dragged, modes, strict=True)],
        dtype=bool,
    )
    explains = explains.reshape(len(shown), len(shown))
    np.fill_diagonal(explains, val=False)
    return explains


def rivals(modes: Sequence[Mode]) -> Bools:
    """[M, M] which may be one fault because nobody described how their components fail: it then shows in several of them."""
    undescribed = np.array([mode == ABNORMAL for _, mode in modes], dtype=bool)
    found: Bools = np.outer(undescribed, undescribed)
    np.fill_diagonal(found, val=False)
    return found


def _either(signals: Iterable[str]) -> set[tuple[str, str]]:
    """Signals in both directions."""
    return {(name, direction) for name in signals for direction in ("high", "low")}
