"""From an operation and its variables to the bytes of a response."""

import json
from decimal import Decimal
from typing import Any

import pytest

from app.domain.json_value import decode_json
from app.domain.viewer import DEFAULT_PERMISSIONS, Viewer
from app.engine.errors import RequestRefused
from tests.services.live.members import Recorded
from tests.transports.graphql.sample import Sample, Stream

pytestmark = pytest.mark.anyio
VIEWER = Viewer("anna", DEFAULT_PERMISSIONS)


async def execute(query: str, variables: str = "{}") -> dict[str, Any]:
    sample = Sample()
    operation = sample.executor.prepare(query)
    decoded: Any = decode_json(variables)
    payload = await sample.executor.execute(operation, decoded, sample.context(VIEWER, False))
    answer: dict[str, Any] = json.loads(payload, parse_float=Decimal)
    return answer


@pytest.mark.parametrize("number", ["10", "10.0", "1e1", "100e-1"])
async def test_an_int_may_be_written_as_any_json_number(number: str) -> None:
    answer = await execute("query($n: Int!) { count(number: $n) }", f'{{"n": {number}}}')
    assert answer == {"data": {"count": 10}}


@pytest.mark.parametrize("number", ["1.5", "1e10", "1e400", '"1"', "true", "[1]"])
async def test_what_is_no_int_is_the_clients_mistake(number: str) -> None:
    with pytest.raises(RequestRefused) as failure:
        await execute("query($n: Int!) { count(number: $n) }", f'{{"n": {number}}}')
    error = failure.value.errors[0]
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert "Decimal" not in error["message"]


async def test_numbers_inside_inputs_are_plain_and_inside_json_exact() -> None:
    answer = await execute(
        "query($p: Point!) { point(point: $p) }",
        '{"p": {"x": 1.5, "steps": [1.0, 2], "data": {"exact": 1.10}}}',
    )
    assert answer["data"]["point"] == "1.5 [1, 2] {'exact': Decimal('1.10')}"


async def test_one_number_is_a_list_of_one() -> None:
    answer = await execute(
        "query($p: Point!) { point(point: $p) }", '{"p": {"x": 1e0, "steps": 2.0}}'
    )
    assert answer["data"]["point"] == "1.0 [2] None"


async def test_json_comes_back_exactly() -> None:
    text = '{"a":[1.10,12345678901234567890,null,"ä\\u2028"],"b":{}}'
    answer = await execute("query($d: JSON!) { echo(data: $d) raw }", f'{{"d": {text}}}')
    assert answer["data"]["echo"] == json.loads(text, parse_float=Decimal)
    assert str(answer["data"]["echo"]["a"][0]) == "1.10"
    assert answer["data"]["raw"] == {"exactly": Decimal("1.0")}


async def test_a_scalars_refusal_keeps_its_words_and_code() -> None:
    with pytest.raises(RequestRefused) as failure:
        await execute("query($d: JSON!) { echo(data: $d) }", '{"d": "a\\u0000"}')
    error = failure.value.errors[0]
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert error["message"].startswith("data has a string with the character U+0000")


async def test_a_refusal_of_a_field_keeps_its_code_and_place() -> None:
    answer = await execute("{ forbidden hello }")
    assert answer == {
        "errors": [
            {
                "message": "the token does not grant this",
                "locations": [{"line": 1, "column": 3}],
                "path": ["forbidden"],
                "extensions": {"code": "FORBIDDEN"},
            }
        ],
        "data": {"forbidden": None, "hello": "hello world"},
    }


@pytest.mark.parametrize("field", ["broken", "wrong"])
async def test_our_own_mistakes_are_masked_and_logged(
    field: str, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await execute(f"{{ {field} }}")
    error = answer["errors"][0]
    assert error["extensions"]["code"] == "INTERNAL_SERVER_ERROR"
    assert error["message"].startswith("internal server error (id ")
    error_id = error["message"].removeprefix("internal server error (id ").removesuffix(")")
    assert error_id in caplog.text
    assert "SELECT" not in json.dumps(answer)
    assert "not a number" not in json.dumps(answer)


async def test_a_missing_variable_is_the_clients_mistake() -> None:
    with pytest.raises(RequestRefused) as failure:
        await execute("query($n: Int!) { count(number: $n) }")
    assert failure.value.errors[0]["extensions"]["code"] == "BAD_USER_INPUT"


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ('{"n": null}', "not to be null."),
        ('{"n": {"a": 1.5}}', "$n is an object; expected the type Int"),
    ],
)
async def test_errors_speak_of_json(variables: str, told: str) -> None:
    with pytest.raises(RequestRefused) as failure:
        await execute("query($n: Int!) { count(number: $n) }", variables)
    assert told in failure.value.errors[0]["message"]


async def test_a_fraction_is_no_string() -> None:
    with pytest.raises(RequestRefused) as failure:
        await execute("query($n: String!) { hello(name: $n) }", '{"n": 1.5}')
    assert failure.value.errors[0]["message"].endswith("non string value: 1.5")


async def test_a_null_where_a_default_was_meant_is_the_clients_mistake() -> None:
    answer = await execute("query($n: Int = 1) { count(number: $n) }", '{"n": null}')
    assert answer["data"] is None
    assert answer["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


async def test_a_subscription_never_begun_still_closes_its_source() -> None:
    sample = Sample()
    operation = sample.executor.prepare("subscription { items }")
    subscription = await sample.executor.subscribe(operation, {}, sample.context(VIEWER, True))
    assert sample.feed.joined == 1
    subscription.close()
    subscription.close()
    assert sample.feed.left == 1


async def test_a_subscription_gives_its_member_each_response_until_it_leaves() -> None:
    sample, member = Sample(), Recorded()
    operation = sample.executor.prepare("subscription { items }")
    subscription = await sample.executor.subscribe(operation, {}, sample.context(VIEWER, True))
    await sample.feed.publish(1)
    leave = await subscription.begin(member)
    await sample.feed.publish({"exact": Decimal("1.10")})
    leave()
    await sample.feed.publish(3)
    assert member.payloads == [b'{"data":{"items":1}}', b'{"data":{"items":{"exact":1.10}}}']


async def test_a_source_cannot_be_iterated() -> None:
    """graphql-core would take it for a stream of events of its own."""
    stream = Stream(Sample().feed)
    with pytest.raises(TypeError, match="not iterated"):
        stream.__aiter__()
