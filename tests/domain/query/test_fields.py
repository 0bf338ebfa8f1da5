"""Fields: names, paths and what a segment means in an array."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.query.fields import FieldPath, array_index, parse_field
from app.errors import BadUserInput


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("id", FieldPath("id")),
        ("client_id", FieldPath("client_id")),
        ("clientId", FieldPath("client_id")),
        ("created", FieldPath("created")),
        ("username", FieldPath("username")),
        ("data", FieldPath("data")),
        ("data.user.name", FieldPath("data", ("user", "name"))),
        ("data.tags.-1", FieldPath("data", ("tags", "-1"))),
        ("data. .é", FieldPath("data", (" ", "é"))),
    ],
)
def test_a_field_is_a_column_or_a_path_below_data(text: str, field: FieldPath) -> None:
    assert parse_field("groupBy", text) == field


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("score", "groupBy is 'score'; allowed: id, client_id (or clientId), created, username"),
        ("", "groupBy is ''; allowed: id,"),
        ("Data", "groupBy is 'Data'; allowed: id,"),
        ("username.first", "groupBy is 'username.first'; allowed: id,"),
        ("sequence", "groupBy is 'sequence'; allowed: id,"),
        ("data.", "groupBy is 'data.'; segments between dots must not be empty"),
        ("data..a", "groupBy is 'data..a'; segments between dots must not be empty"),
        ("data.\0", "groupBy is 'data.\\x00'; U+0000 and lone surrogates are not allowed"),
        ("data.\ud800", "groupBy is 'data.\\ud800'; U+0000 and lone surrogates are not allowed"),
        ("data." + "a" * 252, "groupBy has 257 characters, at most 256 are allowed"),
        ("data" + ".a" * 32, "groupBy has 33 segments, at most 32 are allowed"),
        (5, "groupBy is 5; expected a string: id,"),
        (["data"], "groupBy is a list of 1; expected a string: id,"),
    ],
)
def test_any_other_field_is_refused_with_what_is_allowed(text: object, message: str) -> None:
    with pytest.raises(BadUserInput, match="^" + re.escape(message)):
        parse_field("groupBy", text)


def test_the_longest_and_deepest_fields_are_taken() -> None:
    assert len(parse_field("field", "data." + "a" * 251).path[0]) == 251
    assert len(parse_field("field", "data" + ".a" * 31).path) == 31


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters=".\0"), min_size=1)))
def test_a_field_reads_back_as_it_is_shown(segments: list[str]) -> None:
    field = FieldPath("data", tuple(segments))
    if len(str(field)) <= 256 and len(segments) < 32:
        assert parse_field("field", str(field)) == field


@pytest.mark.parametrize(
    ("segment", "index"),
    [
        ("0", 0),
        ("7", 7),
        ("01", 1),
        ("+1", 1),
        ("-1", -1),
        ("-0", 0),
        (" \t\n\v\f\r2", 2),
        ("2147483647", 2147483647),
        ("2147483648", None),
        ("-2147483648", None),
        ("9" * 200, None),
        ("1 ", None),
        ("- 1", None),
        ("0x1", None),
        ("1.0", None),
        ("1e0", None),
        ("\u0661", None),
        ("\u00a01", None),
        ("\x1c1", None),
        ("+", None),
        ("a", None),
    ],
)
def test_a_segment_is_an_index_where_postgres_reads_one(segment: str, index: int | None) -> None:
    assert array_index(segment) == index
