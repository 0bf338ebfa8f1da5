"""Events answered without the engine are what the engine would answer."""

from typing import Any

import pytest
from graphql import ExecutionResult, FieldNode, FragmentDefinitionNode, execute, parse

from app.domain.channel import Channel
from app.domain.entry import CaughtUp, Entry, PolicyChange, Retraction
from app.domain.json_value import decode_json
from app.domain.message import Message
from app.domain.policy import ChannelPolicy
from app.engine.event_projection import EventProjection
from app.engine.execution import encode_response
from app.schema import build_schema
from app.schema.events import channel_event

CHANNEL = Channel("p", "w")
MESSAGE = Message(CHANNEL, 1, "first", "client", 5, "Ann", b'{"n":1.50}', "sub:ann")
EVENTS: list[Entry | CaughtUp] = [
    MESSAGE,
    Message(CHANNEL, None, "second", "client", 5, None, b"null"),
    Retraction(CHANNEL, 2, "third", 6, ("first",), "why"),
    Retraction(CHANNEL, 2, "third", 6, ("first", "second")),
    CaughtUp("third"),
    CaughtUp(None),
]
FRAGMENTS = """
    fragment Said on MessagePublished { cursor message { ...Whole } }
    fragment Whole on Message { id held verified }
    fragment Gone on MessagesRetracted { ids reason }
    fragment Any on ChannelEvent { __typename ...Gone }
"""
SELECTIONS = [
    "__typename",
    "kind: __typename ... on MessagePublished { at: cursor message { id text: data } }",
    "... on MessagesRetracted { ids } ... on CaughtUp { cursor }",
    "...Said ...Any",
    "...Any ... on ChannelEvent { ... on MessagePublished { message { username } } }",
    "...Said ... on MessagePublished { message { clientId created persistent __typename } }",
    "... { __typename } ... on ChannelPolicyChanged { policy { hold } }",
]


def made(selection: str) -> tuple[str, FieldNode, dict[str, FragmentDefinitionNode]]:
    used = FRAGMENTS if "..." in selection else ""
    text = f'subscription {{ channelEvents(projectId: "p", widgetId: "w") {{ {selection} }} }}'
    document = parse(text + used)
    fragments = {
        node.name.value: node
        for node in document.definitions
        if isinstance(node, FragmentDefinitionNode)
    }
    root: Any = document.definitions[0]
    return text + used, root.selection_set.selections[0], fragments


def unexpected(_event: Any) -> Any:
    raise AssertionError("the engine was asked")


@pytest.mark.parametrize("selection", SELECTIONS)
def test_it_answers_what_the_engine_answers(selection: str) -> None:
    text, root, fragments = made(selection)
    projection = EventProjection.of(root, fragments)
    assert projection is not None
    respond = projection.or_by(unexpected)
    schema = build_schema()._schema
    for entry in EVENTS:
        event = channel_event(entry)
        result = execute(schema, parse(text), event)
        assert isinstance(result, ExecutionResult)
        assert not result.errors
        payload = respond(event)
        assert isinstance(payload, bytes)
        assert decode_json(payload) == decode_json(encode_response(result))


def test_a_new_policy_is_left_to_the_engine() -> None:
    _, root, fragments = made("__typename")
    projection = EventProjection.of(root, fragments)
    assert projection is not None
    changed = channel_event(PolicyChange(CHANNEL, ChannelPolicy().json()))
    assert projection.or_by(lambda _event: b"the engine")(changed) == b"the engine"


def test_directives_are_left_to_the_engine() -> None:
    for selection in (
        "__typename @skip(if: true)",
        "... on CaughtUp @include(if: true) { cursor }",
        "... on MessagePublished { message { id @skip(if: false) } }",
    ):
        _, root, fragments = made(selection)
        assert EventProjection.of(root, fragments) is None
