"""Plans and their files: the ground truth is consistent and can be continued."""

import csv
import gzip
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from core.profile import LANGUAGES, Profiles
from simulator.files import Numbers, OtherPlan, TelemetryFile, plan_in, write_errors
from simulator.fleet import Fleet
from simulator.fridge.faults import COMPONENT, FailureMode
from simulator.fridge.homes import Harmless
from simulator.fridge.refrigerators import SIGNALS
from simulator.planning import make
from simulator.product import Event

END = datetime(2026, 3, 1, 12, 34, 56, tzinfo=UTC)
NUMBERS = Numbers(seed=7, devices=50, days=30, failing=8)


@pytest.mark.parametrize("seed", range(20))
def test_faults_are_growing_at_the_end_and_last_seven_to_twenty_five_days(seed: int) -> None:
    plan = make(seed=seed, devices=50, days=30, failing=8, end=END)
    assert plan.end == END.replace(minute=30, second=0)
    assert len({fault.at for fault in plan.faults}) == 8
    assert {fault.failure_mode for fault in plan.faults} == set(FailureMode)
    for fault in plan.faults:
        assert timedelta(days=6.9) <= fault.failure_time - fault.onset <= timedelta(days=25.1)
        assert fault.onset >= plan.start + timedelta(days=7.9)
    soon = [f for f in plan.faults if f.failure_time > plan.end]
    assert len(soon) == 3
    assert all(f.onset < plan.end - timedelta(hours=12) for f in soon)
    assert all(f.failure_time < plan.end + timedelta(days=6.1) for f in soon)
    assert sum(plan.end - timedelta(days=4.1) <= f.failure_time <= plan.end for f in plan.faults) >= 2


@pytest.mark.parametrize(("days", "failing"), [(0.5, 5), (5, 5), (90, 0), (90, 5)])
def test_any_length_of_history_makes_a_plan(days: float, failing: int) -> None:
    plan = make(seed=1, devices=5, days=days, failing=failing, end=END)
    assert len(plan.faults) == failing
    assert all(f.onset < f.failure_time for f in plan.faults)


def test_oddities_happen_to_healthy_devices_only_and_one_at_a_time() -> None:
    plan = make(seed=7, devices=200, days=60, failing=40, end=END)
    assert {o.kind for o in plan.oddities} == set(Harmless)
    assert not {o.at for o in plan.oddities} & {f.at for f in plan.faults}
    for a, b in zip(plan.oddities, plan.oddities[1:], strict=False):
        assert a.start < a.end
        assert a.at != b.at or a.end <= b.start


@pytest.mark.parametrize(
    ("numbers", "reason"),
    [
        ({"product": "toaster"}, "no product 'toaster'; there is fridge, air_compressor"),
        ({"devices": 0}, "at least one device"),
        ({"days": 0}, "longer than nothing"),
        ({"failing": 51}, "between 0 and the number of devices, 50"),
        ({"end": END.replace(tzinfo=None)}, "needs a time zone"),
    ],
)
def test_numbers_that_make_no_fleet_are_refused(numbers: dict[str, object], reason: str) -> None:
    usual: dict[str, object] = {"seed": 1, "devices": 50, "days": 30, "failing": 8, "end": END}
    with pytest.raises(ValueError, match=reason):
        make(**(usual | numbers))  # type: ignore[arg-type]


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as text:
        return list(csv.DictReader(text))


def test_the_files_tell_the_plan(tmp_path: Path) -> None:
    plan = plan_in(tmp_path, NUMBERS, None, END)
    devices = rows(tmp_path / "devices.csv")
    assert len({d["device"] for d in devices}) == len({d["serial"] for d in devices}) == 50
    assert {d["language"] for d in devices} == set(LANGUAGES)
    for device in devices:
        assert device["profile"] in Profiles()
        assert ZoneInfo(device["time_zone"])
        assert device["email"].endswith(("@example.com", "@example.org"))
        assert device["email"].isascii()
        assert device["consent"] in {"true", "false"}
        assert all(device.values())
    truth = rows(tmp_path / "truth.csv")
    assert len(truth) == 8
    for row, fault in zip(truth, plan.faults, strict=True):
        assert row["device"] == plan.devices[fault.at].device
        assert row["component"] == COMPONENT[FailureMode(row["failure_mode"])]
        assert datetime.fromisoformat(row["onset"]) == fault.onset
        assert datetime.fromisoformat(row["failure_time"]) == fault.failure_time
    odd = rows(tmp_path / "oddities.csv")
    assert [Harmless(row["kind"]) for row in odd] == [o.kind for o in plan.oddities]


def test_a_later_run_continues_the_plan_of_the_folder(tmp_path: Path) -> None:
    first = plan_in(tmp_path, NUMBERS, None, END)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert plan_in(tmp_path, NUMBERS, None, END + timedelta(days=3)) == first
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_a_plan_that_is_moved_is_continued_as_such(tmp_path: Path) -> None:
    numbers = replace(NUMBERS, as_of=date(2025, 6, 1))
    first = plan_in(tmp_path, numbers, None, END)
    assert first.moved == timedelta(days=273)
    assert plan_in(tmp_path, numbers, None, END + timedelta(days=3)) == first
    with pytest.raises(OtherPlan, match="another fleet"):
        plan_in(tmp_path, NUMBERS, None, END)


def test_the_plan_of_another_fleet_is_not_overwritten(tmp_path: Path) -> None:
    plan_in(tmp_path, NUMBERS, None, END)
    with pytest.raises(OtherPlan, match="seed=7"):
        plan_in(tmp_path, replace(NUMBERS, seed=8), None, END)
    with pytest.raises(OtherPlan, match="another fleet"):
        plan_in(tmp_path, NUMBERS, END - timedelta(days=1), END)
    with pytest.raises(OtherPlan, match="product='fridge'"):
        plan_in(tmp_path, replace(NUMBERS, product="air_compressor"), None, END)
    (tmp_path / "plan.json").write_text("[]", encoding="utf-8")
    with pytest.raises(OtherPlan, match="cannot be read"):
        plan_in(tmp_path, NUMBERS, None, END)


def test_services_and_error_codes_have_files_of_their_own(tmp_path: Path) -> None:
    numbers = Numbers(product="air_compressor", seed=3, devices=6, days=30, failing=6)
    plan = plan_in(tmp_path, numbers, None, END)
    told = {
        (r["device"], r["component"], datetime.fromisoformat(r["time"])) for r in rows(tmp_path / "maintenance.csv")
    }
    names = [d.device for d in plan.devices]
    assert told == {(names[s.at], s.component, s.time) for s in plan.services}
    events = [
        Event(at=1, time=END, kind="error", code="no_start"),
        Event(at=1, time=END, kind="maintenance", code="service", component="inlet_filter"),
    ]
    write_errors(tmp_path / "errors.csv", plan, events)
    assert rows(tmp_path / "errors.csv") == [
        {"device": "compressor-0002", "time": "2026-03-01T12:34:56Z", "code": "no_start"}
    ]


def test_recorded_telemetry_is_what_was_measured(tmp_path: Path) -> None:
    plan = make(seed=4, devices=3, days=2, failing=1, end=END)
    for name in ("a.csv.gz", "b.csv.gz"):
        with TelemetryFile(tmp_path / name, SIGNALS) as file:
            written = [file.write(chunk) for chunk in Fleet(plan).history()]
    assert (tmp_path / "a.csv.gz").read_bytes() == (tmp_path / "b.csv.gz").read_bytes()
    with gzip.open(tmp_path / "a.csv.gz", "rt", encoding="utf-8", newline="") as text:
        recorded = list(csv.DictReader(text))
    assert len(recorded) == sum(written)
    chunks = list(Fleet(plan).history())
    times, values = np.concatenate([c.times for c in chunks]), np.concatenate([c.values for c in chunks], axis=1)
    assert len(recorded) == int(np.isfinite(values).any(axis=2).sum())
    names = [d.device for d in plan.devices]
    for row in recorded[::17]:
        at = names.index(row["device"])
        n = int(np.searchsorted(times, datetime.fromisoformat(row["time"]).timestamp() * 1000))
        read = [float(row[s]) if row[s] else np.nan for s in SIGNALS]
        np.testing.assert_array_equal(read, values[at, n])
