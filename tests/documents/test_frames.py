"""The examples of PROTOCOL.md: what the client sends is answered with what the document shows."""

import asyncio
import json
from collections.abc import Callable
from typing import Any, Final

import pytest
from websockets.asyncio.client import connect

from tests.documents.blocks import block
from tests.served import Served

pytestmark = pytest.mark.anyio

ANSWERS: Final = {"ack", "message", "activeConnections", "result"}
OPEN: Final = '{"type": "open", "client_token": "", "persistent": true}'


def is_answer(frame: dict[str, Any]) -> bool:
    """Whether the server sends such a frame: `open` and `retract` go both ways."""
    both = (frame["type"] == "open" and "connections" in frame) or (
        frame["type"] == "retract" and "id" in frame
    )
    return frame["type"] in ANSWERS or both


async def test_each_example_is_answered_as_shown(serve: Callable[..., Served]) -> None:
    """Type and fields are compared; ids and times differ."""
    served = serve()
    for name in ("publish", "search", "vote"):
        frames = [json.loads(line) for line in block("docs/PROTOCOL.md", name).splitlines()]
        async with connect(f"{served.ws_url}/c8/demo/{name}") as socket, asyncio.timeout(20):
            if frames[0]["type"] != "open":
                await socket.send(OPEN)
            if name == "search":
                likes = {"liked": True, "score": 60}, {"liked": False, "score": 56}
                for data in likes:
                    await socket.send(json.dumps({"type": "publish", "data": data}))
            if name == "vote":
                earlier = next(frame for frame in frames if frame["type"] == "publish")
                await socket.send(json.dumps(earlier | {"data": {"choice": "left"}}))
            for frame in frames:
                if not is_answer(frame):
                    await socket.send(json.dumps(frame))
            expected = [(frame["type"], frozenset(frame)) for frame in frames if is_answer(frame)]
            while expected:
                came = json.loads(await socket.recv())
                assert came["type"] != "error", came
                if (kind := (came["type"], frozenset(came))) in expected:
                    expected.remove(kind)
