"""The fleet's physics: the same seed gives the same data, healthy devices are sound, faults show as the profile says."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pytest

from core.profile import Profiles, Role
from simulator.fleet import Chunk, Fleet
from simulator.fridge.faults import COMPONENT, FailureMode
from simulator.fridge.homes import Harmless
from simulator.fridge.refrigerators import SIGNALS
from simulator.plan import INTERVAL, Fault, Growth, Oddity, Plan
from simulator.planning import make

END = datetime(2026, 3, 1, tzinfo=UTC)
DAY = 144
FRIDGE = Profiles()["fridge"]
CASES = [(mode, growth) for mode in FailureMode for growth in Growth]
ONSET, FAILURE = 9, 22


def joined(chunks: list[Chunk]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    return np.concatenate([c.values for c in chunks], axis=1), np.concatenate([c.delivered for c in chunks], axis=1)


def of(signal: str) -> int:
    return SIGNALS.index(signal)


@dataclass(frozen=True, kw_only=True)
class Twins:
    """One fleet twice: healthy, and with each failure mode growing in each way from day 9 to day 22."""

    healthy: npt.NDArray[np.float64]
    healthy_cabinet: npt.NDArray[np.float64]
    failing: npt.NDArray[np.float64]
    failing_cabinet: npt.NDArray[np.float64]


@pytest.fixture(scope="module")
def twins() -> Twins:
    plan = replace(make(seed=3, devices=len(CASES), days=25, failing=0, end=END), oddities=())
    faults = tuple(
        Fault(
            at=at,
            failure_mode=mode,
            growth=growth,
            onset=plan.start + timedelta(days=ONSET),
            failure_time=plan.start + timedelta(days=FAILURE),
        )
        for at, (mode, growth) in enumerate(CASES)
    )
    healthy, healthy_cabinet = joined(list(Fleet(plan).history()))
    failing, failing_cabinet = joined(list(Fleet(replace(plan, faults=faults)).history()))
    return Twins(healthy=healthy, healthy_cabinet=healthy_cabinet, failing=failing, failing_cabinet=failing_cabinet)


def small(**changes: object) -> Plan:
    numbers: dict[str, object] = {"seed": 5, "devices": 4, "days": 3, "failing": 2, "end": END}
    return make(**(numbers | changes))  # type: ignore[arg-type]


def test_the_same_seed_gives_the_same_data_however_it_is_cut() -> None:
    whole, _ = joined(list(Fleet(small()).history(chunk=timedelta(days=9))))
    cut, _ = joined(list(Fleet(small()).history(chunk=timedelta(hours=7))))
    np.testing.assert_array_equal(whole, cut)
    other, _ = joined(list(Fleet(small(seed=6)).history()))
    assert not np.array_equal(whole, other, equal_nan=True)


@pytest.mark.parametrize("product", ["fridge", "air_compressor"])
def test_a_history_that_is_moved_is_the_same_on_every_day(product: str) -> None:
    """Each day another weekday, some in summer and some in winter; at each hour as much of the same day has passed."""
    plans = [
        small(product=product, end=datetime(2026, month, day, tzinfo=UTC), as_of=END.date())
        for month, day in ((3, 1), (3, 31), (11, 27))
    ]
    assert [plan.moved.days for plan in plans] == [0, 30, 271]
    first, *others = [joined(list(Fleet(plan).history(end=plan.end + timedelta(hours=20))))[0] for plan in plans]
    assert first.shape[1] == 3 * DAY + 120
    for other in others:
        np.testing.assert_array_equal(other, first)
    unmoved, _ = joined(list(Fleet(small(product=product)).history()))
    np.testing.assert_array_equal(first[:, : 3 * DAY], unmoved)


def test_a_later_start_gives_the_end_of_the_same_history() -> None:
    plan = small()
    whole, _ = joined(list(Fleet(plan).history()))
    tail, _ = joined(list(Fleet(plan).history(plan.end - timedelta(hours=5))))
    np.testing.assert_array_equal(whole[:, -30:], tail)


def test_a_chunk_has_the_shapes_and_times_it_promises() -> None:
    plan = small(days=1)
    (chunk,) = Fleet(plan).history()
    assert chunk.values.shape == (4, DAY, len(SIGNALS))
    assert chunk.arrivals.shape == chunk.delivered.shape == (4, DAY)
    assert chunk.times.dtype == np.int64
    assert chunk.times[0] == (plan.start + INTERVAL).timestamp() * 1000
    assert chunk.times[-1] == plan.end.timestamp() * 1000
    assert set(np.diff(chunk.times)) == {600_000}


def test_names_are_those_of_the_profile() -> None:
    assert tuple(FRIDGE.signals) == SIGNALS
    assert {m.value: COMPONENT[m] for m in FailureMode} == {n: m.component for n, m in FRIDGE.failure_modes.items()}
    assert {s.interval for s in FRIDGE.signals.values()} == {INTERVAL}


def test_all_values_are_within_the_sensors_ranges(twins: Twins) -> None:
    for signal, described in FRIDGE.signals.items():
        values = twins.failing[:, :, of(signal)]
        assert np.nanmin(values) >= described.range[0], signal
        assert np.nanmax(values) <= described.range[1], signal


def test_healthy_devices_hold_their_temperatures(twins: Twins) -> None:
    cabinet = twins.healthy[:, :, of("cabinet_temp")]
    assert np.mean((cabinet >= 2) & (cabinet <= 8)) > 0.99
    assert np.mean(np.abs(cabinet - twins.healthy_cabinet)) < 0.5
    freezer = np.nanmean(twins.healthy[:, :, of("freezer_temp")], axis=1)
    assert ((freezer > -23) & (freezer < -13)).all()
    duty = np.nanmean(twins.healthy[:, :, of("compressor_duty")], axis=1)
    assert ((duty > 20) & (duty < 70)).all()


def test_healthy_devices_defrost_about_once_in_eight_to_twelve_hours_of_running(twins: Twins) -> None:
    heated = np.isfinite(twins.healthy[:, :, of("defrost_power")])
    defrosts = (heated[:, 1:] & ~heated[:, :-1]).sum(axis=1)
    hours_run = np.nansum(twins.healthy[:, :, of("compressor_duty")], axis=1) / 100 / 6
    assert ((hours_run / defrosts > 7.5) & (hours_run / defrosts < 13)).all()


def test_a_part_that_stands_still_gives_no_reading(twins: Twins) -> None:
    idle = twins.healthy[:, :, of("compressor_duty")] == 0
    assert idle.any()
    assert np.isnan(twins.healthy[:, :, of("compressor_vibration")][idle]).all()
    assert np.isnan(twins.healthy[:, :, of("fan_speed")][idle]).all()
    assert np.isfinite(twins.healthy[:, :, of("compressor_vibration")][~idle]).all()


@pytest.mark.parametrize("at", range(len(CASES)), ids=[f"{m}-{g}" for m, g in CASES])
def test_a_fault_moves_its_symptoms_as_the_profile_says(twins: Twins, at: int) -> None:
    last = slice((FAILURE - 2) * DAY, FAILURE * DAY)
    for signal, direction in FRIDGE.failure_modes[CASES[at][0]].symptoms.items():
        healthy, failing = twins.healthy[at, :, of(signal)], twins.failing[at, :, of(signal)]
        scatter = np.std([np.nanmean(healthy[n * DAY : (n + 2) * DAY]) for n in range(0, 24, 2)])
        moved = (np.nanmean(failing[last]) - np.nanmean(healthy[last])) / scatter
        assert moved > 3 if direction == "high" else moved < -3, f"{signal} moved by {moved:.1f} of its scatter"


@pytest.mark.parametrize("at", range(len(CASES)), ids=[f"{m}-{g}" for m, g in CASES])
def test_nothing_changes_before_the_onset(twins: Twins, at: int) -> None:
    before = slice(0, ONSET * DAY)
    np.testing.assert_array_equal(twins.healthy[at, before], twins.failing[at, before])


@pytest.mark.parametrize("at", range(len(CASES)), ids=[f"{m}-{g}" for m, g in CASES])
def test_a_fault_ends_in_a_functional_failure_and_not_long_before(twins: Twins, at: int) -> None:
    mode = CASES[at][0]
    cabinet, values = twins.failing_cabinet[at], twins.failing[at]
    growing = cabinet[ONSET * DAY : (ONSET + FAILURE) // 2 * DAY]
    # Daily, since defrosts and doors warm even a sound cabinet for a while.
    daily = growing[: len(growing) // DAY * DAY].reshape(-1, DAY).mean(axis=1)
    assert ((daily > 1.5) & (daily < 6)).all()
    after = slice(FAILURE * DAY + DAY, None)
    match mode:
        case FailureMode.COMPRESSOR_WEAR:
            assert np.isnan(values[FAILURE * DAY :, of("compressor_vibration")]).all(), "it still turns"
            assert (cabinet[after] > 8).all()
        case FailureMode.REFRIGERANT_LEAK:
            assert (cabinet[after] > 8).all()
        case FailureMode.FAN_DEGRADATION:
            assert np.nanmax(values[FAILURE * DAY + 1 :, of("fan_speed")]) == 0
            assert cabinet[after].mean() > 8
        case FailureMode.GASKET_LEAK:
            assert cabinet[after].mean() > 8
        case FailureMode.HEATER_DEGRADATION:
            assert np.nanmax(values[FAILURE * DAY + 3 :, of("defrost_power")]) == 0
        case FailureMode.SENSOR_DRIFT:
            assert cabinet[after].mean() < 0
            assert 2 < np.nanmean(values[after, of("cabinet_temp")]) < 8, "its own sensor does not know"


def test_without_defrost_ice_grows_until_the_cabinet_gets_warm() -> None:
    plan = replace(make(seed=3, devices=1, days=25, failing=0, end=END), oddities=())
    fault = Fault(
        at=0,
        failure_mode=FailureMode.HEATER_DEGRADATION,
        growth=Growth.LINEAR,
        onset=plan.start,
        failure_time=plan.start + timedelta(days=4),
    )
    _, cabinet = joined(list(Fleet(replace(plan, faults=(fault,))).history()))
    assert cabinet[0, 4 * DAY : 6 * DAY].mean() < 6
    assert cabinet[0, -2 * DAY :].mean() > 8


def odd(kind: Harmless, *, hours: float) -> tuple[Chunk, Chunk, slice]:
    """One healthy day and half, and the same with an oddity from noon on; the oddity's intervals."""
    plan = replace(make(seed=11, devices=1, days=1.5, failing=0, end=END), oddities=())
    noon = plan.start + timedelta(hours=6)
    oddity = Oddity(at=0, kind=kind, start=noon, end=noon + timedelta(hours=hours))
    (usual,) = Fleet(plan).history(chunk=timedelta(days=2))
    (strange,) = Fleet(replace(plan, oddities=(oddity,))).history(chunk=timedelta(days=2))
    return usual, strange, slice(36, 36 + int(hours * 6))


@pytest.mark.parametrize(
    ("kind", "hours", "signal", "least"),
    [
        (Harmless.HEAT_WAVE, 24, "ambient_temp", 3.0),
        (Harmless.HEAT_WAVE, 24, "compressor_duty", 5.0),
        (Harmless.WARMER_ROOM, 24, "ambient_temp", 3.0),
        (Harmless.PARTY, 6, "door_open", 1.0),
        (Harmless.WARM_FOOD, 2, "cabinet_temp", 0.5),
    ],
)
def test_an_oddity_shows(kind: Harmless, hours: float, signal: str, least: float) -> None:
    usual, strange, during = odd(kind, hours=hours)
    moved = np.nanmean(strange.values[0, during, of(signal)]) - np.nanmean(usual.values[0, during, of(signal)])
    assert moved > least


def test_on_holiday_the_door_stays_shut() -> None:
    _, strange, during = odd(Harmless.HOLIDAY, hours=24)
    assert np.nanmax(strange.values[0, during, of("door_open")]) == 0


def test_in_a_power_cut_the_device_is_silent_then_reports_itself_and_cools_down_again() -> None:
    _, strange, during = odd(Harmless.POWER_CUT, hours=4)
    assert np.isnan(strange.values[0, during]).all()
    assert np.isfinite(strange.values[0, during.stop, of("cabinet_temp")])
    assert strange.delivered[0, during.stop] > 7
    assert strange.delivered[0, during.stop + 36] < 6
    (event,) = [e for e in strange.events if e.code == "power_on"]
    assert event.time.timestamp() * 1000 == strange.times[during.stop]


def test_a_wifi_outage_delays_readings_and_changes_none() -> None:
    usual, strange, during = odd(Harmless.WIFI_OUTAGE, hours=5)
    np.testing.assert_array_equal(usual.values, strange.values)
    late = np.flatnonzero(strange.arrivals[0] > strange.times)
    assert list(late) == list(range(during.start, during.stop - 1))
    assert set(strange.arrivals[0, late]) == {strange.times[during.stop - 1]}


def test_a_broken_device_raises_its_own_temperature_alarm_once(twins: Twins) -> None:
    plan = replace(make(seed=3, devices=1, days=3, failing=0, end=END), oddities=())
    fault = Fault(
        at=0,
        failure_mode=FailureMode.COMPRESSOR_WEAR,
        growth=Growth.LINEAR,
        onset=plan.start - timedelta(days=9),
        failure_time=plan.start,
    )
    codes = [e.code for c in Fleet(replace(plan, faults=(fault,))).history() for e in c.events]
    assert codes == ["temperature_alarm"]


def test_context_signals_do_not_depend_on_faults(twins: Twins) -> None:
    for signal, described in FRIDGE.signals.items():
        if described.role is Role.CONTEXT:
            np.testing.assert_array_equal(twins.healthy[:, :, of(signal)], twins.failing[:, :, of(signal)])
