import json
from dataclasses import replace
from decimal import Decimal

from app.domain.channel import Channel
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


def test_a_message_is_encoded_once_for_all_sockets() -> None:
    first = replies.message_frame(message())
    assert json.loads(first) == {
        "type": "message",
        "message": json.loads(replies.record_json(message())),
    }
    assert replies.message_frame(message()) is first


def test_kept_frames_are_bounded_in_bytes() -> None:
    """256 records of 1 MiB, the most that a setting allows, were 256 MiB."""
    large = [replace(message(n), id=f"large {n}", data_json=b"1" * 2**20) for n in range(9)]
    frames = [replies.message_frame(one) for one in large]
    assert replies._frames._bytes <= 4 * 2**20
    assert replies._frames._bytes == sum(map(len, replies._frames._frames.values()))
    assert replies.message_frame(large[-1]) is frames[-1]
    assert replies.message_frame(large[0]) is not frames[0]
    enormous = replace(message(), id="enormous", data_json=b"1" * 2**23)
    assert replies.message_frame(enormous) == replies.message_frame(enormous)
    for n in range(1_000):
        replies.message_frame(replace(message(), id=f"small {n}"))
    assert len(replies._frames._frames) == 256


def test_a_message_that_is_not_stored_says_so() -> None:
    assert json.loads(replies.message_frame(message(None)))["persistent"] is False


def test_a_ref_is_echoed_byte_for_byte() -> None:
    assert replies.ack_frame(b"1.50", message()).startswith(b'{"type":"ack","ref":1.50,"message":{')
    assert json.loads(replies.ack_frame(None, message()))["ref"] is None
    assert b'"ref":"\\u00e9"' in replies.error_frame(ErrorCode.FORBIDDEN, "no", b'"\\u00e9"')
    assert "ref" not in json.loads(replies.error_frame(ErrorCode.FORBIDDEN, "no"))


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
