"""Made-up fleets of one signal, in which some devices fail, as the recordings and labels that a backtest judges."""

from collections.abc import Sequence
from datetime import timedelta

import numpy as np

from anomaly import backtest
from anomaly.backtest import Labels
from anomaly.judgement.failures import Row
from anomaly.judgement.rules import Rules, duration, length
from core.profile import Profile
from telemetry.recorded import Recording
from telemetry.window import Floats


def recorded(profile: Profile, values: Sequence[Floats], failing: int) -> tuple[Recording, Labels]:
    """values: of each device, one for each tick from the same time on. The first `failing` of them fail as their values end."""
    tick = profile.tick // timedelta(microseconds=1)
    at = np.concatenate([np.arange(len(own)) for own in values])
    order = np.argsort(at, kind="stable")
    recording = Recording(
        devices=tuple(f"device-{device}" for device in range(len(values))),
        signals=tuple(profile.signals),
        device=np.repeat(np.arange(len(values)), [len(own) for own in values])[order],
        times=at[order] * tick,
        values=np.concatenate(values)[order][:, None],
        tick=tick,
    )
    ends = np.array([len(own) for own in values[:failing]], dtype=np.int64)
    return recording, Labels(failed=(np.arange(failing), np.zeros(failing, dtype=np.int64), ends * tick))


def judged(profile: Profile, recording: Recording, labels: Labels) -> Row:
    """The figures of a fleet as the profile is configured: told within three days before the failure, an hour before it at the latest."""
    rules = Rules(horizon=length("3d", ""), leads=(duration("1h", ""),))
    (row,) = backtest.run(profile, recording, labels, rules).live
    return row


def told(row: Row) -> tuple[str, str]:
    """The share of failures that were warned of, and false alarms a device-month."""
    assert row.recall is not None
    return f"{row.recall:.2f}", f"{row.false_per_device_month or 0.0:.3f}"
