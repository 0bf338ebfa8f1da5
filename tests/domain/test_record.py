"""Messages in files: which lines are one, and what they become."""

import json
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.record import RECORD_FIELDS, Record, decode_record, record_of_texts
from app.errors import BadUserInput, PayloadTooLarge

LINE = {"client_id": "c", "created": 1_767_225_600_000, "data": {"score": 1.50}}


def read(line: int = 1, /, **fields: Any) -> Record:
    return decode_record(json.dumps(LINE | fields).encode()).checked(line, 1024)


def test_the_names_are_those_of_the_record() -> None:
    assert set(RECORD_FIELDS) == set(Record.__struct_fields__)


def test_a_line_of_another_service_needs_three_fields_and_gets_an_id_of_its_time() -> None:
    record = read()
    assert record.id is not None
    identity = UUID(record.id)
    assert (identity.version, identity.int >> 80) == (7, LINE["created"])
    # The same each time, so that the file may be imported again; another one for another line.
    assert read().id == record.id
    assert len({record.id, read(2).id, read(client_id="d").id, read(data=1).id}) == 4


def test_what_a_line_says_is_kept() -> None:
    identity = "019B76DA-A802-71C6-9CA0-69CDE26D0D2A"
    said = {"widget_id": "poll", "username": "Zoé", "idempotency_key": "k", "publisher": "sub:1"}
    record = read(id=identity, **said)
    assert record.id == identity.lower()
    assert {name: getattr(record, name) for name in said} == said
    assert bytes(record.data) == b'{"score":1.5}'


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"client_id": ""}, "client_id is ''; allowed are 1 to 128"),
        ({"widget_id": "a b"}, "widget_id is 'a b'; allowed are 1 to 64"),
        ({"created": -1}, "created is -1; allowed are milliseconds"),
        ({"created": 2**47}, "allowed are milliseconds"),
        ({"created": "now"}, r"not a message: Expected `int`, got `str` - at `\$.created`"),
        ({"id": "7"}, "id is '7'; allowed is a UUID"),
        ({"username": "a\nb"}, "username is .* printable"),
        ({"username": "x" * 257}, "1 to 256 printable"),
        ({"idempotency_key": ""}, "idempotency_key is ''"),
        ({"publisher": "Zoé"}, "publisher is 'Zoé'; allowed are 'sub:'"),
        ({"data": "\0"}, "U\\+0000"),
        ({"name": 1}, "unknown field `name`"),
    ],
)
def test_what_is_wrong_is_named(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(BadUserInput, match=words):
        read(**fields)


def test_data_has_the_bound_of_publishing() -> None:
    with pytest.raises(PayloadTooLarge, match="at most 1024"):
        read(data="x" * 1024)


@pytest.mark.parametrize("line", [b"", b"[]", b"{", b"\xff", b'{"created":1}', b"[" * 5000])
def test_what_is_no_message_is_refused(line: bytes) -> None:
    with pytest.raises(BadUserInput, match="not a message"):
        decode_record(line)


def test_what_is_told_of_a_line_is_short_and_moves_no_cursor() -> None:
    """The name of an unknown field is told, to a terminal."""
    for name in ("\x1b[31m", "\x9b31m", "\u202e", "x" * 100_000):
        with pytest.raises(BadUserInput) as refusal:
            decode_record(json.dumps({"client_id": "c", name: 1}).encode())
        assert refusal.value.message.isprintable()
        assert len(refusal.value.message) < 300


@given(st.dictionaries(st.sampled_from([*RECORD_FIELDS, "other"]), st.text(max_size=40)))
def test_texts_of_csv_are_a_record_or_refused(texts: dict[str, str]) -> None:
    try:
        record = record_of_texts(texts).checked(1, 64)
    except (BadUserInput, PayloadTooLarge):
        return
    assert record.client_id == texts["client_id"]
    assert record.created == int(texts["created"])


def test_empty_texts_are_none() -> None:
    texts = dict.fromkeys(RECORD_FIELDS, "") | {
        "client_id": "c",
        "created": "5",
        "data": '{"a":1}',
    }
    assert record_of_texts(texts).username is None
    with pytest.raises(BadUserInput, match="client_id, data must not be empty"):
        record_of_texts({"created": "1"})
    with pytest.raises(BadUserInput, match="created is 'x'"):
        record_of_texts(texts | {"created": "x"})
