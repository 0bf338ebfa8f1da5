"""The short ways answer exactly as the engine does; only faster."""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.delivery.members import Member
from app.domain.channel import Channel
from app.domain.json_value import checked_data, decode_json, encode_json
from app.domain.message import Message, OnRepeat
from app.domain.query import Filter
from app.domain.viewer import DEFAULT_PERMISSIONS, Permission, Viewer
from app.engine.direct import Resolvers
from app.engine.documents import Documents
from app.engine.errors import RequestRefused
from app.engine.execution import Executor, _engine
from app.engine.projection import Projection
from app.errors import Unavailable, UnknownCursor
from app.peer import UNKNOWN_PEER, Peer
from app.schema import build_schema
from app.schema.context import Context, Services
from app.schema.operations import answer, publish, search, searched, subscribe
from app.services.live.source import Respond, Source
from app.services.messages import MessageService
from app.services.presence import PresenceService
from app.services.shadow import Echo
from tests.services.live.members import Recorded

pytestmark = pytest.mark.anyio

SCHEMA = build_schema()
VIEWER = Viewer("ann", DEFAULT_PERMISSIONS)


class KnownMessages:
    """Publishes what it is given, with an id and a time that are always the same."""

    async def publish(
        self,
        viewer: Viewer,
        channel: Channel,
        data: object,
        *,
        client_id: str | None = None,
        persistent: bool = True,
        idempotency_key: str | None = None,
        on_repeat: OnRepeat = OnRepeat.KEEP,  # noqa: ARG002  as the service has it
        echo: Echo | None = None,  # noqa: ARG002
        peer: Peer = UNKNOWN_PEER,  # noqa: ARG002
    ) -> Message:
        viewer.require(Permission.PUBLISH, channel)
        if idempotency_key == "away":
            raise Unavailable("the database is not reachable now; retry later")
        if idempotency_key == "broken":
            raise ZeroDivisionError
        return Message(
            channel=channel,
            sequence=7 if persistent else None,
            id="0190163d-8694-739b-aea5-966c26f8ad91",
            client_id=client_id or "made up",
            created=1_700_000_000_000,
            username=viewer.username,
            data_json=checked_data(data, 65_536),
        )

    async def subscribe(
        self,
        viewer: Viewer,
        channel: Channel,
        filters: Sequence[Filter] = (),
        *,
        after: str | None = None,
        last: int | None = None,
        on_closed: Callable[[], None],  # noqa: ARG002
    ) -> "KnownSubscription":
        viewer.require(Permission.SUBSCRIBE, channel)
        if after == "unknown":
            raise UnknownCursor("after is 'unknown'")
        if after == "broken":
            raise ZeroDivisionError
        return KnownSubscription([channel, list(filters), after, last])


class KnownSubscription(Source):
    """Gives what was asked for."""

    def __init__(self, asked_for: list[object]) -> None:
        self.asked_for = asked_for

    async def begin(self, _key: Hashable, respond: Respond, member: Member) -> Callable[[], None]:
        data = checked_data(repr(self.asked_for), 999)
        payload = respond(Message(Channel("p", "w"), 1, "an id", "client", 5, None, data))
        assert isinstance(payload, bytes)
        member.receive((payload,))
        return self.close

    def close(self) -> None: ...


class UncountedPresence:
    """Presence that nobody asks about here."""

    def join(self, channel: Channel) -> None: ...
    def leave(self, channel: Channel) -> None: ...


def context(viewer: Viewer = VIEWER) -> Context:
    other: Any = None
    services = Services(
        cast("MessageService", KnownMessages()),
        cast("PresenceService", UncountedPresence()),
        other,
        other,
        policies=other,
        client_ids=other,
        deletion=other,
        channels=other,
        bans=other,
        held=other,
    )
    return Context(viewer, services)


ENGINE = Executor.of(SCHEMA)
RESOLVERS = Resolvers(publish, subscribe, search, answer, searched)
DIRECT = Executor.of(SCHEMA, resolvers=RESOLVERS)

PLAIN = (
    "mutation P($p: ID!, $w: ID!, $d: JSON!, $c: ID, $k: ID, $s: Boolean!) "
    "{ sent: publish(projectId: $p, widgetId: $w, data: $d, clientId: $c, id: $k, persistent: $s) "
    "{ id clientId created data username persistent kind: __typename } }"
)
CONSTANTS = (
    'mutation ($d: JSON!) { publish(projectId: "p", widgetId: "w", data: $d, persistent: false) '
    "{ id persistent } }"
)


def values(**changes: object) -> dict[str, object]:
    return {"p": "p", "w": "w", "d": {"score": Decimal("1.50")}, "s": True, **changes}


def without_error_ids(payload: bytes) -> object:
    response = cast("dict[str, Any]", decode_json(payload))
    for error in response.get("errors", ()):
        if error["message"].startswith("internal server error"):
            error["message"] = "internal server error"
    return response


@pytest.mark.parametrize(
    ("document", "variables"),
    [
        (PLAIN, values()),
        (PLAIN, values(d=None)),
        (PLAIN, values(d="\0")),
        (PLAIN, values(d=[1, [2, {"a": None}]])),
        (PLAIN, values(c="widget 1", k="key")),
        (PLAIN, values(c=None, k=None)),
        (PLAIN, values(s=False)),
        (PLAIN, values(s=None)),
        (PLAIN, values(s="yes")),
        (PLAIN, values(p="no/slash")),
        (PLAIN, values(p=5)),
        (PLAIN, values(p=True)),
        (PLAIN, values(p=None)),
        (PLAIN, {"w": "w", "d": 1, "s": True}),
        (PLAIN, values(k="away")),
        (PLAIN, values(k="broken")),
        (PLAIN, values(extra="is ignored")),
        (CONSTANTS, {"d": "text"}),
        (CONSTANTS, {}),
        ('mutation { publish(projectId: "p", widgetId: "w", data: {a: 1}) { id data } }', {}),
        ('mutation { publish(projectId: "p", widgetId: "w", data: "a") { id data } }', {}),
        ('mutation { publish(projectId: "p", widgetId: "w", data: -12) { id data } }', {}),
        (
            'mutation { publish(projectId: "p", widgetId: "w", data: %s) { data } }' % ("9" * 5000),
            {},
        ),
        ('mutation { publish(projectId: "p", widgetId: "w", data: 1.50) { id data } }', {}),
        ('mutation { publish(projectId: "p", widgetId: "w", data: null) { id data } }', {}),
        (
            'mutation ($d: JSON! = 5) { publish(projectId: "p", widgetId: "w", data: $d) { id } }',
            {},
        ),
        (
            'mutation ($d: JSON!, $x: Boolean!) { publish(projectId: "p", widgetId: "w", data: $d) '
            "{ id data @include(if: $x) } }",
            {"d": 1, "x": False},
        ),
        (
            'mutation ($d: JSON!) { publish(projectId: "p", widgetId: "w", data: $d) { ...F } } '
            "fragment F on Message { id data }",
            {"d": 1},
        ),
        (
            'mutation ($d: JSON!) { a: publish(projectId: "p", widgetId: "w", data: $d) { id } '
            'b: publish(projectId: "p", widgetId: "w", data: $d) { id } }',
            {"d": 1},
        ),
    ],
)
async def test_the_direct_way_answers_as_the_engine_does(
    document: str, variables: Mapping[str, Any]
) -> None:
    answers = [await answered(executor, document, variables) for executor in (ENGINE, DIRECT)]

    assert answers[0] == answers[1]


async def answered(executor: Executor, document: str, variables: Mapping[str, Any]) -> object:
    try:
        operation = executor.prepare(document)
        return without_error_ids(await executor.execute(operation, variables, context()))
    except RequestRefused as refused:
        return refused.errors


RESUMING = (
    "subscription S($p: ID!, $w: ID!, $after: ID, $last: Int) "
    "{ said: messages(projectId: $p, widgetId: $w, after: $after, last: $last) { id data } }"
)
FILTERED = (
    "subscription ($f: [MessageFilter!]!) "
    '{ messages(projectId: "p", widgetId: "w", filters: $f) { data } }'
)


def place(**changes: object) -> dict[str, object]:
    return {"p": "p", "w": "w", **changes}


@pytest.mark.parametrize(
    ("document", "variables"),
    [
        (RESUMING, place()),
        (RESUMING, place(after="x", last=5)),
        (RESUMING, place(after=None, last=None)),
        (RESUMING, place(after=7)),
        (RESUMING, place(last=True)),
        (RESUMING, place(last="5")),
        (RESUMING, place(last=Decimal("5.0"))),
        (RESUMING, place(last=2**31)),
        (RESUMING, place(last=-(2**31))),
        (RESUMING, place(p=5)),
        (RESUMING, place(p=None)),
        (RESUMING, place(w="no/slash")),
        (RESUMING, {"p": "p"}),
        (RESUMING, place(after="unknown")),
        (RESUMING, place(after="broken")),
        ('subscription { messages(projectId: "p", widgetId: "w", last: 3) { data } }', {}),
        ('subscription { messages(projectId: "p", widgetId: "w", last: 3000000000) { id } }', {}),
        ('subscription { messages(projectId: "p", widgetId: "w", last: null) { data } }', {}),
        ('subscription { messages(projectId: "p", widgetId: 5) { data } }', {}),
        (FILTERED, {"f": []}),
        (FILTERED, {"f": [{"field": "data.to", "operator": "EQ", "value": "ann"}]}),
        (FILTERED, {"f": [{"field": "nonsense", "operator": "EQ", "value": 1}]}),
    ],
)
async def test_a_direct_subscription_begins_as_the_engine_s_does(
    document: str, variables: Mapping[str, Any]
) -> None:
    answers = [await first(executor, document, variables) for executor in (ENGINE, DIRECT)]

    assert answers[0] == answers[1]


async def first(executor: Executor, document: str, variables: Mapping[str, Any]) -> object:
    """The first response, which tells what was asked for, or the refusal."""
    try:
        operation = executor.prepare(document)
        subscription = await executor.subscribe(operation, variables, context())
    except RequestRefused as refused:
        return without_error_ids(encode_json({"errors": refused.errors}))
    member = Recorded()
    await subscription.begin(member)
    return member.payloads


async def test_a_viewer_without_the_right_is_refused_in_the_same_words() -> None:
    reader = Viewer("bob", frozenset({Permission.SEARCH}))
    answers = []
    for executor in (ENGINE, DIRECT):
        operation = executor.prepare(PLAIN)
        answers.append(await executor.execute(operation, values(), context(reader)))

    assert answers[0] == answers[1]
    assert b"FORBIDDEN" in answers[0]


def test_what_clients_send_takes_the_direct_way() -> None:
    documents = Documents(SCHEMA)
    for document in (PLAIN, CONSTANTS):
        assert documents.document(document).operation().direct is not None
    assert documents.document(RESUMING).operation().direct is not None
    assert documents.document(FILTERED).operation().direct is None


def selections() -> Iterator[str]:
    fields = ("id", "clientId", "created", "data", "username", "persistent", "__typename")
    yield from fields
    yield " ".join(fields)
    yield "a: id b: id data again: data"


@pytest.mark.parametrize("selection", list(selections()))
@pytest.mark.parametrize("username", [None, 'Zoë "🎬"'])
async def test_a_projection_is_what_the_engine_makes_of_a_message(
    selection: str, username: str | None
) -> None:
    operation = ENGINE.prepare(
        f'subscription {{ m: messages(projectId: "p", widgetId: "w") {{ {selection} }} }}'
    )
    message = Message(
        Channel("p", "w"), 3, "an id", "client", 5, username, b'{"n":1.50,"t":"\\u00e9"}'
    )
    root = cast("Any", operation.definition.selection_set.selections[0])
    projection = Projection.of(root)
    assert projection is not None
    engine = _engine(ENGINE._executor(operation, {}, context()))

    assert projection(message) == engine(message)


@given(st.lists(st.sampled_from(["id", "x: created", "data", "y: __typename"]), min_size=1))
def test_a_projection_takes_any_list_of_fields(fields: list[str]) -> None:
    operation = ENGINE.prepare(
        f'subscription {{ messages(projectId: "p", widgetId: "w") {{ {" ".join(fields)} }} }}'
    )
    message = Message(Channel("p", "w"), None, "an id", "client", 5, None, b"[]")
    root = cast("Any", operation.definition.selection_set.selections[0])
    projection = Projection.of(root)
    assert projection is not None
    engine = _engine(ENGINE._executor(operation, {}, context()))

    assert projection(message) == engine(message)
