"""What a finding says, in words for an engineer."""

from datetime import UTC, datetime

from anomaly.detector import SignalEvidence
from anomaly.finding import sentence
from core.profile import Profiles


def said(signal: str, unit: str, low: float, high: float, seen: float, *, hourly: bool = False) -> str:
    evidence = SignalEvidence(
        signal=signal,
        unit=unit,
        normal_low=low,
        normal_high=high,
        seen=seen,
        contribution=1.0,
        direction="high",
        hourly=hourly,
    )
    return sentence(Profiles()["fridge"], [evidence], datetime(2026, 3, 1, 12, tzinfo=UTC))


def test_a_counter_is_told_in_whole_numbers_and_by_where_it_stood() -> None:
    since = "; since 2026-03-01 12:00 UTC"
    assert said("fan_speed", "count", 7, 7, 24) == f"Evaporator fan speed 24 (normal 7){since}"
    assert said("fan_speed", "count", 0, 0, 1.5) == f"Evaporator fan speed 1.50 (normal 0){since}"


def test_signals_codes_and_ages_are_told_by_their_names_and_units() -> None:
    since = "; since 2026-03-01 12:00 UTC"
    assert said("power", "W", 40, 66, 84) == f"Electric power 84.0 W (normal 40.0 to 66.0 W){since}"
    by_hour = f"Electric power 84.0 W (normal 40.0 to 66.0 W at that hour){since}"
    assert said("power", "W", 40, 66, 84, hourly=True) == by_hour
    assert said("E23", "count", 0, 0.1, 1.7) == f"error code E23 lately 1.70 times (normal 0.00 to 0.10 times){since}"
    assert said("compressor", "h", 48, 240, 480) == f"Compressor in place for 480 h (normal 48.0 to 240 h){since}"
    known = f"time since the last maintenance 480 h (normal 48.0 to 240 h){since}"
    assert said("last maintenance", "h", 48, 240, 480) == known
