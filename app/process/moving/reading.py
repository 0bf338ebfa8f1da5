"""The lines of a file of messages, one by one, whatever is wrong with some of them."""

import csv
from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Final, NamedTuple

from app.domain.record import RECORD_FIELDS, Record, decode_record, record_of_texts
from app.errors import BadUserInput, ConfigurationError, PayloadTooLarge, shown
from app.storage.transfer import FileForm

__all__ = ["LONGEST_LINE", "NO_WIDGET", "Line", "csv_row", "form_of", "read_lines"]

LONGEST_LINE: Final = 4 * 1024 * 1024
"""Bytes: a message has at most 1 MiB of data; CSV doubles its quotation marks."""

NO_WIDGET: Final = "it has no widget_id, and --widget names none"


class Line(NamedTuple):
    """A line of a file."""

    number: int
    """From 1; of a CSV record that has several lines, its last."""
    record: Record | None
    """None: it is none."""
    problem: str
    """Why it is none."""
    size: int
    """Bytes."""


def form_of(path: Path, form: FileForm | None) -> FileForm:
    """Return the form of a file: as said, else by its name; JSON Lines where neither tells."""
    return form or ("csv" if path.suffix.lower() == ".csv" else "jsonl")


def csv_row(line: bytes) -> Sequence[str]:
    """Return the values of one line of CSV."""
    return next(csv.reader([line.decode(errors="replace")]))


def read_lines(file: IO[bytes], form: FileForm, max_data_bytes: int) -> Iterator[Line]:
    """Yield each line that is not empty, checked.

    Args:
        file: from its beginning.
        form: of its lines.
        max_data_bytes: bound of a message's data as compact JSON.

    Raises:
        ConfigurationError: the header of CSV names other columns.
    """
    return (_json_lines if form == "jsonl" else _csv_lines)(file, max_data_bytes)


def _json_lines(file: IO[bytes], max_data_bytes: int) -> Iterator[Line]:
    number = 0
    while line := file.readline(LONGEST_LINE):
        number += 1
        size = len(line)
        if not line.endswith(b"\n") and size == LONGEST_LINE:
            size += _skip_line(file)
            yield Line(number, None, f"longer than {LONGEST_LINE} bytes", size)
        elif line.isspace():
            continue
        else:
            yield _checked(number, line, size, max_data_bytes)


def _skip_line(file: IO[bytes]) -> int:
    skipped = 0
    while rest := file.readline(LONGEST_LINE):
        skipped += len(rest)
        if rest.endswith(b"\n"):
            break
    return skipped


def _checked(number: int, line: bytes, size: int, max_data_bytes: int) -> Line:
    try:
        record = decode_record(line).checked(number, max_data_bytes)
    except (BadUserInput, PayloadTooLarge) as error:
        return Line(number, None, error.message, size)
    return Line(number, record, "", size)


def _csv_lines(file: IO[bytes], max_data_bytes: int) -> Iterator[Line]:
    csv.field_size_limit(LONGEST_LINE)
    counted = _Counted(file)
    reader = csv.reader(counted, strict=True)
    try:
        names = next(reader, None)
    except csv.Error as error:
        raise ConfigurationError(f"the header is not CSV: {error}") from None
    if names is None:
        return
    unknown = [name for name in names if name not in RECORD_FIELDS]
    if unknown or len(set(names)) < len(names):
        raise ConfigurationError(
            f"the header names {shown(', '.join(unknown or names))}; allowed are, once each, "
            f"{', '.join(RECORD_FIELDS)}"
        )
    while True:
        before = counted.begin()
        try:
            values = next(reader, None)
        except csv.Error as error:
            yield Line(counted.lines, None, f"not CSV: {error}", counted.count - before)
            continue
        if values is None:
            return
        size = counted.count - before
        if not values:
            continue
        number = counted.lines
        if len(values) != len(names):
            problem = f"it has {len(values)} values, the header {len(names)}"
            yield Line(number, None, problem, size)
            continue
        try:
            record = record_of_texts(dict(zip(names, values, strict=True)))
            yield Line(number, record.checked(number, max_data_bytes), "", size)
        except (BadUserInput, PayloadTooLarge) as error:
            yield Line(number, None, error.message, size)


class _Counted:
    """The lines of a file as text, and how many bytes they had.

    Raises:
        csv.Error: the lines of one record are too long together, as where a quotation mark is
            missing. What follows is read as records again.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._began = 0
        self.count = 0
        self.lines = 0

    def begin(self) -> int:
        """Begin a record; return where."""
        self._began = self.count
        return self._began

    def __iter__(self) -> Iterator[str]:
        return self

    # No generator: one that raises is over.
    def __next__(self) -> str:
        line = self._file.readline(LONGEST_LINE)
        if not line:
            raise StopIteration
        text = line if self.count else line.removeprefix(BOM_UTF8)
        self.count += len(line)
        self.lines += 1
        if self.count - self._began > LONGEST_LINE:
            raise csv.Error(f"longer than {LONGEST_LINE} bytes")
        # What is no UTF-8 becomes lone surrogates, which the checks refuse by their line.
        return text.decode(errors="surrogateescape")
