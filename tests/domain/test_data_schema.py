"""Schemas: what may be set, what they refuse, and that neither takes long."""

import time
from decimal import Decimal
from typing import Any

import pytest

from app.domain.data_schema import DataSchema, checked_schema
from app.domain.json_value import JsonValue, encode_json
from app.errors import BadUserInput, PayloadTooLarge, Rejected

VOTE: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "choice": {"enum": ["a", "b", "c"]},
        "score": {"type": "integer", "minimum": 0, "maximum": 100},
        "name": {"type": "string", "maxLength": 40, "pattern": "^[^<>]+$"},
        "a/b": {"items": {"required": ["x"]}},
    },
    "required": ["choice"],
    "additionalProperties": False,
}


def check(schema: dict[str, Any], data: JsonValue) -> None:
    DataSchema(schema, encode_json(schema)).check(data, encode_json(data))


def test_data_that_satisfies_the_schema_passes() -> None:
    check(VOTE, {"choice": "a", "score": 5, "name": "Zoë"})
    check(VOTE, {"choice": "b", "score": Decimal("5.0")})


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ({}, 'at its root, "choice" is a required property'),
        ({"choice": "z"}, 'at /choice, the value is not one of "a", "b" or "c"'),
        ({"choice": "a", "score": 101}, "at /score, the value is greater than the maximum of 100"),
        ({"choice": "a", "score": Decimal("1.5")}, 'at /score, the value is not of type "integer"'),
        ({"choice": "a", "name": "<b>"}, 'at /name, the value does not match "^[^<>]+$"'),
        ({"choice": "a", "a/b": [{}]}, 'at /a~1b/0, "x" is a required property'),
        ([], 'at its root, the value is not of type "object"'),
    ],
)
def test_a_refusal_names_the_place_and_what_is_allowed(data: JsonValue, why: str) -> None:
    with pytest.raises(Rejected) as refused:
        check(VOTE, data)
    assert refused.value.message == f"data does not match the channel's dataSchema: {why}"


@pytest.mark.parametrize(
    ("schema", "data"),
    [
        ({"additionalProperties": False, "properties": {}}, {"secret " * 100: 1}),
        ({"propertyNames": {"maxLength": 2}}, {"secret " * 100: 1}),
        ({"items": {"const": 1}}, ["secret " * 100]),
        ({"enum": ["x" * 5000]}, "secret " * 100),
        ({"properties": {"k" * 5000: {"type": "null"}}}, {"k" * 5000: 1}),
    ],
)
def test_a_refusal_is_short_and_says_little_of_the_data(
    schema: dict[str, Any], data: JsonValue
) -> None:
    with pytest.raises(Rejected) as refused:
        check(schema, data)
    assert len(refused.value.message) < 350
    assert refused.value.message.count("secret") < 25


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"const": Decimal("0.1")}, Decimal("0.10"), Decimal("0.1000000000000000000001")),
        ({"maximum": 9007199254740992}, 9007199254740992, 9007199254740993),
        ({"maximum": 10**40}, 10**40, 10**40 + 1),
        ({"multipleOf": Decimal("0.01")}, Decimal("0.07"), Decimal("0.075")),
        ({"uniqueItems": True}, [1, "1"], [1, Decimal("1.0")]),
        ({"type": "integer"}, Decimal("1E+300"), Decimal("1E-300")),
    ],
)
def test_numbers_are_exact(schema: dict[str, Any], good: JsonValue, bad: JsonValue) -> None:
    check(schema, good)
    with pytest.raises(Rejected):
        check(schema, bad)


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        (None, "dataSchema is null; expected a JSON Schema that is an object"),
        (True, "dataSchema is true; expected a JSON Schema that is an object"),
        ([], "dataSchema is a list of 0; expected"),
        ("{}", "dataSchema is '{}'; expected"),
        ({"type": "nope"}, "at /type, the value is not one of the keyword's allowed values"),
        ({"minLength": -1}, "at /minLength, the value is less than the minimum of 0"),
        ({"properties": {"a": {"required": "b"}}}, 'at /properties/a/required, .* type "array"'),
        (
            {"pattern": "(?=a)"},
            r"at /pattern is '\(\?=a\)'; expected a regular expression without",
        ),
        ({"pattern": r"(a)\1"}, "without look-around and back-references"),
        ({"items": {"pattern": "("}}, r"at /items/pattern is '\('"),
        ({"patternProperties": {"(?<!a)b": {}}}, "at /patternProperties is"),
        ({"pattern": "a{1000}{1000}"}, "at most 128 KiB when compiled"),
        (
            {"allOf": [{"pattern": f"a{i}"} for i in range(33)]},
            "has 33 patterns; allowed: at most 32",
        ),
        ({"allOf": [{"items": {"$ref": "#"}}, {"items": {"$ref": "#"}}]}, "is too complex"),
        ({"enum": [Decimal(i) / 7 for i in range(900)]}, "is too complex"),
        ({"$ref": "http://127.0.0.1:1/schema"}, "has the reference"),
        ({"x": {"a": "\0"}}, r"a string with the character U\+0000"),
    ],
)
def test_a_schema_that_may_not_be_set_is_refused(schema: object, why: str) -> None:
    with pytest.raises(BadUserInput, match=why):
        checked_schema(schema)


def test_a_schema_may_have_32_kib_and_64_levels() -> None:
    assert checked_schema({"$comment": "x" * 32_000})
    with pytest.raises(PayloadTooLarge, match="dataSchema has 32783 bytes, at most 32768"):
        checked_schema({"$comment": "x" * (32 * 1024)})
    deep: dict[str, Any] = {}
    for _ in range(64):
        deep = {"not": deep}
    with pytest.raises(BadUserInput, match="dataSchema is nested too deeply"):
        checked_schema(deep)


def test_what_is_set_is_kept_as_it_came() -> None:
    schema = {"maximum": Decimal("1.50"), "b": 1, "a": ["é"]}
    assert checked_schema(schema) == '{"maximum":1.50,"b":1,"a":["é"]}'.encode()


@pytest.mark.parametrize(
    ("schema", "data"),
    [
        ({"pattern": "(a+)+$"}, "a" * 60_000 + "b"),
        ({"pattern": "(a|aa|b)*[cd]$"}, "ab" * 30_000),
        ({"items": {"enum": [*range(100)]}}, [Decimal("1.5")] * 250),
        ({"items": {"multipleOf": Decimal("1e-300")}}, [1] * 2_600),
        ({"items": {"pattern": "[ab]*a[ab]{1400}[cd]"}}, ["a" * 4_000]),
        ({"anyOf": [{"items": {"type": "string"}} for _ in range(100)]}, [1] * 16_000),
        ({"allOf": [{"items": {"minimum": i}} for i in range(100)]}, [100] * 10_000),
        ({"uniqueItems": True}, [{"a": i} for i in range(5_000)]),
    ],
)
def test_a_check_takes_no_longer_than_it_may(schema: dict[str, Any], data: JsonValue) -> None:
    schema_json = checked_schema(schema)
    compiled = DataSchema(schema, schema_json)
    data_json = encode_json(data)
    begun = time.process_time()
    try:
        compiled.check(data, data_json)
    except Rejected as error:
        assert len(error.message) < 350  # noqa: PT017
    # Ten times what it takes: nobody else is served meanwhile.
    assert time.process_time() - begun < 0.5


def test_a_pattern_is_as_dear_as_it_is_large() -> None:
    """Ordinary ones take all the data that there may be; one of a thousand states may not."""
    check({"items": {"pattern": "^[^<>]+$"}}, ["a" * 60_000])
    with pytest.raises(Rejected, match=r"data has 60004 bytes; at most 4\d\d\d"):
        check({"items": {"pattern": "[ab]*a[ab]{1400}[cd]"}}, ["a" * 60_000])


def test_much_data_is_refused_where_the_schema_is_complex() -> None:
    schema = {"allOf": [{"pattern": f"^[a-z]{i}"} for i in range(30)]}
    with pytest.raises(Rejected, match=r"data has 10002 bytes; at most 3\d\d\d"):
        check(schema, "a" * 10_000)


def test_alternatives_that_all_fail_in_much_data_are_refused_without_a_place() -> None:
    """The library notes each failure of each: gigabytes of them."""
    schema = {"anyOf": [{"items": {"type": "string"}}, {"items": {"type": "null"}}]}
    with pytest.raises(Rejected, match=r"listed in the 'anyOf' keyword"):
        check(schema, [1, 2])
    with pytest.raises(Rejected, match=r"^data does not match the channel's dataSchema$"):
        check(schema, [1] * 30_000)


def test_a_format_is_a_note_only() -> None:
    check({"format": "email"}, "no address")


def test_data_may_be_as_deep_as_the_schema_recurs() -> None:
    data: JsonValue = {}
    for _ in range(63):
        data = {"a": data}
    chain = {f"{i}": {"allOf": [{"$ref": f"#/$defs/{i + 1}"}]} for i in range(40)}
    schema = {"$ref": "#/$defs/0", "$defs": chain | {"40": {"properties": {"a": {"$ref": "#"}}}}}
    check(schema, data)
