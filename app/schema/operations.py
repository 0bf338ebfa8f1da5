"""The root fields: arguments in, services called, results out."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, TypeAlias, cast

import strawberry
from strawberry import UNSET

from app.domain.channel import Channel, parse_channel
from app.domain.message import Message, OnRepeat
from app.domain.query import Filter, MessageQuery, parse_filters, parse_query
from app.domain.viewer import Permission
from app.schema.arguments import ProjectId, WidgetId, given
from app.schema.bans import BanMutations, BanQueries
from app.schema.channels import ChannelQueries
from app.schema.context import Context
from app.schema.deletion import DeletionMutations
from app.schema.events import ChannelEvent, channel_event
from app.schema.held import HeldMutations, HeldQueries, HeldSubscriptions
from app.schema.inputs import (
    MessageFilterInput,
    MessageQueryInput,
    OnRepeatInput,
    wire_filters,
    wire_query,
)
from app.schema.policies import PolicyMutations, PolicyQueries
from app.schema.scalars import JSON
from app.schema.search_scope import SearchScope
from app.schema.types import (
    ConnectionCountType,
    Info,
    MessageResultType,
    MessageType,
)
from app.schema.viewers import ViewerMutations, ViewerQueries
from app.services.live.source import Source
from app.services.searching import Searching

__all__ = [
    "Mutation",
    "Query",
    "Subscription",
    "answer",
    "publish",
    "search",
    "searched",
    "subscribe",
]

QueryArgument: TypeAlias = Annotated[
    MessageQueryInput, strawberry.argument(description="Filters, order and page.")
]

_EVERYTHING = cast("MessageQueryInput", {})
"""The default in GraphQL's own form: Strawberry makes the input of it."""


@strawberry.type(description="Queries: messages, counts, moderation.")
class Query(BanQueries, ChannelQueries, HeldQueries, PolicyQueries, ViewerQueries):
    """Root of queries."""

    @strawberry.field(description="Search and group the stored messages of a channel.")
    def messages(
        self,
        info: Info,
        project_id: ProjectId,
        widget_id: WidgetId,
        query: QueryArgument = _EVERYTHING,
    ) -> MessageResultType:
        channel = parse_channel(project_id, widget_id)
        context = info.context
        parsed = parse_query(wire_query(query))
        return MessageResultType(scope=search(context, channel, parsed))

    @strawberry.field(description="The number of clients connected to a channel now.")
    async def connection_count(
        self, info: Info, project_id: ProjectId, widget_id: WidgetId
    ) -> ConnectionCountType:
        channel = parse_channel(project_id, widget_id)
        count = await info.context.services.presence.count(info.context.viewer, channel)
        return _connection_count(channel, count)


@strawberry.type(description="Mutations: publish, retract, moderate.")
class Mutation(BanMutations, DeletionMutations, HeldMutations, PolicyMutations, ViewerMutations):
    """Root of mutations."""

    @strawberry.mutation(
        description="Publish a message to a channel. Returns after the message is committed to "
        "the database, or with persistent: false as soon as it is sent."
    )
    async def publish(
        self,
        info: Info,
        project_id: ProjectId,
        widget_id: WidgetId,
        data: Annotated[
            JSON,
            strawberry.argument(
                description="Any JSON value of at most 64 KiB and 64 levels of depth."
            ),
        ],
        client_id: Annotated[
            strawberry.ID | None,
            strawberry.argument(
                description="The widget instance: 1 to 128 printable characters; null: your "
                "signed client id, or a new one."
            ),
        ] = UNSET,
        persistent: Annotated[
            bool,
            strawberry.argument(
                description="false: deliver to connected clients only and do not store."
            ),
        ] = True,
        id: Annotated[  # noqa: A002  the contract's name
            strawberry.ID | None,
            strawberry.argument(
                description="Idempotency key, 1 to 128 printable characters. If the same "
                "publisher sends it again in this channel, the first message is "
                "returned and nothing is published. The publisher is the token's "
                "sub, else the signed client id, else the clientId."
            ),
        ] = UNSET,
        on_repeat: Annotated[
            OnRepeatInput,
            strawberry.argument(
                description="REPLACE: retract the publisher's earlier message with the same id "
                "and store this one, in one transaction. Use it for votes that can "
                "be changed."
            ),
        ] = OnRepeatInput.KEEP,
    ) -> MessageType:
        arguments = {
            "projectId": project_id,
            "widgetId": widget_id,
            "data": data,
            "clientId": given(client_id),
            "persistent": persistent,
            "id": given(id),
            "onRepeat": on_repeat.value,
        }
        return cast("MessageType", await publish(info.context, arguments))

    @strawberry.mutation(
        description="Retract messages: your own if you published them with a token or a signed "
        "client id, any message with the permission moderate. Returns how many "
        "were retracted; unknown and already retracted ids are ignored."
    )
    async def retract(
        self,
        info: Info,
        project_id: ProjectId,
        widget_id: WidgetId,
        ids: Annotated[
            list[strawberry.ID],
            strawberry.argument(description="The ids of 1 to 1000 messages."),
        ],
        reason: Annotated[
            str | None,
            strawberry.argument(
                description="Sent to channelEvents subscribers: at most 500 characters."
            ),
        ] = UNSET,
    ) -> int:
        channel = parse_channel(project_id, widget_id)
        context = info.context
        return await context.services.messages.retract(
            context.viewer, channel, ids, given(reason), context.rights.echo, context.peer
        )


@strawberry.type(description="Subscriptions: live messages, results and counts.")
class Subscription(HeldSubscriptions):
    """Root of subscriptions.

    Each resolver returns its source once it has joined the channel: what is published after
    that, on this connection or another, reaches it.
    """

    @strawberry.subscription(
        description="The messages of a channel as they are published. With after or last, "
        "stored messages come first, without gaps or repeats."
    )
    async def messages(
        self,
        info: Info,
        project_id: ProjectId,
        widget_id: WidgetId,
        filters: Annotated[
            list[MessageFilterInput],
            strawberry.argument(description="Only messages that match all filters are sent."),
        ] = [],  # noqa: B006  GraphQL's default; never changed
        after: Annotated[
            strawberry.ID | None,
            strawberry.argument(
                description="The id of the last message you received: resume after it."
            ),
        ] = UNSET,
        last: Annotated[
            int | None,
            strawberry.argument(
                description="Send this many of the newest stored messages first, 0 to 1000."
            ),
        ] = UNSET,
    ) -> AsyncGenerator[MessageType, None]:
        arguments = {
            "projectId": project_id,
            "widgetId": widget_id,
            "after": given(after),
            "last": given(last),
        }
        stream = await subscribe(info.context, arguments, parse_filters(wire_filters(filters)))
        return cast("AsyncGenerator[MessageType, None]", stream)

    @strawberry.subscription(
        description="All events of a channel in order: messages, retractions, policy changes, "
        "and CaughtUp once all stored messages have been sent. Resume after any "
        "cursor."
    )
    async def channel_events(
        self,
        info: Info,
        project_id: ProjectId,
        widget_id: WidgetId,
        filters: Annotated[
            list[MessageFilterInput],
            strawberry.argument(
                description="Only messages that match all filters are sent. Other events are "
                "always sent."
            ),
        ] = [],  # noqa: B006  GraphQL's default; never changed
        after: Annotated[
            strawberry.ID | None,
            strawberry.argument(
                description="The cursor of the last event you received: resume after it."
            ),
        ] = UNSET,
        last: Annotated[
            int | None,
            strawberry.argument(
                description="Send this many of the newest stored messages first, 0 to 1000."
            ),
        ] = UNSET,
    ) -> AsyncGenerator[ChannelEvent, None]:
        arguments = {
            "projectId": project_id,
            "widgetId": widget_id,
            "after": given(after),
            "last": given(last),
        }
        parsed = parse_filters(wire_filters(filters))
        stream = await subscribe(info.context, arguments, parsed, events=True)
        return cast("AsyncGenerator[ChannelEvent, None]", stream)

    @strawberry.subscription(
        description="The result of the messages query now, and again whenever it changes, at "
        "most every 250 ms."
    )
    async def live_messages(
        self,
        info: Info,
        project_id: ProjectId,
        widget_id: WidgetId,
        query: QueryArgument = _EVERYTHING,
    ) -> AsyncGenerator[MessageResultType, None]:
        context = info.context
        channel = parse_channel(project_id, widget_id)
        parsed = parse_query(wire_query(query))
        search = _searching(context, channel)
        if parsed.after is not None or parsed.before is not None:
            # Refused now rather than told in each result.
            await search.check_cursors(channel, parsed)
        ending = _Ending()
        try:
            ending.calls.append(context.connection.enter(channel))
            filters, give_back = context.filters.open(parsed.filters, "query.filters")
            ending.calls.append(give_back)
            # Equal filters are held once.
            parsed = replace(parsed, filters=filters.filters)
            read = partial(_result, channel, parsed)
            source = context.services.live_results.subscribe(
                context.viewer, channel, parsed, filters, read, on_closed=ending
            )
        except BaseException:
            ending()
            raise
        needed = (Permission.SUBSCRIBE, Permission.SEARCH)
        guarded = context.rights.guarded(channel, source, needed)
        return cast("AsyncGenerator[MessageResultType, None]", guarded)

    @strawberry.subscription(
        description="The number of connected clients now, then each change, at most four "
        "updates a second. The last value is always sent."
    )
    async def connection_count(
        self, info: Info, project_id: ProjectId, widget_id: WidgetId
    ) -> AsyncGenerator[ConnectionCountType, None]:
        channel = parse_channel(project_id, widget_id)
        context = info.context
        source = await context.services.presence.watch(
            context.viewer, channel, partial(_connection_count, channel)
        )
        guarded = context.rights.guarded(channel, source)
        return cast("AsyncGenerator[ConnectionCountType, None]", guarded)


async def publish(context: Context, arguments: Mapping[str, Any]) -> Message:
    """Publish one message: what the mutation does, for whoever has its arguments.

    Args:
        context: who publishes.
        arguments: by their names in the schema, of their types; optional ones may be left out.
    """
    return await context.services.messages.publish(
        context.viewer,
        parse_channel(arguments["projectId"], arguments["widgetId"]),
        arguments["data"],
        client_id=arguments.get("clientId"),
        persistent=arguments.get("persistent", True),
        idempotency_key=arguments.get("id"),
        echo=context.rights.echo,
        peer=context.peer,
        # Not `OnRepeat(…)`: looking up a member takes a microsecond, with each publish.
        on_repeat=OnRepeat.REPLACE if arguments.get("onRepeat") == "REPLACE" else OnRepeat.KEEP,
    )


async def subscribe(
    context: Context,
    arguments: Mapping[str, Any],
    filters: Sequence[Filter] = (),
    *,
    events: bool = False,
) -> Source:
    """Subscribe to a channel's messages, or to all its events: what the subscriptions do.

    Args:
        context: who subscribes; its connection counts in the channel until the stream ends.
        arguments: by their names in the schema, of their types; optional ones may be left out.
        filters: all must hold for a message to be delivered.
        events: whether `ChannelEvent`s come, instead of messages alone.
    """
    channel = parse_channel(arguments["projectId"], arguments["widgetId"])
    ending = _Ending()
    try:
        ending.calls.append(context.connection.enter(channel))
        compiled, give_back = context.filters.open(filters)
        ending.calls.append(give_back)
        source = await context.services.messages.subscribe(
            context.viewer,
            channel,
            compiled,
            after=context.resume_after or arguments.get("after"),
            # What was asked for to begin with has come already.
            last=None if context.resume_after else arguments.get("last"),
            on_closed=ending,
            events=events,
            event_of=channel_event if events else None,
        )
    except BaseException:
        ending()
        raise
    return context.rights.guarded(channel, source)


def search(context: Context, channel: Channel, query: MessageQuery) -> SearchScope:
    """Return what the parts of a result are read from: what the `messages` query does.

    Args:
        context: who searches.
        channel: where.
        query: what for.
    """
    # What is answered already was counted then.
    return SearchScope(context.answered or _searching(context, channel), channel, query)


def _searching(context: Context, channel: Channel) -> Searching:
    messages = context.services.messages
    return messages.search(context.viewer, channel, context.asker, context.peer)


def searched(context: Context, search: Searching) -> Context:
    """Return a context of the same viewer whose searches are answered already.

    Args:
        context: it stays open.
        search: has the answers.
    """
    return Context(context.viewer, context.services, context.asker, search, peer=context.peer)


async def answer(
    context: Context, channel: Channel, key: bytes | None, read: Callable[[], Awaitable[bytes]]
) -> bytes:
    """Return the answer to a question, read or kept: see `Answers.answer`.

    Args:
        context: of whoever asks and may.
        channel: which it is all about.
        key: of the question.
        read: reads the answer.
    """
    return await context.services.answers.answer(channel, key, read)


class _Ending:
    """What gives back all that a subscription was given, once."""

    __slots__ = ("calls",)

    def __init__(self) -> None:
        self.calls: list[Callable[[], None]] = []

    def __call__(self) -> None:
        calls, self.calls = self.calls, []
        for call in calls:
            call()


def _result(
    channel: Channel,
    query: MessageQuery,
    search: Searching,
    on_unavailable: Callable[[], None] = lambda: None,
) -> MessageResultType:
    return MessageResultType(scope=SearchScope(search, channel, query, on_unavailable))


def _connection_count(channel: Channel, count: int) -> ConnectionCountType:
    return ConnectionCountType(
        project_id=strawberry.ID(channel.project_id),
        widget_id=strawberry.ID(channel.widget_id),
        count=count,
    )
