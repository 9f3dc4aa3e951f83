"""How faults grow with time, the same for all products."""

from datetime import datetime

import numpy as np

from simulator.plan import Fault, Growth

_STEEPNESS = 4.0


def severity(fault: Fault, now: datetime) -> float:
    """0 before the onset, rising by the fault's growth to 1 at its failure and after."""
    share = (now - fault.onset) / (fault.failure_time - fault.onset)
    share = min(max(share, 0.0), 1.0)
    match fault.growth:
        case Growth.LINEAR:
            return share
        case Growth.QUADRATIC:
            return share**2
        case Growth.EXPONENTIAL:
            return float(np.expm1(_STEEPNESS * share) / np.expm1(_STEEPNESS))
