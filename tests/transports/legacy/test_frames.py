import json
from decimal import Decimal

import pytest

from app.domain.message import OnRepeat
from app.transports.legacy.frames import (
    MAX_REF_BYTES,
    Auth,
    Open,
    Publish,
    Refused,
    Retract,
    Search,
    Unreadable,
    parse_frame,
)


def test_open_takes_its_fields_and_ignores_unknown_ones() -> None:
    text = (
        '{"type":"open","client_id":"c","persistent":true,"token":"t","after":"x","color":[1,{}]}'
    )
    assert parse_frame(text) == Open("c", True, "t", "x")


def test_a_client_token_may_be_empty_but_is_not_lost() -> None:
    for token in ("t", ""):
        frame = parse_frame(f'{{"type":"open","client_token":"{token}"}}')
        assert frame == Open(None, False, None, None, token)
    assert parse_frame('{"type":"open","client_token":null}') == Open(None, False, None, None)


def test_everything_in_open_can_be_left_out_or_null() -> None:
    assert parse_frame('{"type":"open"}') == Open(None, False, None, None)
    assert parse_frame(
        '{"type":"open","client_id":null,"persistent":null,"token":null,"after":null}'
    ) == Open(None, False, None, None)


def test_numbers_in_data_keep_their_exact_value() -> None:
    frame = parse_frame('{"type":"publish","data":{"a":1.10,"b":12345678901234567890}}')
    assert isinstance(frame, Publish)
    assert frame.data == {"a": Decimal("1.10"), "b": 12345678901234567890}


@pytest.mark.parametrize("data", ["null", "0", '"x"', "[]", "{}", "false"])
def test_any_json_value_is_data(data: str) -> None:
    frame = parse_frame(f'{{"type":"publish","data":{data}}}')
    assert frame == Publish(None, json.loads(data), None, size=len(data))


@pytest.mark.parametrize("word", ['"REPLACE"', '"replace"', '"Replace"'])
def test_a_repeated_key_replaces_in_any_case(word: str) -> None:
    frame = parse_frame(f'{{"type":"publish","id":"vote","on_repeat":{word},"data":1}}')
    assert frame == Publish(None, 1, "vote", OnRepeat.REPLACE, size=1)


@pytest.mark.parametrize("word", ['"KEEP"', '"keep"', "null"])
def test_a_repeated_key_is_kept_as_without_the_word(word: str) -> None:
    frame = parse_frame(f'{{"type":"publish","on_repeat":{word},"data":1}}')
    assert frame == parse_frame('{"type":"publish","data":1}')


def test_retract_takes_its_fields() -> None:
    frame = parse_frame('{"type":"retract","ref":7,"ids":["a","b"],"reason":"rude","why":1}')
    assert frame == Retract(b"7", ["a", "b"], "rude", size=9)
    assert parse_frame('{"type":"retract","ids":[]}') == Retract(None, [], None, size=2)


@pytest.mark.parametrize("ref", ['"a"', '""', "0", "-7", "1.50", "1E+5", '"\\ud83d\\ude00"', '"é"'])
def test_a_ref_is_kept_as_it_was_written(ref: str) -> None:
    frame = parse_frame(f'{{"type":"publish","ref":{ref},"data":1}}')
    assert isinstance(frame, Publish)
    assert frame.ref == ref.encode()


@pytest.mark.parametrize("ref", ["true", "[]", "{}", '"' + "x" * MAX_REF_BYTES + '"'])
def test_a_ref_of_a_strange_type_or_size_is_refused(ref: str) -> None:
    frame = parse_frame(f'{{"type":"search","ref":{ref},"query":{{}}}}')
    assert isinstance(frame, Refused)
    assert frame.ref is None
    assert "search.ref" in frame.error.message


def test_a_search_without_a_ref_is_refused() -> None:
    frame = parse_frame('{"type":"search","query":{}}')
    assert isinstance(frame, Refused)
    assert "search.ref is missing" in frame.error.message


def test_a_search_without_a_query_searches_everything() -> None:
    assert parse_frame('{"type":"search","ref":1}') == Search(b"1", {})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"type":"publish","ref":5}', "publish.data is missing; allowed is any JSON value"),
        ('{"type":"publish","ref":5,"data":1,"id":7}', "publish.id is 7; allowed is a string"),
        (
            '{"type":"publish","ref":5,"data":1,"on_repeat":"again"}',
            'publish.on_repeat is "again"; allowed are KEEP, REPLACE',
        ),
        (
            '{"type":"publish","ref":5,"data":1,"on_repeat":true}',
            "publish.on_repeat is true; allowed are KEEP, REPLACE",
        ),
        (
            '{"type":"retract","ref":5}',
            "retract.ids is missing; allowed is a list of message ids",
        ),
        (
            '{"type":"retract","ref":5,"ids":"a"}',
            'retract.ids is "a"; allowed is a list of message ids',
        ),
        (
            '{"type":"retract","ref":5,"ids":["a",{"id":"b"},7]}',
            "retract.ids[1] is an object; allowed is a string, the id of a message",
        ),
        (
            '{"type":"retract","ref":5,"ids":["a"],"reason":{}}',
            "retract.reason is {}; allowed is a string",
        ),
        (
            '{"type":"retract","ids":' + "[" * 9999 + '"a"' + "]" * 9999 + ',"ref":5}',
            "the frame is nested too deeply",
        ),
        (
            '{"type":"retract","ids":["\\ud83d"],"ref":5}',
            "the frame has a string with a lone surrogate",
        ),
        ('{"type":"search","ref":5,"query":[1]}', "search.query is [1]; allowed is an object"),
        (
            '{"type":"publish","ref":5,"data":' + "1" * 5000 + "}",
            "not valid JSON: a number has too many digits",
        ),
        (
            '{"type":"publish","ref":5,"data":{"half":"\\ud83d"}}',
            "the frame has a string with a lone surrogate",
        ),
        (
            '{"type":"publish","data":' + "[" * 9999 + '"]"' + "]" * 9999 + ',"ref":5}',
            "the frame is nested too deeply",
        ),
    ],
)
def test_a_bad_field_is_refused_with_the_ref_of_its_frame(text: str, says: str) -> None:
    frame = parse_frame(text)
    assert isinstance(frame, Refused)
    assert frame.ref == b"5"
    assert frame.error.message == says


@pytest.mark.parametrize(
    ("field", "says"),
    [
        ('"persistent":"yes"', 'open.persistent is "yes"; allowed are true and false'),
        ('"persistent":1', "open.persistent is 1; allowed are true and false"),
        ('"client_id":7', "open.client_id is 7; allowed is a string"),
        # Its type and nothing of it: half a token is still a secret.
        ('"token":["eyJh"]', "open.token is a list; allowed is a string"),
        ('"token":false', "open.token is a boolean; allowed is a string"),
        ('"client_token":["eyJh"]', "open.client_token is a list; allowed is a string"),
        ('"after":[' + "1," * 99 + "1]", "open.after is [" + "1," * 29 + "…; allowed is a string"),
        ('"persistent":' + "[" * 900 + "]" * 900, None),
    ],
)
def test_a_bad_open_says_what_came_and_what_is_allowed(field: str, says: str | None) -> None:
    frame = parse_frame(f'{{"type":"open",{field}}}')
    assert isinstance(frame, Refused)
    assert frame.type == "open"
    assert says is None or frame.error.message == says


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "a frame must be JSON"),
        ("{", "a frame must be JSON"),
        ("publish", "a frame must be JSON"),
        ('{"type":"publish","data":NaN}', "a frame must be JSON"),
        ('{"type":"publish","data":1} {}', "a frame must be JSON"),
        ("[]", "a frame must be a JSON object"),
        ("7", "a frame must be a JSON object"),
        ("null", "a frame must be a JSON object"),
        ("[" * 9999, "a frame must be a JSON object"),
        ('{"type":"publish","data":' + "[" * 9999, "a frame must be JSON"),
        ("[" * 9999 + "]" * 9999, "a frame must be a JSON object"),
        ("{}", "type is missing; allowed are open, publish, retract, search, auth"),
        ('{"type":7}', "type is 7; allowed are open, publish, retract, search, auth"),
        ('{"type":"Open"}', 'type is "Open"; allowed are open, publish, retract, search, auth'),
        ('{"type":' + "9" * 5000 + "}", None),
    ],
)
def test_what_is_no_frame_is_unreadable(text: str, says: str | None) -> None:
    frame = parse_frame(text)
    assert isinstance(frame, Unreadable)
    assert says is None or frame.reason == says


def test_a_new_token_is_a_string() -> None:
    assert parse_frame('{"type":"auth","ref":"r","token":"eyJ"}') == Auth(b'"r"', "eyJ")
    for raw, says in (
        ("", "auth.token is missing; allowed is a string"),
        (',"token":null', "auth.token is missing; allowed is a string"),
        (',"token":["eyJ"]', "auth.token is a list; allowed is a string"),
        (',"token":7', "auth.token is a number; allowed is a string"),
        (',"token":"\\ud800"', "the frame has a string with a lone surrogate"),
        (',"token":' + "[" * 9999 + "]" * 9999, "the frame is nested too deeply"),
    ):
        frame = parse_frame('{"type":"auth","ref":1' + raw + "}")
        assert isinstance(frame, Refused), raw
        assert (frame.type, frame.ref, frame.error.message) == ("auth", b"1", says)
