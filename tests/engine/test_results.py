"""Which selections of a result are answered without the engine; `test_asking` compares them."""

from typing import cast

import pytest
from graphql import FieldNode, FragmentDefinitionNode, OperationDefinitionNode, parse

from app.domain.query import FieldPath, MessageQuery
from app.engine.results import ResultProjection
from app.errors import BadUserInput
from app.schema.search_scope import SearchScope
from tests.engine.known_search import CHANNEL, Known

pytestmark = pytest.mark.anyio


def projection(selection: str) -> ResultProjection | None:
    first, *fragments = parse(f"{{ found: messages {{ {selection} }} }}").definitions
    root = cast("OperationDefinitionNode", first).selection_set.selections[0]
    by_name = {one.name.value: one for one in cast("list[FragmentDefinitionNode]", fragments)}
    return ResultProjection.of(cast("FieldNode", root), by_name)


async def test_a_result_is_one_text() -> None:
    result = projection('totalCount m: messages { id } aggregate(field: "data.a") { max }')
    assert result is not None
    inner = result.inner({})
    assert inner == {"aggregate": FieldPath("data", ("a",))}
    scope = SearchScope(Known(), CHANNEL, MessageQuery())
    assert await result(scope, inner) == (
        b'{"data":{"found":{"totalCount":7,"m":[{"id":"id 1"},{"id":"id 2"}],'
        b'"aggregate":{"max":1.50}}}}'
    )


@pytest.mark.parametrize(
    "selection",
    [
        "nonsense",
        "messages { nonsense }",
        "groups { nonsense }",
        "pageInfo { nonsense }",
        'aggregate(field: "data.a") { nonsense }',
        "messages @include(if: true) { id }",
        "messages { id @include(if: true) }",
        "groups { messages { id @include(if: true) } }",
        "groups { messages(limit: 12345678901234567890) { id } }",
    ],
)
def test_what_only_the_engine_knows_is_left_to_it(selection: str) -> None:
    assert projection(selection) is None


def test_a_wrong_argument_inside_is_told() -> None:
    result = projection("groups { messages(limit: $n) { id } }")
    assert result is not None
    assert result.inner({}) == {"groups.messages": 10}
    for wrong in (None, -1, "5"):
        with pytest.raises(BadUserInput, match="limit"):
            result.inner({"n": wrong})
