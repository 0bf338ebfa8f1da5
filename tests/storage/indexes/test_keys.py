"""The bounded key of a value: in the order of jsonb, and the same in SQL and in memory."""

from decimal import Decimal
from typing import Any

from app.domain.json_value import decode_json, encode_json
from app.storage.indexes.keys import KEY_CHARACTERS, is_exact, key_json
from tests.domain.query.reference import order_key
from tests.storage.indexes.values import LONG
from tests.storage.stored import VALUES, Stored

_ALL = [*VALUES, *LONG, ["x" * 5000], {"k": "x" * 5000}, [[[[1]]]], list(range(3000))]
_NUMBERS = [
    *("1e400", "-1e400", "9.9e399", "1e1000", "-1e131071", f"0.{'0' * 16000}7", "1e-16383"),
    *(
        "1" * 400,
        "1" * 401,
        "1" * 1000,
        "-" + "1" * 1000,
        f"{'1' * 400}2",
        f"{'1' * 300}.{'2' * 500}",
    ),
    *(
        f"0.{'1' * 400}",
        f"0.{'1' * 1000}",
        f"0.00{'1' * 1000}",
        f"-0.00{'12' * 500}",
        f"1{'0' * 390}",
    ),
    *(f"1.{'0' * 1000}", f"1.{'0' * 1000}1", "1" * 399 + "." + "1" * 400, "-0.5", "0", "1e-400"),
]
_PAIRS = """
    WITH one AS (SELECT v, search_key(v) AS key FROM unnest($1::jsonb[]) AS v)
    SELECT a.v AS lesser, b.v AS greater FROM one AS a JOIN one AS b ON a.v < b.v
"""


def _asked(stored: Stored, sql: str, *parameters: object) -> list[Any]:
    return stored.run(stored.database.fetch(sql, *parameters))


def test_keys_are_the_same_in_sql_and_in_memory(stored: Stored) -> None:
    texts = [encode_json(value) for value in _ALL]
    rows = _asked(stored, "SELECT search_key(v) AS key FROM unnest($1::jsonb[]) AS v", texts)
    for value, row in zip(_ALL, rows, strict=True):
        assert order_key(decode_json(row["key"])) == order_key(decode_json(key_json(value))), value


def test_an_exact_key_is_no_other_values(stored: Stored) -> None:
    exact = {order_key(value) for value in _ALL if is_exact(value)}
    for value in _ALL:
        key = order_key(decode_json(key_json(value)))
        if is_exact(value):
            assert key == order_key(value), value
        else:
            assert key not in exact, value


def test_a_lesser_value_never_has_the_greater_key(stored: Stored) -> None:
    texts = [*(encode_json(value) for value in _ALL), *(text.encode() for text in _NUMBERS)]
    count = _asked(stored, f"SELECT count(*) FROM ({_PAIRS}) AS pair", texts)[0]["count"]
    assert count > 2000
    assert _asked(stored, f"{_PAIRS} WHERE a.key > b.key", texts) == []


def test_a_number_that_a_publish_may_not_send_has_a_key_of_its_own(stored: Stored) -> None:
    """So a comparison of keys is one of values for all numbers that a filter may name."""
    texts = [text.encode() for text in _NUMBERS]
    shared = _asked(stored, f"{_PAIRS} WHERE a.key = b.key", texts)
    for row in shared:
        for text in row:
            digits = Decimal(text.decode()).as_tuple().digits
            assert len(digits) > 400 or abs(Decimal(text.decode())) >= Decimal("1e400")


def test_keys_are_short_whatever_the_value(stored: Stored) -> None:
    hostile = [encode_json(value) for value in (*_ALL, "\U0001f600" * 60_000, "\\" * 60_000)]
    hostile += [text.encode() for text in _NUMBERS] + [b"[" * 60 + b"]" * 60]
    size = "SELECT max(pg_column_size(search_key(v))) AS bytes FROM unnest($1::jsonb[]) AS v"
    assert _asked(stored, size, hostile)[0]["bytes"] <= 4 * (KEY_CHARACTERS + 1) + 16


def test_a_missing_value_has_no_key(stored: Stored) -> None:
    assert _asked(stored, "SELECT search_key(NULL) AS key")[0]["key"] is None
