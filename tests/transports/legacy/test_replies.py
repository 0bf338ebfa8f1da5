import json
from dataclasses import replace
from decimal import Decimal

from app.domain.channel import Channel
from app.domain.entry import PolicyChange, Retraction
from app.domain.message import Message
from app.errors import ErrorCode
from app.transports.legacy import replies


def message(sequence: int | None = 1, data_json: bytes = b'{"a":1.10}') -> Message:
    return Message(
        channel=Channel("YVX3ZZD4", "poll"),
        sequence=sequence,
        id=f"0190aaaa-0000-7000-8000-00000000000{sequence or 0}",
        client_id="<c>",
        created=1678724096803,
        username=None,
        data_json=data_json,
    )


def test_a_record_has_the_five_fields_and_its_data_untouched() -> None:
    record = json.loads(replies.record_json(message()), parse_float=Decimal)
    assert record == {
        "id": "0190aaaa-0000-7000-8000-000000000001",
        "client_id": "<c>",
        "created": 1678724096803,
        "data": {"a": Decimal("1.10")},
        "username": None,
    }


def test_a_message_is_its_record() -> None:
    assert json.loads(replies.entry_frame(message())) == {
        "type": "message",
        "message": json.loads(replies.record_json(message())),
    }


def test_a_message_that_is_not_stored_says_so() -> None:
    assert json.loads(replies.entry_frame(message(None)))["persistent"] is False


def test_a_ref_is_echoed_byte_for_byte() -> None:
    assert replies.ack_frame(b"1.50", message()).startswith(b'{"type":"ack","ref":1.50,"message":{')
    assert json.loads(replies.ack_frame(None, message()))["ref"] is None
    assert b'"ref":"\\u00e9"' in replies.error_frame(ErrorCode.FORBIDDEN, "no", b'"\\u00e9"')
    assert "ref" not in json.loads(replies.error_frame(ErrorCode.FORBIDDEN, "no"))


def test_a_new_token_is_acknowledged_with_the_name() -> None:
    assert replies.authenticated_frame(b"1.50", 'A"') == (
        b'{"type":"ack","ref":1.50,"username":"A\\""}'
    )
    assert replies.authenticated_frame(None, None) == b'{"type":"ack","ref":null,"username":null}'


def test_a_retraction_is_acknowledged_with_its_count_and_told_to_all() -> None:
    assert replies.count_frame(b"1.50", 2) == b'{"type":"ack","ref":1.50,"count":2}'
    assert json.loads(replies.count_frame(None, 0)) == {"type": "ack", "ref": None, "count": 0}
    retraction = Retraction(Channel("YVX3ZZD4", "poll"), 3, "r", 1678724096803, ("a", "b"))
    assert json.loads(replies.entry_frame(retraction)) == {
        "type": "retract",
        "id": "r",
        "ids": ["a", "b"],
    }
    why = replace(retraction, reason="rude")
    assert json.loads(replies.entry_frame(why))["reason"] == "rude"


def test_a_policy_is_told_as_graphql_has_it() -> None:
    change = PolicyChange(Channel("YVX3ZZD4", "poll"), b'{"writers":"NOBODY"}')
    assert json.loads(replies.entry_frame(change)) == {
        "type": "policy",
        "policy": {"writers": "NOBODY"},
    }


def test_results_follow_the_platforms_list_convention() -> None:
    assert json.loads(replies.result_frame(b"7", 12, [message(1), message(2)])) == {
        "type": "result",
        "ref": 7,
        "totalRecords": 12,
        "resultSet": [
            json.loads(replies.record_json(message(1))),
            json.loads(replies.record_json(message(2))),
        ],
    }
    assert json.loads(replies.groups_frame(b'"g"', 2, [(b"true", 3), (b"null", 1)])) == {
        "type": "result",
        "ref": "g",
        "totalRecords": 2,
        "resultSet": [{"key": True, "count": 3}, {"key": None, "count": 1}],
    }
    assert json.loads(replies.result_frame(b"7", 0, []))["resultSet"] == []


def test_open_and_counts() -> None:
    assert json.loads(replies.open_frame("c", "ann", 3, "")) == {
        "type": "open",
        "client_id": "c",
        "username": "ann",
        "connections": 3,
        "after": "",
    }
    assert json.loads(replies.open_frame("c", None, 3, "", "t"))["client_token"] == "t"
    assert json.loads(replies.active_connections_frame(3)) == {
        "type": "activeConnections",
        "data": 3,
    }


def test_a_refusal_says_when_to_come_back_where_that_is_known() -> None:
    frame = replies.error_frame(ErrorCode.UNAVAILABLE, "busy", b"7", 1500)
    assert json.loads(frame) == {
        "type": "error",
        "code": "UNAVAILABLE",
        "message": "busy",
        "ref": 7,
        "retryAfterMs": 1500,
    }
    assert "retryAfterMs" not in json.loads(replies.error_frame(ErrorCode.UNAVAILABLE, "busy"))


def test_the_text_of_an_error_ends_after_500_characters() -> None:
    frame = json.loads(replies.error_frame(ErrorCode.BAD_USER_INPUT, "a" * 501))
    assert frame["message"] == "a" * 499 + "…"
