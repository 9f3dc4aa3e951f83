"""Recorded tables, CSV (.csv, .csv.gz) or Parquet, as columns. What cannot be used is named by file, line and column."""

import csv
import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from core.errors import InvalidInput
from telemetry.window import Floats, Ints

_FIRST_MS = 100_000_000_000
"""Numbers from here on are milliseconds since the epoch, below it seconds, as in `forewarn replay`."""


class BadTable(InvalidInput):
    """A recorded file cannot be used."""

    def __init__(self, file: Path, line: int | None, column: str, reason: str) -> None:
        self.file, self.line, self.column, self.reason = file, line, column, reason
        place = f"{file}:{line}" if line else str(file)
        super().__init__(f"{place}: {f'column {column!r}: ' if column else ''}{reason}")


class Table:
    """A recorded file in memory. Raises BadTable when it cannot be read, or lacks one of the columns `needed`."""

    def __init__(self, file: Path, *, needed: tuple[str, ...] = ()) -> None:
        self.file = file
        self._parquet = file.suffix in {".parquet", ".pq"}
        self._table = self._read_parquet() if self._parquet else self._read_csv()
        self.columns: tuple[str, ...] = tuple(self._table.column_names)
        for column in self.columns:
            if self.columns.count(column) > 1:
                raise BadTable(file, 1, column, "stands twice in the header")
        for column in needed:
            if column not in self.columns:
                raise BadTable(file, 1, column, f"no such column; there is {', '.join(self.columns) or 'none'}")

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def names(self, column: str) -> tuple[tuple[str, ...], Ints]:
        """The distinct texts of a column, sorted, and the position of each row's text among them."""
        if not len(self):
            return (), np.empty(0, dtype=np.int64)
        texts = self._texts(column)
        empty = pc.or_kleene(pc.is_null(texts), pc.equal(texts, ""))
        self._refuse(column, np.asarray(pc.fill_null(empty, True)), "is empty")
        coded = texts.combine_chunks().dictionary_encode()
        coded = coded.combine_chunks() if isinstance(coded, pa.ChunkedArray) else coded
        found = [str(text) for text in coded.dictionary.to_pylist()]
        order = sorted(range(len(found)), key=found.__getitem__)
        place = np.empty(len(found), dtype=np.int64)
        place[order] = np.arange(len(found))
        return tuple(found[at] for at in order), place[coded.indices.to_numpy(zero_copy_only=False)]

    def numbers(self, column: str) -> Floats:
        """The numbers of a column; NaN where a cell is empty."""
        cells = self._table[column]
        if pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type):
            cells = self._texts(column)
            cells = pc.if_else(pc.equal(cells, ""), pa.scalar(None, pa.string()), cells)
        try:
            values = pc.cast(cells, pa.float64())
        except pa.ArrowInvalid:
            values = None
        except pa.ArrowNotImplementedError:
            raise BadTable(self.file, None, column, f"holds {cells.type}, not numbers") from None
        if values is None:
            self._refuse_first(column, cells, pa.float64(), "is not a number")
        result: Floats = pc.fill_null(values, np.nan).to_numpy().astype(np.float64)
        self._refuse(column, np.isinf(result), "is not a number")
        return result

    def times(self, column: str) -> Ints:
        """The times of a column, microseconds since the epoch: ISO 8601 (UTC unless it says otherwise), or numbers."""
        cells = self._table[column]
        if pa.types.is_timestamp(cells.type):
            micros = pc.cast(cells, pa.timestamp("us", tz=cells.type.tz), safe=False).cast(pa.int64())
        elif pa.types.is_date(cells.type):
            micros = pc.cast(cells, pa.timestamp("us")).cast(pa.int64())
        else:
            micros = self._written_times(column, cells)
        self._refuse(column, np.asarray(pc.is_null(micros)), "is empty")
        result: Ints = micros.to_numpy().astype(np.int64)
        return result

    def _written_times(self, column: str, cells: Any) -> Any:
        if not pa.types.is_integer(cells.type) and not pa.types.is_floating(cells.type):
            texts = self._texts(column)
            for kind in (pa.timestamp("us", tz="UTC"), pa.timestamp("us")):
                try:
                    return pc.cast(texts, kind).cast(pa.int64())
                except pa.ArrowInvalid:
                    continue
            try:
                numbers = pc.cast(texts, pa.float64())
            except pa.ArrowInvalid:
                self._refuse_first(
                    column,
                    texts,
                    pa.timestamp("us", tz="UTC") if _zoned(texts[0].as_py()) else pa.timestamp("us"),
                    "is not a time like the first row's; write ISO 8601 as 2026-01-31T12:00:00Z in each row, or numbers"
                    " since the epoch",
                )
        else:
            numbers = pc.cast(cells, pa.float64())
        values = pc.fill_null(numbers, np.nan).to_numpy()
        self._refuse(column, ~np.isfinite(values), "is not a time")
        return pa.array(np.round(np.where(np.abs(values) >= _FIRST_MS, values * 1e3, values * 1e6)).astype(np.int64))

    def _texts(self, column: str) -> Any:
        cells = self._table[column]
        return pc.utf8_trim_whitespace(cells if pa.types.is_string(cells.type) else pc.cast(cells, pa.string()))

    def _refuse(self, column: str, bad: Any, reason: str) -> None:
        if bad.any():
            self._fail(column, int(np.argmax(bad)), reason)

    def _refuse_first(self, column: str, cells: Any, kind: Any, reason: str) -> None:
        """Raises for the first cell that is not of a kind: halves what holds it until one cell is left."""
        low, high = 0, len(cells)
        while high - low > 1:
            middle = (low + high) // 2
            try:
                pc.cast(cells.slice(low, middle - low), kind)
                low = middle
            except pa.ArrowInvalid:
                high = middle
        self._fail(column, low, reason)

    def _fail(self, column: str, row: int, reason: str) -> None:
        shown = self._table[column][row].as_py()
        text = "" if shown is None or shown == "" else f"{shown!r} "
        if self._parquet:
            raise BadTable(self.file, None, column, f"row {row + 1}: {text}{reason}") from None
        line = next((line for at, (line, _) in enumerate(self._rows()) if at == row + 1), None)
        raise BadTable(self.file, line, column, f"{text}{reason}") from None

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        """Line and cells of each row that is not empty, the header first."""
        opener = gzip.open if self.file.suffix == ".gz" else open
        with opener(self.file, "rt", encoding="utf-8-sig", newline="") as text:
            lines = csv.reader(text)
            for cells in lines:
                if cells:
                    yield lines.line_num, cells

    def _read_csv(self) -> Any:
        try:
            header = next((cells for _, cells in self._rows()), [])
            if len(set(header)) < len(header) or not header:
                twice = next((c for c in header if header.count(c) > 1), "")
                raise BadTable(self.file, 1, twice, "stands twice in the header" if twice else "the file is empty")
            try:
                return pyarrow.csv.read_csv(
                    self.file,
                    convert_options=pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(header, pa.string())),
                )
            except pa.ArrowInvalid as error:
                for line, cells in self._rows():
                    if len(cells) != len(header):
                        reason = f"has {len(cells)} cells, the header {len(header)}"
                        raise BadTable(self.file, line, "", reason) from None
                raise BadTable(self.file, None, "", f"cannot be read: {error}") from None
        except (OSError, EOFError, UnicodeDecodeError, zlib.error, csv.Error) as error:
            raise BadTable(
                self.file, None, "", f"cannot be read: {getattr(error, 'strerror', None) or error}"
            ) from None

    def _read_parquet(self) -> Any:
        try:
            return pyarrow.parquet.read_table(self.file)
        except (OSError, pa.ArrowException) as error:
            raise BadTable(self.file, None, "", f"cannot be read: {error}") from None


def _zoned(text: str) -> bool:
    """Whether a written time says its zone."""
    return text.endswith(("Z", "z")) or "+" in text[10:] or "-" in text[10:]
