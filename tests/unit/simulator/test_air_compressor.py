"""The air compressor's physics: healthy devices hold the pressure, each fault shows as the profile says and ends in a failure."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pytest

from core.profile import Profiles, Role
from simulator.air_compressor.faults import COMPONENT, FailureMode
from simulator.air_compressor.stations import SIGNALS
from simulator.air_compressor.works import Harmless
from simulator.fleet import Chunk, Fleet
from simulator.plan import INTERVAL, Fault, Growth, Oddity, Plan, Service
from simulator.planning import make
from simulator.product import Event

END = datetime(2026, 3, 2, tzinfo=UTC)
"""A Monday."""
DAY = 144
PROFILE = Profiles()["air_compressor"]
MODES = list(FailureMode)
ONSET, FAILURE, DAYS = 7, 17, 21
"""Days from a Monday; the two working days before the failure are compared."""
LATE = slice((FAILURE - 2) * DAY, FAILURE * DAY)
SEED = 5


def of(signal: str) -> int:
    return SIGNALS.index(signal)


def sound(**numbers: object) -> Plan:
    usual: dict[str, object] = {
        "product": "air_compressor",
        "seed": SEED,
        "devices": len(MODES),
        "days": DAYS,
        "failing": 0,
        "end": END,
    }
    return replace(make(**(usual | numbers)), oddities=(), services=())  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a fleet of one device for each failure mode measured in three weeks."""

    values: npt.NDArray[np.float64]
    delivered: npt.NDArray[np.float64]
    events: list[Event]

    def codes(self, at: int) -> set[str]:
        return {event.code for event in self.events if event.at == at}


def ran(plan: Plan) -> Run:
    chunks = list(Fleet(plan).history())
    return Run(
        values=np.concatenate([c.values for c in chunks], axis=1),
        delivered=np.concatenate([c.delivered for c in chunks], axis=1),
        events=[event for c in chunks for event in c.events],
    )


@pytest.fixture(scope="module")
def healthy() -> Run:
    return ran(sound())


@pytest.fixture(scope="module")
def failing() -> Run:
    plan = sound()
    faults = tuple(
        Fault(
            at=at,
            failure_mode=mode,
            growth=Growth.LINEAR,
            onset=plan.start + timedelta(days=ONSET),
            failure_time=plan.start + timedelta(days=FAILURE),
        )
        for at, mode in enumerate(MODES)
    )
    return ran(replace(plan, faults=faults))


def test_names_are_those_of_the_profile() -> None:
    assert tuple(PROFILE.signals) == SIGNALS
    assert {m.value: COMPONENT[m] for m in MODES} == {n: m.component for n, m in PROFILE.failure_modes.items()}
    assert {s.interval for s in PROFILE.signals.values()} == {INTERVAL}


def test_all_values_are_within_the_sensors_ranges(failing: Run) -> None:
    for signal, described in PROFILE.signals.items():
        values = failing.values[:, :, of(signal)]
        assert np.nanmin(values) >= described.range[0], signal
        assert np.nanmax(values) <= described.range[1], signal


def test_healthy_devices_hold_the_pressure_and_stay_cool(healthy: Run) -> None:
    tank = healthy.values[:, :, of("tank_pressure")]
    assert tank.min() > 5800
    assert np.percentile(tank, 1) > 6300
    assert np.abs(tank - healthy.delivered).max() < 60
    assert np.nanmax(healthy.values[:, :, of("discharge_temp")]) < 95
    assert {event.code for event in healthy.events} <= {"door_open", "bus_timeout"}


def test_a_device_works_its_shifts_and_stands_at_night_and_on_sunday(healthy: Run) -> None:
    load = healthy.values[:, :, of("load")].reshape(len(MODES), DAYS, DAY)
    # Ten o'clock UTC is late morning at all sites; two o'clock is night.
    working_days = [day for day in range(DAYS) if day % 7 < 5]
    assert (load[:, working_days, 58:64].mean(axis=(1, 2)) > 25).all()
    assert (load[:, :, 10:16].mean(axis=(1, 2)) < 12).all()
    assert (load[:, 6::7].mean(axis=(1, 2)) < 12).all()
    running = healthy.values[:, :, of("running")]
    assert running.min() < 60
    assert np.nanmax(running) == 100
    assert np.isnan(healthy.values[:, :, of("motor_current")][healthy.values[:, :, of("load")] == 0]).all()


@pytest.mark.parametrize("at", range(len(MODES)), ids=MODES)
def test_a_fault_moves_its_symptoms_as_the_profile_says(healthy: Run, failing: Run, at: int) -> None:
    for signal, direction in PROFILE.failure_modes[MODES[at]].symptoms.items():
        usual, now = healthy.values[at, :, of(signal)], failing.values[at, :, of(signal)]
        days = [np.nanmean(usual[n * DAY : (n + 1) * DAY]) for n in range(DAYS) if n % 7 < 5]
        moved = (np.nanmean(now[LATE]) - np.nanmean(usual[LATE])) / np.std(days)
        assert moved > 2 if direction == "high" else moved < -2, f"{signal} moved by {moved:.1f} of its scatter"


@pytest.mark.parametrize("at", range(len(MODES)), ids=MODES)
def test_nothing_changes_before_the_onset(healthy: Run, failing: Run, at: int) -> None:
    before = slice(0, ONSET * DAY)
    np.testing.assert_array_equal(healthy.values[at, before], failing.values[at, before])


@pytest.mark.parametrize("at", range(len(MODES)), ids=MODES)
def test_a_fault_ends_in_a_functional_failure_and_not_long_before(healthy: Run, failing: Run, at: int) -> None:
    growing = slice(ONSET * DAY, (ONSET + FAILURE) // 2 * DAY)
    assert np.abs(failing.delivered[at, growing] - healthy.delivered[at, growing]).max() < 1200
    after = failing.delivered[at, (FAILURE + 1) * DAY :]
    codes = failing.codes(at)
    match MODES[at]:
        case FailureMode.BEARING_WEAR | FailureMode.VALVE_LEAK | FailureMode.WINDING_FAULT:
            assert "no_start" in codes
            assert after.max() < 3000
        case FailureMode.OIL_COOLER_FOULING:
            assert {"high_temperature", "temperature_trip", "low_pressure"} <= codes
        case FailureMode.FILTER_CLOGGING:
            assert {"filter_full", "low_pressure"} <= codes
        case FailureMode.INLET_VALVE_STICKING:
            assert "low_pressure" in codes
            assert after.min() < 4000
        case FailureMode.PRESSURE_SENSOR_DRIFT:
            assert "safety_valve" in codes
            assert after.mean() > healthy.delivered[at].max() + 1000


def test_context_signals_that_a_fault_may_not_touch() -> None:
    assert {n for n, s in PROFILE.signals.items() if s.role is Role.CONTEXT} == {"load", "running", "ambient_temp"}


def odd(kind: Harmless, *, hours: float) -> tuple[Chunk, Chunk, slice]:
    """Two working days, and the same with an oddity from the first noon on; the oddity's intervals."""
    plan = sound(devices=1, days=2, end=datetime(2026, 3, 5, tzinfo=UTC))
    noon = plan.start + timedelta(hours=12)
    oddity = Oddity(at=0, kind=kind, start=noon, end=noon + timedelta(hours=hours))
    (usual,) = Fleet(plan).history(chunk=timedelta(days=3))
    (strange,) = Fleet(replace(plan, oddities=(oddity,))).history(chunk=timedelta(days=3))
    return usual, strange, slice(72, 72 + int(hours * 6))


@pytest.mark.parametrize(
    ("kind", "signal", "least", "most"),
    [
        (Harmless.HEAT_WAVE, "ambient_temp", 3, 9),
        (Harmless.HEAT_WAVE, "discharge_temp", 0.3, 9),
        (Harmless.HOLIDAY, "load", -60, -10),
        (Harmless.PRODUCTION_PEAK, "load", 5, 60),
        (Harmless.OPEN_HOSE, "load", 3, 12),
        (Harmless.NETWORK_OUTAGE, "load", 0, 0),
    ],
)
def test_an_oddity_shows(kind: Harmless, signal: str, least: float, most: float) -> None:
    usual, strange, during = odd(kind, hours=24)
    moved = np.nanmean(strange.values[0, during, of(signal)]) - np.nanmean(usual.values[0, during, of(signal)])
    assert least <= moved <= most
    assert strange.delivered.min() > 5800, "no oddity is a failure"


def test_a_noisy_sensor_is_noisy_and_nothing_else() -> None:
    usual, strange, during = odd(Harmless.NOISY_SENSOR, hours=24)
    at = of("vibration")
    assert np.nanstd(strange.values[0, during, at]) > 3 * np.nanstd(usual.values[0, during, at])
    others = [n for n in range(len(SIGNALS)) if n != at]
    np.testing.assert_array_equal(usual.values[:, :, others], strange.values[:, :, others])


def test_in_a_power_cut_the_device_is_silent_then_reports_itself() -> None:
    _, strange, during = odd(Harmless.POWER_CUT, hours=3)
    assert np.isnan(strange.values[0, during]).all()
    (event,) = [e for e in strange.events if e.code == "power_on"]
    assert event.time.timestamp() * 1000 == strange.times[during.stop]


def test_a_network_outage_delays_readings_and_changes_none() -> None:
    usual, strange, during = odd(Harmless.NETWORK_OUTAGE, hours=5)
    np.testing.assert_array_equal(usual.values, strange.values)
    assert list(np.flatnonzero(strange.arrivals[0] > strange.times)) == list(range(during.start, during.stop - 1))


def test_a_renewed_filter_starts_anew_and_is_told_as_maintenance() -> None:
    plan = sound(devices=1, days=4, end=datetime(2026, 3, 6, tzinfo=UTC))
    noon = plan.start + timedelta(days=2)
    # The device's schedule tells how old the parts are at the start: both services come at the same age.
    services = tuple(Service(at=0, component=c, time=noon) for c in ("inlet_filter", "oil_circuit"))
    (chunk,) = Fleet(replace(plan, services=services)).history(chunk=timedelta(days=5))
    vacuum = chunk.values[0, :, of("inlet_vacuum")]
    assert np.nanmean(vacuum[288:]) < 0.95 * np.nanmean(vacuum[:288])
    told = [(e.component, e.time) for e in chunk.events if e.kind == "maintenance"]
    assert told == [(c, noon + INTERVAL) for c in ("inlet_filter", "oil_circuit")]


def test_services_keep_their_pace_and_end_no_fault() -> None:
    plan = make(product="air_compressor", seed=2, devices=60, days=120, failing=42, end=END)
    faults = {fault.at: fault for fault in plan.faults}
    assert {s.component for s in plan.services} == {"inlet_filter", "oil_circuit"}
    for at in range(60):
        times = [s.time for s in plan.services if s.at == at and s.component == "inlet_filter"]
        if at not in faults:
            gaps = np.diff([t.timestamp() for t in times]) / 86400
            assert len(gaps) >= 1
            assert ((gaps > 44.9) & (gaps < 75.1)).all()
        else:
            assert all(t < faults[at].failure_time for t in times)
            if faults[at].failure_mode == FailureMode.FILTER_CLOGGING:
                assert all(t < faults[at].onset for t in times)


def test_the_same_seed_gives_the_same_data_however_it_is_cut() -> None:
    plan = make(product="air_compressor", seed=4, devices=3, days=2, failing=1, end=END)
    (whole,) = Fleet(plan).history(chunk=timedelta(days=9))
    cut = np.concatenate([c.values for c in Fleet(plan).history(chunk=timedelta(hours=7))], axis=1)
    np.testing.assert_array_equal(whole.values, cut)
