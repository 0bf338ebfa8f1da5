"""Loaded by schemathesis: what it puts where the schema wants an id, JSON or a time, and its check.

Its own check takes every code that it does not know for a server error.
"""

from http import HTTPStatus
from typing import Final

import schemathesis
from graphql import FloatValueNode, NameNode, ObjectFieldNode, ValueNode
from hypothesis import strategies as st
from hypothesis_graphql import nodes
from schemathesis import Case, CheckContext, Response

__all__ = ["no_server_error"]

_NAME: Final = st.from_regex(r"\A[_A-Za-z][_0-9A-Za-z]{0,8}\Z")
_TEXT: Final = st.one_of(st.text(max_size=20), st.sampled_from(["", "\0", "é", "\U0001f600"]))


def _object(fields: dict[str, ValueNode]) -> ValueNode:
    node: ValueNode = nodes.Object(
        [ObjectFieldNode(name=NameNode(value=name), value=value) for name, value in fields.items()]
    )
    return node


_leaf: Final = st.one_of(
    st.just(nodes.Null),
    st.booleans().map(nodes.Boolean),
    st.integers().map(nodes.Int),
    st.sampled_from([0, 2**31, 2**53 + 1, 10**400, -(10**401)]).map(nodes.Int),
    st.floats(allow_nan=False, allow_infinity=False).map(nodes.Float),
    st.sampled_from(["1e400", "1e-400", "-0.0", "1.10"]).map(
        lambda text: FloatValueNode(value=text)
    ),
    _TEXT.map(nodes.String),
)
_json: Final = st.recursive(
    _leaf,
    lambda inside: st.one_of(
        st.lists(inside, max_size=4).map(nodes.List),
        st.dictionaries(_NAME, inside, max_size=4).map(_object),
    ),
    max_leaves=20,
)
_ids: Final = st.one_of(
    # A few channels that are met again, so that there is something in them.
    st.sampled_from(["p", "w", "k"]),
    st.uuids().map(str),
    _TEXT,
)


def no_server_error(_context: CheckContext, response: Response, _case: Case) -> None:
    """Fail on a status of 500 or more, and on an error that was masked or has no code."""
    assert response.status_code < HTTPStatus.INTERNAL_SERVER_ERROR, response.status_code
    for error in response.json().get("errors", ()):
        code = error["extensions"]["code"]
        assert code != "INTERNAL_SERVER_ERROR", error["message"]


schemathesis.check(no_server_error)
schemathesis.graphql.scalar("JSON", _json)
schemathesis.graphql.scalar("ID", _ids.map(nodes.String))
schemathesis.graphql.scalar("Timestamp", st.integers(-1, 2**53).map(nodes.Int))
