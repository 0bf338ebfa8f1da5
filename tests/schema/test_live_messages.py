"""Live queries while the database comes and goes."""

from typing import Any, cast

import pytest

from app.delivery.backends.memory import MemoryBackend
from app.delivery.bus import Bus
from app.delivery.hub import Hub
from app.domain.channel import Channel
from app.domain.json_value import decode_json
from app.domain.message import Head
from app.domain.query import MessageQuery
from app.domain.viewer import DEFAULT_PERMISSIONS, Viewer
from app.engine.execution import Executor
from app.errors import Unavailable
from app.schema import build_schema
from app.schema.context import Context, Services
from app.services.answers import Answers
from app.services.live.results import LiveResults
from app.storage.result_reads import Dated
from tests.delivery.recorded import Table
from tests.services.live.members import Recorded

pytestmark = pytest.mark.anyio


class AwayForAMoment:
    """Reads whose database is away for the first two; also who gives them out."""

    orders_by_code_point = True

    def __init__(self) -> None:
        self.reads = 0

    def search(self, *_who_and_where: object) -> "AwayForAMoment":
        return self

    async def count(self, _channel: Channel, _query: MessageQuery, head: Head) -> Dated[int]:
        self.reads += 1
        if self.reads <= 2:
            raise Unavailable("the database is not reachable now; retry later")
        return Dated(5, head.sequence)


class UncountedPresence:
    """Presence that nobody asks about here."""

    def join(self, channel: Channel) -> None: ...
    def leave(self, channel: Channel) -> None: ...


async def test_the_result_comes_when_the_database_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing changed meanwhile, so the watcher was left with the error for good."""
    monkeypatch.setattr("app.services.live.result_group._AGAIN_SECONDS", 0.01)
    table, member = Table(), Recorded()
    hub = Hub(Bus(MemoryBackend(), "process"), table)
    await hub.start()
    messages = cast("Any", AwayForAMoment())
    live = LiveResults(hub, table, messages, messages, 0.01)
    other: Any = None
    services = Services(
        messages,
        cast("Any", UncountedPresence()),
        live,
        Answers(table),
        policies=other,
        client_ids=other,
        deletion=other,
        channels=other,
        bans=other,
        held=other,
    )
    executor = Executor.of(build_schema())
    operation = executor.prepare(
        'subscription { liveMessages(projectId: "p", widgetId: "w") { totalCount } }'
    )
    context = Context(Viewer(None, DEFAULT_PERMISSIONS), services)
    subscription = await executor.subscribe(operation, {}, context)
    leave = await subscription.begin(member)
    # The second failure says nothing new, and is not told.
    await member.has_so_many(2)
    failed, found = (cast("Any", decode_json(payload)) for payload in member.payloads)
    assert failed["errors"][0]["extensions"]["code"] == "UNAVAILABLE"
    assert found == {"data": {"liveMessages": {"totalCount": 5}}}
    leave()
    await hub.stop()
