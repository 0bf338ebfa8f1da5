"""The lines of files: good ones, bad ones, and where each stands."""

import contextlib
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import ConfigurationError
from app.process.moving.reading import csv_row, form_of, read_lines
from app.storage.transfer import FileForm

GOOD = b'{"client_id":"c","created":1,"data":1}\n'


def read(form: FileForm, text: bytes) -> list[tuple[int, str]]:
    lines = list(read_lines(io.BytesIO(text), form, 1024))
    assert all((line.record is None) == bool(line.problem) for line in lines)
    return [(line.number, line.problem) for line in lines]


def test_bad_lines_are_told_by_their_numbers_and_empty_ones_are_none() -> None:
    found = read("jsonl", GOOD + b"\n" + b"{}\n" + GOOD + b"nonsense")
    assert [number for number, _ in found] == [1, 3, 4, 5]
    assert [bool(problem) for _, problem in found] == [False, True, False, True]


def test_a_line_without_end_does_not_fill_the_memory() -> None:
    long = b'"' + b"x" * (9 * 1024 * 1024) + b"\n"
    assert read("jsonl", long + GOOD) == [(1, "longer than 4194304 bytes"), (2, "")]


def test_all_bytes_are_counted() -> None:
    text = GOOD * 3
    assert sum(one.size for one in read_lines(io.BytesIO(text), "jsonl", 64)) == len(text)


def test_csv_of_a_spreadsheet_is_read() -> None:
    text = '\ufeffdata,created,client_id\r\n1,5,c\r\n"{""a"":""é""}",6,c\r\n'.encode()
    records = [line.record for line in read_lines(io.BytesIO(text), "csv", 64)]
    assert [bytes(record.data) for record in records if record] == [b"1", '{"a":"é"}'.encode()]


def test_bad_csv_is_told_by_line() -> None:
    header = b"client_id,created,data\n"
    found = read("csv", header + b'c,1,1\n"c"x,2,1\nc,1\nc,x,1\n\nc,3,"\xff"\nc,4,4\n')
    assert [number for number, _ in found] == [2, 3, 4, 5, 7, 8]
    assert [bool(problem) for _, problem in found] == [False, True, True, True, True, False]
    assert read("csv", b"") == []


def test_a_csv_record_without_end_does_not_fill_the_memory() -> None:
    """One mark is missing, and each of the next lines ends within another value."""
    header = b"client_id,created,data\n"
    text = header + b'"c\n' + (b'","' + b"c" * 100_000 + b"\n") * 50 + b"c,4,4\n"
    found = read("csv", text)
    assert found[0][1] == "not CSV: longer than 4194304 bytes"
    assert found[-1] == (53, "")


@pytest.mark.parametrize("header", [b"client_id,text\n", b"data,data\n", b'"a"b\n'])
def test_a_header_of_other_columns_is_refused(header: bytes) -> None:
    with pytest.raises(ConfigurationError, match="the header"):
        read("csv", header + b"1,2\n")


@given(st.binary(max_size=200), st.sampled_from(["jsonl", "csv"]))
def test_any_bytes_are_lines_or_refused(text: bytes, form: FileForm) -> None:
    with contextlib.suppress(ConfigurationError):
        read(form, text)


def test_the_name_tells_the_form_unless_it_is_said() -> None:
    assert form_of(Path("a.CSV"), None) == "csv"
    assert form_of(Path("a.json"), None) == "jsonl"
    assert form_of(Path("a.csv"), "jsonl") == "jsonl"
    assert csv_row(b'a,"b,""c"') == ["a", 'b,"c']
