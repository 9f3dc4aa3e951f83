"""Reads a recorded CSV file of telemetry, row by row, so that a file of any length can be replayed.

A file has a header, a column with the time and perhaps one with the device; what other columns mean comes in as a
mapping. An empty cell is a missing value. Everything else that cannot be used is an error with its place.
"""

import csv
import gzip
import math
import zlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

_FIRST_MS = 1e11
"""A number in the time column is seconds since the epoch below this, else milliseconds."""


class BadRecording(Exception):
    """A recorded file cannot be used; the message names file, line and column."""

    def __init__(self, file: Path, line: int | None, column: str, reason: str) -> None:
        self.file = file
        self.line = line
        self.column = column
        self.reason = reason
        place = f"{file}:{line}" if line else str(file)
        super().__init__(f"{place}: {column}: {reason}" if column else f"{place}: {reason}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How a file is read.

    columns: column -> (signal, factor to the signal's unit); a column that is in no file is no error. required: those
    of `columns` that must be there. device_column may be missing in the file if `device` names its one device.
    """

    columns: Mapping[str, tuple[str, float]]
    required: Collection[str] = ()
    time_column: str = "time"
    device_column: str = "device"
    device: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The readings of one device at one time (ms since the epoch, UTC); `line` is where they stand."""

    line: int
    device: str
    time: int
    values: dict[str, float]


class Recorded:
    """A recording whose header is understood: `used` and `skipped` tell what became of its columns, `has_devices` whether
    it names a device in each row. `rows` reads it from the start.
    """

    def __init__(self, file: Path, layout: Layout) -> None:
        self.file = file
        self._layout = layout
        with self._open() as text:
            header = self._header(text)
        self._width = len(header)
        self._time = header.index(layout.time_column)
        self._device = header.index(layout.device_column) if layout.device_column in header else None
        self.has_devices = self._device is not None
        own = {self._time, self._device}
        self.used: dict[str, tuple[str, float]] = {}
        self._cells: list[tuple[int, str, str, float]] = []
        self.skipped: list[str] = []
        taken: dict[str, str] = {}
        for at, column in enumerate(header):
            if at in own:
                continue
            if column not in layout.columns:
                self.skipped.append(column)
                continue
            signal, factor = layout.columns[column]
            if signal in taken:
                raise BadRecording(file, 1, column, f"is the signal {signal!r}, as is column {taken[signal]!r}")
            taken[signal] = column
            self.used[column] = (signal, factor)
            self._cells.append((at, column, signal, factor))
        if not self._cells:
            known = ", ".join(layout.columns) or "none"
            raise BadRecording(file, 1, "", f"no column is a signal; known columns are {known}")

    def rows(self) -> Iterator[Row]:
        """All rows with at least one value. Raises BadRecording at the first row that cannot be used."""
        with self._open() as text:
            lines = csv.reader(text, strict=True)
            try:
                next(lines)
                for cells in lines:
                    if cells:
                        row = self._row(lines.line_num, cells)
                        if row.values:
                            yield row
            except (csv.Error, UnicodeDecodeError, OSError, EOFError, zlib.error) as error:
                raise BadRecording(self.file, lines.line_num, "", f"cannot be read: {error}") from None

    def _open(self) -> TextIO:
        try:
            if self.file.suffix == ".gz":
                return gzip.open(self.file, "rt", encoding="utf-8-sig", newline="")
            return self.file.open(encoding="utf-8-sig", newline="")
        except OSError as error:
            raise BadRecording(self.file, None, "", f"cannot be read: {error.strerror or error}") from None

    def _header(self, text: TextIO) -> list[str]:
        try:
            header = next(csv.reader(text, strict=True), [])
        except (csv.Error, UnicodeDecodeError, OSError, EOFError, zlib.error) as error:
            raise BadRecording(self.file, 1, "", f"cannot be read: {error}") from None
        layout = self._layout
        for column in header:
            if header.count(column) > 1:
                raise BadRecording(self.file, 1, column, "stands twice in the header")
        if layout.time_column not in header:
            raise BadRecording(self.file, 1, layout.time_column, f"no such column; there is {', '.join(header)}")
        if layout.device_column not in header and not layout.device:
            raise BadRecording(self.file, 1, layout.device_column, "no such column, and no device is named instead")
        for column in layout.required:
            if column not in header:
                raise BadRecording(self.file, 1, column, f"no such column; there is {', '.join(header)}")
        return header

    def _row(self, line: int, cells: list[str]) -> Row:
        if len(cells) != self._width:
            raise BadRecording(self.file, line, "", f"has {len(cells)} cells, the header {self._width}")
        device = self._layout.device if self._device is None else cells[self._device]
        if not device or set(device) & set("/+#"):
            raise BadRecording(self.file, line, self._layout.device_column, f"{device!r} is not a device's name")
        values = {}
        for at, column, signal, factor in self._cells:
            text = cells[at].strip()
            if not text:
                continue
            try:
                value = float(text) * factor
            except ValueError:
                value = math.nan
            if not math.isfinite(value):
                raise BadRecording(self.file, line, column, f"{text!r} is not a number")
            values[signal] = value
        return Row(line=line, device=device, time=self._ms(line, cells[self._time]), values=values)

    def _ms(self, line: int, text: str) -> int:
        try:
            try:
                number = float(text)
            except ValueError:
                time = datetime.fromisoformat(text)
                time = time if time.tzinfo else time.replace(tzinfo=UTC)
                return round(time.timestamp() * 1000)
            return round(number if abs(number) >= _FIRST_MS else number * 1000)
        except (ValueError, OverflowError):
            reason = f"{text!r} is not a time; write ISO 8601 like 2026-01-31T12:00:00Z, or a number since the epoch"
            raise BadRecording(self.file, line, self._layout.time_column, reason) from None
