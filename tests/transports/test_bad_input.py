"""One table of bad input: a line for each mistake, a column for each transport.

What one transport refuses, every other one refuses alike: the code, the status or the close code,
the words. Nothing is stored by it and the log stays silent. Here: operations. What is no request:
`test_bad_requests`; what is no frame, and the calls of widgets: `test_bad_frames`.
"""

import json
from typing import Any, Final

import httpx
import jwt
import pytest
from websockets.asyncio.client import connect

from tests.transports import bad_rooms
from tests.transports.bad_requests import SUBSCRIPTIONS, WELL_FORMED, BadRequest
from tests.transports.refusing import BAD, SECRET, Service, named, wrong_words
from tests.transports.ways import (
    STREAMS,
    WAYS,
    Answer,
    Way,
    get,
    legacy_graphql_socket,
    next_frame,
    strict_post,
    transport_socket,
)

_SOCKETS: Final = (transport_socket, legacy_graphql_socket)
_LONGEST_HEAD: Final = 60_000
"""Of a GET: the head of a request has a bound of its own, 64 KiB; `tests.wire.test_http`."""
_UNREAD: Final = {"500 levels of objects"}
"""Operations beyond the bounds of JSON: over HTTP no request at all, on a socket one of many."""

# Operations: valid JSON with a GraphQL request in it.

OPERATIONS: Final = [*WELL_FORMED, *bad_rooms.QUERIES, *bad_rooms.MUTATIONS]
LISTENING: Final = [*SUBSCRIPTIONS, *bad_rooms.SUBSCRIPTIONS]


def _is_mutation(bad: BadRequest) -> bool:
    """Return whether it is one, as far as a reader of its document finds out."""
    if bad.code.startswith("GRAPHQL") or bad.name in _UNREAD:
        return False
    return str(json.loads(bad.payload)["query"]).strip().startswith("mutation")


def _expected(way: Way, bad: BadRequest, answer: Answer) -> str | None:
    """Return what is wrong with the answer; None: it is as the documents promise."""
    if way is get and _is_mutation(bad):
        told = answer.status, answer.codes
        return None if told == (405, [BAD]) else f"{told} for a mutation by GET"
    if answer.codes != [bad.code]:
        return f"codes {answer.codes}"
    status = {True: 101, False: 200}[way in _SOCKETS]
    if way not in _SOCKETS and (
        bad.name in _UNREAD or (way is strict_post and not answer.executed)
    ):
        status = 400
    if answer.status != status:
        return f"status {answer.status}"
    return wrong_words(answer.errors[0]["message"], bad.says)


async def _refused(http: httpx.AsyncClient, way: Way, table: list[BadRequest]) -> list[str]:
    wrong = []
    for bad in table:
        if way is get and len(bad.payload) > _LONGEST_HEAD:
            continue
        answer = await way(http, bad.payload.encode("utf-8", "surrogatepass"))
        problem = _expected(way, bad, answer)
        if problem is not None:
            wrong.append(f"{bad.name}: {problem}")
    return wrong


@named(WAYS)
def test_an_operation_that_is_wrong(service: Service, way: Way) -> None:
    assert service.run(_refused(service.http, way, OPERATIONS)) == []


@named(STREAMS)
def test_a_subscription_that_is_wrong(service: Service, way: Way) -> None:
    assert service.run(_refused(service.http, way, LISTENING)) == []


# Operations that the state of the channel does not allow. Whoever asks is a user like others.

CHANNELS: Final[dict[str, tuple[dict[str, Any], dict[str, Any], str, str]]] = {
    # The channel's policy, what is published besides data, the code, the words.
    "closed": ({"closesAt": 1}, {}, "REJECTED", "closed"),
    "not yet open": ({"opensAt": 4_102_444_800_000}, {}, "REJECTED", "open"),
    "for nobody": ({"writers": "NOBODY"}, {}, "FORBIDDEN", "nobody"),
    "a blocked word": ({"blockedWords": ["Wörd"]}, {"data": "a WORD!"}, "REJECTED", "word"),
    "a schema": ({"dataSchema": {"type": "string"}}, {"data": 7}, "REJECTED", "string"),
    "a spent key": ({}, {"id": "spent", "onRepeat": "REPLACE"}, "REJECTED", "moderator"),
}
_CLAIMS: Final = {"sub": "user", "username": "User"}


def _channel(name: str) -> str:
    return name.replace(" ", "-")


@pytest.fixture(scope="module")
def channels(service: Service) -> dict[str, str]:
    """Make them, and return what each transport needs to know: ids, and the user's token."""
    user = jwt.encode(_CLAIMS, SECRET, "HS256")

    async def asked(document: str, token: str | None = None, **variables: Any) -> Any:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        answer = await service.http.post(
            "/graphql", json={"query": document, "variables": variables}, headers=headers
        )
        assert "errors" not in answer.json(), answer.text
        return answer.json()["data"]

    async def made() -> dict[str, str]:
        document = (
            "mutation ($w: ID!, $p: ChannelPolicyInput!) "
            '{ setChannelPolicy(projectId: "p", widgetId: $w, policy: $p) { writers } }'
        )
        for name, (policy, *_) in CHANNELS.items():
            await asked(document, w=_channel(name), p=policy)
        publish = (
            "mutation ($k: ID) "
            '{ publish(projectId: "p", widgetId: "a-spent-key", data: 1, id: $k) { id } }'
        )
        spent = (await asked(publish, user, k="spent"))["publish"]["id"]
        retract = (
            'mutation ($i: [ID!]!) { retract(projectId: "p", widgetId: "a-spent-key", ids: $i) }'
        )
        await asked(retract, i=[spent])
        foreign = (await asked(publish))["publish"]["id"]
        return {"user": user, "foreign": foreign}

    result: dict[str, str] = service.run(made())
    return result


def _refused_calls(channels: dict[str, str]) -> list[tuple[str, str, dict[str, Any], str, str]]:
    """Return for each call its name, its channel, its variables, its code and its words."""
    calls = [
        (name, _channel(name), {"data": 1} | given, code, says)
        for name, (_, given, code, says) in CHANNELS.items()
    ]
    foreign = {"ids": [channels["foreign"]]}
    return [*calls, ("another's", "a-spent-key", foreign, "FORBIDDEN", "somebody else")]


@named(tuple(way for way in WAYS if way is not get))
def test_what_a_channel_does_not_allow(
    service: Service, channels: dict[str, str], way: Way
) -> None:
    publish = (
        "mutation ($widget: ID!, $data: JSON!, $id: ID, $onRepeat: OnRepeat! = KEEP) { "
        'publish(projectId: "p", widgetId: $widget, data: $data, id: $id, onRepeat: $onRepeat)'
        " { id } }"
    )
    retract = (
        "mutation ($widget: ID!, $ids: [ID!]!) "
        '{ retract(projectId: "p", widgetId: $widget, ids: $ids) }'
    )

    async def wrong() -> list[str]:
        found = []
        headers = {"authorization": f"Bearer {channels['user']}"}
        async with httpx.AsyncClient(base_url=service.http.base_url, headers=headers) as user:
            for name, widget, variables, code, says in _refused_calls(channels):
                document = retract if "ids" in variables else publish
                request = {"query": document, "variables": {"widget": widget} | variables}
                answer = await way(user, json.dumps(request).encode())
                message = answer.errors[0]["message"] if answer.errors else ""
                if (answer.codes, answer.data) != ([code], None) or wrong_words(message, (says,)):
                    found.append(f"{name}: {answer}")
        return found

    assert service.run(wrong()) == []


def test_what_a_channel_does_not_allow_a_widget(service: Service, channels: dict[str, str]) -> None:
    async def wrong() -> list[str]:
        found = []
        for name, widget, fields, code, says in _refused_calls(channels):
            call = {"type": "retract" if "ids" in fields else "publish", "ref": 1} | fields
            if "onRepeat" in call:
                call["on_repeat"] = call.pop("onRepeat")
            async with connect(f"ws://{service.host}/c8/p/{widget}") as socket:
                opening = {"type": "open", "token": channels["user"], "persistent": True}
                await socket.send(json.dumps(opening))
                await socket.send(json.dumps(call))
                while (frame := await next_frame(socket))["type"] not in {"error", "ack"}:
                    pass
                if frame.get("code") != code or wrong_words(frame["message"], (says,)):
                    found.append(f"{name}: {frame}")
        return found

    assert service.run(wrong()) == []
