"""The scope of an upgrade request, as the ASGI specification wants it."""

import pytest
from starlette.types import Scope

from app.wire.scope import websocket_scope

HTTP: Scope = {
    "type": "http",
    "asgi": {"version": "3.0", "spec_version": "2.3"},
    "scheme": "http",
    "server": ("127.0.0.1", 8000),
    "client": ("127.0.0.1", 50_000),
    "root_path": "",
    "headers": [(b"host", b"localhost")],
    "state": {"kept": True},
}


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"/graphql", "/graphql", b""),
        (b"/c8/a%20b/%C3%A9?x=1&y=%20", "/c8/a b/é", b"x=1&y=%20"),
        (b"/?a?b", "/", b"a?b"),
    ],
)
def test_the_target_is_taken_apart(target: bytes, path: str, query: bytes) -> None:
    scope = websocket_scope(HTTP, target, [], {})
    assert (scope["path"], scope["query_string"]) == (path, query)
    assert scope["raw_path"] == target.partition(b"?")[0]


def test_a_root_path_leads_both_paths() -> None:
    scope = websocket_scope({**HTTP, "root_path": "/live"}, b"/c8/%20", [], {})
    assert (scope["path"], scope["raw_path"]) == ("/live/c8/ ", b"/live/c8/%20")


@pytest.mark.parametrize(("scheme", "expected"), [("http", "ws"), ("https", "wss")])
def test_the_scheme_is_that_of_sockets(scheme: str, expected: str) -> None:
    assert websocket_scope({**HTTP, "scheme": scheme}, b"/", [], {})["scheme"] == expected


def test_the_rest_of_the_request_is_handed_on() -> None:
    scope = websocket_scope(HTTP, b"/", ["graphql-transport-ws", "graphql-ws"], {"ours": {}})
    assert scope["subprotocols"] == ["graphql-transport-ws", "graphql-ws"]
    assert scope["extensions"] == {"ours": {}}
    for name in ("server", "client", "headers", "state"):
        assert scope[name] == HTTP[name]
