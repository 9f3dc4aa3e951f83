"""Recorded files: what is read, and how what cannot be read is named."""

import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from core.errors import InvalidInput
from core.profile import Profile, parse
from telemetry import recorded
from telemetry.table import BadTable, Table
from telemetry.window import Happenings
from tests.failing import HOUR, fleet
from tests.failing import PROFILE as FAILING

PROFILE = """
profile: box
title: Box
tick: 1h
silence_after: 1d
signals:
  heat: {title: Heat, unit: Cel, range: [0, 100], interval: 10min, component: heater}
  pressure: {title: Pressure, unit: hPa, range: [0, 5000], interval: 10min, component: pump}
components: {heater: {title: Heater}, pump: {title: Pump}}
columns: {p_bar: {signal: pressure, factor: 1000}}
"""


@pytest.fixture(scope="module")
def profile() -> Profile:
    return parse(PROFILE, "box.yaml")


def write(file: Path, *lines: str) -> Path:
    file.write_text("\n".join(lines) + "\n")
    return file


def test_columns_are_mapped_and_rows_sorted_by_time(tmp_path: Path, profile: Profile) -> None:
    file = write(
        tmp_path / "t.csv",
        "device,time,heat,p_bar,note",
        "b,2026-01-01T01:00:00Z,20,1.5,x",
        "a,2026-01-01T00:30:00Z,,2,y",
        "a,2026-01-01T00:10:00Z,18.5,,z",
    )
    found = recorded.telemetry(file, profile)
    assert found.devices == ("a", "b")
    assert found.device.tolist() == [0, 0, 1]
    np.testing.assert_array_equal(found.values, [[18.5, np.nan], [np.nan, 2000], [20, 1500]])
    (window,) = found.windows()
    assert window.times.tolist() == [1767225600_000_000, 1767229200_000_000]
    np.testing.assert_array_equal(window.values, [[[18.5, 2000], [np.nan] * 2], [[np.nan] * 2, [20, 1500]]])
    first, last = found.spans()
    assert (last - first).tolist() == [20 * 60_000_000, 0]
    assert [len(rows) for rows in found.rows()] == [2, 1]
    assert found.of(["b"]).devices == ("b",)
    assert found.of(["b"]).values.tolist() == [[20, 1500]]


def test_windows_are_the_same_however_they_are_cut(tmp_path: Path, profile: Profile) -> None:
    random = np.random.default_rng(1)
    lines = [
        f"{name},{1767225600 + minute * 60},{random.normal():.3f},{random.normal():.3f}"
        for minute in range(0, 3000, 7)
        for name in ("a", "b", "c")
        if random.random() < 0.8
    ]
    found = recorded.telemetry(write(tmp_path / "t.csv", "device,time,heat,p_bar", *lines), profile)
    (whole,) = found.windows()
    parts = list(found.windows(most_cells=20))
    assert len(parts) > 10
    np.testing.assert_array_equal(np.concatenate([w.times for w in parts]), whole.times)
    np.testing.assert_array_equal(np.concatenate([w.values for w in parts]), whole.values)


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".parquet"])
def test_each_format_gives_the_same(tmp_path: Path, profile: Profile, suffix: str) -> None:
    text = "device,time,heat\na,2026-01-01T00:00:00Z,1\nb,2026-01-01T02:00:00+01:00,2.5\n"
    file = tmp_path / f"t{suffix}"
    if suffix == ".parquet":
        times = pa.array([1767225600_000, 1767229200_000], pa.timestamp("ms", tz="UTC"))
        pyarrow.parquet.write_table(pa.table({"device": ["a", "b"], "time": times, "heat": [1.0, 2.5]}), file)
    else:
        file.write_bytes(gzip.compress(text.encode()) if suffix.endswith("gz") else text.encode())
    found = recorded.telemetry(file, profile)
    assert found.devices == ("a", "b")
    assert found.times.tolist() == [1767225600_000_000, 1767229200_000_000]
    assert found.values[:, 0].tolist() == [1.0, 2.5]


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("2026-01-01T00:00:00Z", 1767225600_000_000),
        ("2026-01-01 00:00:00", 1767225600_000_000),
        ("2026-01-01", 1767225600_000_000),
        ("2026-01-01T02:00:00+02:00", 1767225600_000_000),
        ("1767225600", 1767225600_000_000),
        ("1767225600500", 1767225600_500_000),
        ("2026-01-01T00:00:00.25Z", 1767225600_250_000),
    ],
)
def test_times_as_people_write_them(tmp_path: Path, text: str, micros: int) -> None:
    assert Table(write(tmp_path / "t.csv", "time,x", f"{text},1")).times("time").tolist() == [micros]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (
            ["device,time,heat", "a,2026-01-01T00:00:00Z,1", "a,2026-01-01T01:00:00Z,warm"],
            ":3: column 'heat': 'warm' is",
        ),
        (["device,time,heat", "", "a,2026-01-01T01:00:00Z,x"], ":3: column 'heat': 'x' is not a number"),
        (["device,time,heat", "a,2026-01-01T00:00:00Z,inf"], ":2: column 'heat': 'inf' is not a number"),
        (["device,time,heat", "a,2026-01-01T00:00:00Z,1", "a,soon,1"], ":3: column 'time': 'soon' is not a time"),
        (["device,time,heat", "a,,1"], ":2: column 'time': is not a time"),
        (["device,time,heat", ",2026-01-01T00:00:00Z,1"], ":2: column 'device': is empty"),
        (["device,time,heat", "a,2026-01-01T00:00:00Z"], ":2: has 2 cells, the header 3"),
        (["device,time,heat,heat", "a,2026-01-01T00:00:00Z,1,2"], ":1: column 'heat': stands twice"),
        (["device,heat", "a,1"], ":1: column 'time': no such column; there is device, heat"),
        (["device,time,cold", "a,2026-01-01T00:00:00Z,1"], "no column is a signal of box"),
        (
            ["device,time,p_bar,pressure", "a,2026-01-01T00:00:00Z,1,2"],
            "is the signal 'pressure', as is column 'p_bar'",
        ),
        ([""], "the file is empty"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, profile: Profile, lines: list[str], said: str) -> None:
    file = write(tmp_path / "t.csv", *lines)
    with pytest.raises(BadTable) as error:
        recorded.telemetry(file, profile)
    assert str(file) in str(error.value)
    assert said in str(error.value)


def test_broken_and_missing_files_are_named(tmp_path: Path, profile: Profile) -> None:
    cut = tmp_path / "t.csv.gz"
    cut.write_bytes(gzip.compress(b"device,time,heat\n" * 1000)[:40])
    for file in (cut, tmp_path / "none.csv", write(tmp_path / "t.parquet", "not parquet")):
        with pytest.raises(BadTable, match="cannot be read"):
            recorded.telemetry(file, profile)


def test_a_bad_cell_of_a_parquet_file_is_named_by_its_row(tmp_path: Path) -> None:
    file = tmp_path / "t.parquet"
    pyarrow.parquet.write_table(pa.table({"device": ["a", "a"], "heat": ["1", "warm"]}), file)
    with pytest.raises(BadTable, match=r"column 'heat': row 2: 'warm' is not a number"):
        Table(file).numbers("heat")


def test_what_happened_to_devices(tmp_path: Path, profile: Profile) -> None:
    devices = ("a", "b")
    file = write(
        tmp_path / "f.csv",
        "device,time,component",
        "b,2026-01-02T00:00:00Z,pump",
        "z,2026-01-01T00:00:00Z,heater",
        "a,2026-01-01T12:00:00Z,heater",
    )
    found = recorded.happenings(file, devices, "component")
    assert found.device.tolist() == [-1, 0, 1]
    assert found.what == ("heater", "heater", "pump")
    assert recorded.components(file, found, profile).tolist() == [0, 0, 1]
    other = write(tmp_path / "o.csv", "device,time,component", "a,2026-01-01T00:00:00Z,door")
    with pytest.raises(BadTable, match="box has no component 'door'; it has heater, pump"):
        recorded.components(other, recorded.happenings(other, devices, "component"), profile)


def test_intervals_remaining_lives_and_attributes(tmp_path: Path, profile: Profile) -> None:
    spans = write(tmp_path / "i.csv", "device,start,end", "b,2026-01-01T00:00:00Z,2026-01-01T01:00:00Z")
    assert recorded.intervals(spans, ("a", "b")).device.tolist() == [1]
    backwards = write(tmp_path / "j.csv", "device,start,end", "b,2026-01-01T01:00:00Z,2026-01-01T00:00:00Z")
    with pytest.raises(BadTable, match="row 1 ends before it starts"):
        recorded.intervals(backwards, ("b",))
    life = write(tmp_path / "r.csv", "device,time,remaining_hours", "a,2026-01-01T00:00:00Z,6")
    assert recorded.remaining_life(life, ("a",), profile).ticks.tolist() == [6.0]
    known = write(tmp_path / "d.csv", "device,model,age_years", "a,m1,3", "c,m2,4")
    assert recorded.attributes(known, ("a", "b")) == {"a": {"model": "m1", "age_years": "3"}}
    with pytest.raises(Exception, match="no device 'q'"):
        recorded.positions(("q",), ("a", "b"))


def test_events_and_replacements_come_with_their_ticks() -> None:
    recording = fleet(3, 200).recording()
    whole = list(recording.windows())
    pieces = list(recording.windows(most_cells=30))
    assert len(whole) == 1
    assert len(pieces) > 10
    for name in ("events", "replaced"):
        told = [
            (int(w.times[at]), int(d), getattr(w, name).names[what])
            for w in pieces
            for at, d, what in zip(getattr(w, name).at, getattr(w, name).device, getattr(w, name).what, strict=True)
        ]
        happened = getattr(recording, name)
        assert told == list(zip(happened.times.tolist(), happened.device.tolist(), happened.what, strict=True))


def test_what_happened_before_the_first_reading_is_told_first() -> None:
    recording = fleet(2, 200).recording()
    early = int(recording.times[0]) - 1000 * HOUR
    before = replace(recording, events=Happenings(device=np.array([1]), times=np.array([early]), what=("E1",)))
    (found,) = before.windows()
    assert found.times[0] == early
    assert not found.heard[0].any()
    assert found.heard[1:].all()
    part = found.part(np.array([0]))
    assert part.times[0] == recording.times[0]
    assert found.part(np.array([1])).times[0] == early


def test_devices_that_only_send_events_are_there_at_each_tick_from_their_first_word_to_their_last(
    tmp_path: Path,
) -> None:
    profile = parse(FAILING, "box.yaml")
    hours = {
        "events.csv": "device,time,code\nd0,2026-01-01T02:30:00Z,E1\nd0,2026-01-01T05:00:00Z,E1\nd1,2026-01-01T04:59:00Z,E2\n",
        "maintenance.csv": "device,time,component\nd0,2026-01-01T00:00:00Z,fan\nd0,2026-01-01T07:10:00Z,fan\n",
        "failures.csv": "device,time,component\nd0,2026-01-01T09:00:00Z,fan\nd2,2026-01-01T08:00:00Z,fan\n",
    }
    for name, text in hours.items():
        (tmp_path / name).write_text(text)
    events, maintenance, failures = (tmp_path / name for name in hours)
    found = recorded.eventful(profile, events, [failures], maintenance=maintenance)
    assert found.devices == ("d0", "d1", "d2")
    (only,) = found.windows()
    there = {name: only.times[only.heard[:, at]] // HOUR % 24 for at, name in enumerate(found.devices)}
    assert {name: hours.tolist() for name, hours in there.items()} == {"d0": [2, 3, 4, 5, 6, 7], "d1": [4], "d2": [8]}
    assert np.isnan(only.values).all()
    (tmp_path / "none.csv").write_text("device,time,code\n")
    with pytest.raises(InvalidInput, match=r"none\.csv: there is no row"):
        recorded.eventful(profile, tmp_path / "none.csv")


def test_several_files_are_one_recording(tmp_path: Path) -> None:
    profile = parse(FAILING, "box.yaml")
    (tmp_path / "a.csv").write_text("device,time,heat\nd1,2026-01-01T01:00:00Z,5\nd0,2026-01-01T02:00:00Z,6\n")
    (tmp_path / "b.csv").write_text("device,time,hum\nd2,2026-01-01T00:00:00Z,7\nd1,2026-01-01T01:00:00Z,8\n")
    both = recorded.combined([recorded.telemetry(tmp_path / name, profile) for name in ("a.csv", "b.csv")])
    assert both.devices == ("d0", "d1", "d2")
    (found,) = both.windows()
    assert found.values[1, 1].tolist() == [5, 8]
    assert np.isfinite(found.values).sum() == 4
