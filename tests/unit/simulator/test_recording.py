"""Recorded files: what is read, and that every error names its place."""

import gzip
from pathlib import Path

import pytest

from simulator.recording import BadRecording, Layout, Recorded, Row

LAYOUT = Layout(columns={"temp": ("cabinet_temp", 1.0), "kw": ("power", 1000.0), "power": ("power", 1.0)})


def written(tmp_path: Path, text: str, name: str = "a.csv") -> Path:
    file = tmp_path / name
    file.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return file


def read(file: Path, layout: Layout = LAYOUT) -> list[Row]:
    return list(Recorded(file, layout).rows())


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_rows_have_signals_in_their_units(tmp_path: Path, name: str) -> None:
    text = (
        "\ufeffdevice,time,temp,kw,note\nf-1,2026-01-31T12:00:00Z,4.5,0.08,ok\nf-2,2026-01-31T13:00:00+01:00,-1e1,,\n"
    )
    recorded = Recorded(written(tmp_path, text, name), LAYOUT)
    assert recorded.skipped == ["note"]
    assert recorded.used == {"temp": ("cabinet_temp", 1.0), "kw": ("power", 1000.0)}
    noon = 1769860800000
    assert list(recorded.rows()) == [
        Row(line=2, device="f-1", time=noon, values={"cabinet_temp": 4.5, "power": 80.0}),
        Row(line=3, device="f-2", time=noon, values={"cabinet_temp": -10.0}),
    ]


@pytest.mark.parametrize(
    "time", ["2026-01-31T12:00:00Z", "2026-01-31 12:00:00", "1769860800", "1769860800.0", "1769860800000"]
)
def test_times_are_iso_or_numbers_since_the_epoch(tmp_path: Path, time: str) -> None:
    (row,) = read(written(tmp_path, f"device,time,temp\nf,{time},1\n"))
    assert row.time == 1769860800000


def test_a_file_of_one_device_needs_no_device_column(tmp_path: Path) -> None:
    layout = Layout(columns=LAYOUT.columns, time_column="at", device="f-9")
    (row,) = read(written(tmp_path, "at,temp\n1769860800,1\n"), layout)
    assert row.device == "f-9"


def test_a_row_without_values_is_left_out(tmp_path: Path) -> None:
    assert read(written(tmp_path, "device,time,temp\nf,1769860800, \n\nf,1769860801,1\n"))[0].line == 4


@pytest.mark.parametrize(
    ("text", "line", "column", "reason"),
    [
        ("", 1, "time", "no such column"),
        ("device,temp\n", 1, "time", "no such column; there is device, temp"),
        ("time,temp\n", 1, "device", "no device is named"),
        ("device,time,temp,temp\n", 1, "temp", "stands twice"),
        ("device,time,note\n", 1, "", "no column is a signal; known columns are temp, kw, power"),
        ("device,time,kw,power\n", 1, "power", "is the signal 'power', as is column 'kw'"),
        ("device,time,temp\nf,yesterday,1\n", 2, "time", "'yesterday' is not a time"),
        ("device,time,temp\nf,nan,1\n", 2, "time", "'nan' is not a time"),
        ("device,time,temp\nf,,1\n", 2, "time", "'' is not a time"),
        ("device,time,temp\nf,1e400,1\n", 2, "time", "is not a time"),
        ("device,time,temp\nf,1769860800,1\nf,1769860800,warm\n", 3, "temp", "'warm' is not a number"),
        ("device,time,temp\nf,1769860800,nan\n", 2, "temp", "'nan' is not a number"),
        ("device,time,temp\nf,1769860800,1,2\n", 2, "", "has 4 cells, the header 3"),
        ("device,time,temp\n,1769860800,1\n", 2, "device", "'' is not a device's name"),
        ("device,time,temp\na/b,1769860800,1\n", 2, "device", "'a/b' is not a device's name"),
        ('device,time,temp\n"f"x,1769860800,1\n', 2, "", "cannot be read"),
    ],
)
def test_an_error_names_file_line_and_column(tmp_path: Path, text: str, line: int, column: str, reason: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(BadRecording) as caught:
        read(file)
    error = caught.value
    assert (error.line, error.column) == (line, column)
    assert reason in error.reason
    assert str(error).startswith(f"{file}:{line}: ")


def test_a_column_that_was_asked_for_must_be_there(tmp_path: Path) -> None:
    layout = Layout(columns=LAYOUT.columns, required=("kw",))
    with pytest.raises(BadRecording, match="kw: no such column"):
        read(written(tmp_path, "device,time,temp\n"), layout)


def test_a_file_that_is_not_there_or_is_cut_off_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BadRecording, match="cannot be read: No such file"):
        Recorded(tmp_path / "none.csv", LAYOUT)
    whole = gzip.compress(b"device,time,temp\n" + b"".join(b"f,%d,1\n" % n for n in range(20000)))
    (tmp_path / "cut.csv.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadRecording, match="cannot be read"):
        read(tmp_path / "cut.csv.gz")
    (tmp_path / "no.csv.gz").write_bytes(b"device,time,temp\n")
    with pytest.raises(BadRecording, match="cannot be read"):
        read(tmp_path / "no.csv.gz")
    (tmp_path / "latin.csv").write_bytes(b"device,time,temp\nk\xfchl,1,1\n")
    with pytest.raises(BadRecording, match="cannot be read"):
        read(tmp_path / "latin.csv")
