"""The page "Run a live show", call by call from its own text."""

import re
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import jwt
import pytest

from tests.acceptance.graphql_socket import GraphQLSocket, Refused
from tests.served import Served

pytestmark = pytest.mark.anyio

_SECRET = "a secret of more than thirty-two bytes"
_TEXT = (Path(__file__).parents[2] / "docs" / "LIVE_SHOW.md").read_text()
CALLS = dict(re.findall(r"^```graphql ([\w-]+)\n(.*?)^```", _TEXT, re.MULTILINE | re.DOTALL))


def _token(subject: str, *permissions: str) -> dict[str, str]:
    claims: dict[str, Any] = {"sub": subject, "projects": ["show"]}
    if permissions:
        claims["permissions"] = ["publish", "subscribe", "search", *permissions]
    return {"authToken": jwt.encode(claims, _SECRET, "HS256")}


async def test_the_show_goes_as_written(serve: Callable[..., Served]) -> None:
    served = serve(WIDGETWIRE_JWT_SECRET=_SECRET)
    async with AsyncExitStack() as sockets:

        async def came(*token: str) -> GraphQLSocket:
            socket = GraphQLSocket(served, _token(*token))
            return await sockets.enter_async_context(socket)

        mia, ann, troll = await came("mia", "moderate"), await came("ann"), await came("troll")
        owner = await came("owner", "admin")
        now = int(time.time() * 1000)

        async def said(socket: GraphQLSocket, text: str) -> dict[str, Any]:
            message = await socket.execute(
                """mutation ($data: JSON!) {
                  publish(projectId: "show", widgetId: "chat", data: $data) { id held }
                }""",
                data={"text": text},
            )
            return dict(message)

        with pytest.raises(Refused):
            await ann.execute(CALLS["prepare-chat"])
        await mia.execute(CALLS["prepare-poll"], opensAt=now - 1000, closesAt=now + 600_000)
        await mia.execute(CALLS["prepare-chat"])

        result = await ann.subscribe(CALLS["result"])
        assert await result.next() == {"totalCount": 0, "groups": []}
        first, second = [await ann.execute(CALLS["vote"]) for _ in range(2)]
        assert first["id"] != second["id"]
        forest = {"key": "forest", "count": 1}
        while await result.next() != {"totalCount": 1, "groups": [forest]}:
            pass
        with pytest.raises(Refused) as refused:
            await ann.execute(CALLS["vote"].replace("forest", "moon"))
        assert refused.value.code == "REJECTED"

        chat = await ann.subscribe(CALLS["chat"])
        assert await chat.next() == {"__typename": "CaughtUp", "upTo": None}
        rude = await said(troll, "you there")
        assert (await chat.next())["message"]["data"] == {"text": "you there"}
        with pytest.raises(Refused) as refused:
            await said(troll, "and again")
        assert refused.value.code == "RATE_LIMITED"
        with pytest.raises(Refused) as refused:
            await said(ann, "Shut up!")
        assert refused.value.code == "REJECTED"
        assert await mia.execute(CALLS["retract"], ids=[rude["id"]]) == 1
        assert (await chat.next())["ids"] == [rude["id"]]

        await mia.execute(CALLS["ban"], until=now + 600_000)
        with pytest.raises(Refused) as refused:
            await troll.execute(CALLS["vote"])
        assert refused.value.code == "FORBIDDEN"

        await mia.execute(CALLS["hold"])
        assert (await chat.next())["policy"]["hold"] == "UNTIL_APPROVED"
        held = await said(ann, "hello")
        assert held["held"]
        also = await said(mia, "not this one")
        waiting = await mia.execute(CALLS["held"])
        assert [message["id"] for message in waiting] == [held["id"], also["id"]]
        assert await mia.execute(CALLS["approve"], ids=[held["id"]]) == 1
        assert await mia.execute(CALLS["reject"], ids=[also["id"]]) == 1
        assert (await chat.next())["message"] == {
            "id": held["id"],
            "username": "ann",
            "data": {"text": "hello"},
        }

        overview = await mia.execute(CALLS["channels"])
        assert [(channel["widgetId"], channel["messages"]) for channel in overview] == [
            ("chat", 1),
            ("poll", 1),
        ]
        await mia.execute(CALLS["close"])
        with pytest.raises(Refused) as refused:
            await said(ann, "still there?")
        assert refused.value.code == "FORBIDDEN"
        assert (await mia.execute(CALLS["count"]))["groups"] == [forest]
        with pytest.raises(Refused):
            await mia.execute(CALLS["delete"])
        assert await owner.execute(CALLS["delete"]) == 1
