"""Every GraphQL operation that a document shows, sent to a server as it stands."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import jwt
import pytest
from graphql import OperationDefinitionNode, parse, print_ast

from app.embedded.postgres import EmbeddedPostgres
from tests.acceptance.graphql_socket import GraphQLSocket
from tests.conftest import served_clone
from tests.documents.blocks import all_blocks, block
from tests.served import Served

pytestmark = pytest.mark.anyio

SECRET: Final = "a secret of more than thirty-two bytes"
DOCUMENTS: Final = sorted(
    {
        one.document
        for one in all_blocks()
        if one.language == "graphql" and "LIVE_SHOW" not in one.document
    }
)
PUBLISH: Final = """mutation ($widget: ID!, $data: JSON!) {
  publish(projectId: "demo", widgetId: $widget, data: $data) { id }
}"""


@pytest.fixture(scope="module")
def shared_service(postgres: EmbeddedPostgres, template_database: str) -> Iterator[Served]:
    """One that verifies the tokens of these tests; each document has a project of its own."""
    yield from served_clone(postgres, template_database, {"WIDGETWIRE_JWT_SECRET": SECRET})


def operations(document: str) -> list[tuple[str, str]]:
    """Return the kind and text of each operation of a document, in its order."""
    return [
        (node.operation.value, print_ast(node))
        for one in all_blocks()
        if one.document == document and one.language == "graphql"
        # Several without names stand beside each other.
        for text in re.split(r"\n(?=query|mutation|subscription|\{)", one.text)
        for node in parse(text).definitions
        if isinstance(node, OperationDefinitionNode)
    ]


@pytest.mark.parametrize("document", DOCUMENTS)
async def test_a_server_answers_each(document: str, shared_service: Served) -> None:
    """Queries and mutations without an error, subscriptions with a first response."""
    project = document.removeprefix("docs/").removesuffix(".md").lower()
    permissions = ["publish", "subscribe", "search", "moderate", "admin"]
    token = jwt.encode({"sub": "mia", "permissions": permissions}, SECRET, "HS256")
    async with GraphQLSocket(shared_service, {"authToken": token}) as socket:

        async def publish(widget: str, data: object) -> str:
            answer = await socket.execute(own(PUBLISH), widget=widget, data=data)
            return str(answer["id"])

        def own(text: str) -> str:
            return text.replace('"demo"', f'"{project}"')

        first = await publish("chat", {"text": "first"})
        await publish("poll", {"score": 70, "liked": True, "option": "a"})
        values: dict[str, Callable[[], Any]] = {
            "after": lambda: None,
            "before": lambda: first,
            "data": lambda: {"choice": "a"},
            "policy": lambda: json.loads(block("docs/ROOMS.md", "policy"))["policy"],
            "query": lambda: {"sortField": "created", "sortOrder": "ASC", "limit": 10},
            "token": lambda: token,
        }
        held = False
        for kind, text in operations(document):
            variables = {
                name: values[name]() for name in re.findall(r"\$(\w+): ", text.partition("{")[0])
            }
            if "heldMessages" in text and not held:
                held = True
                await socket.execute(
                    own(
                        """mutation { setChannelPolicy(projectId: "demo", widgetId: "questions",
                        policy: {hold: UNTIL_APPROVED}) { hold } }"""
                    )
                )
                await publish("questions", {"text": "waits"})
            if kind != "subscription":
                await socket.execute(own(text), **variables)
                continue
            subscription = await socket.subscribe(own(text), **variables)
            await publish("poll", {"choice": "a", "option": "b"})
            assert await subscription.next() is not None
