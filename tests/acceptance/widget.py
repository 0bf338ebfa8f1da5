"""A channel of a running service as a client sees it: the operations, written once."""

import asyncio
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from tests.acceptance.graphql_socket import (
    PATIENCE_SECONDS,
    GraphQLSocket,
    Refused,
    Subscription,
)

__all__ = ["Widget"]

_IDS = "projectId: $project, widgetId: $widget"
_PUBLISH = f"""
    mutation ($project: ID!, $widget: ID!, $data: JSON!, $clientId: ID, $persistent: Boolean!,
              $id: ID, $onRepeat: OnRepeat!) {{
      publish({_IDS}, data: $data, clientId: $clientId, persistent: $persistent, id: $id,
              onRepeat: $onRepeat) {{
        id clientId created data username persistent verified held
      }}
    }}
"""
_RETRACT = f"""
    mutation ($project: ID!, $widget: ID!, $ids: [ID!]!, $reason: String) {{
      retract({_IDS}, ids: $ids, reason: $reason)
    }}
"""
_DELETE = f"""
    mutation ($project: ID!, $widget: ID!, $filters: [MessageFilter!]!) {{
      deleteMessages({_IDS}, filters: $filters)
    }}
"""
_APPROVE = f"""
    mutation ($project: ID!, $widget: ID!, $ids: [ID!]!) {{ approve({_IDS}, ids: $ids) }}
"""
_REJECT = _APPROVE.replace("approve", "reject")
_HELD = f"""
    query ($project: ID!, $widget: ID!) {{ heldMessages({_IDS}, limit: 1000) {{ id data }} }}
"""
_SET_POLICY = f"""
    mutation ($project: ID!, $widget: ID!, $policy: ChannelPolicyInput!) {{
      setChannelPolicy({_IDS}, policy: $policy) {{ hold }}
    }}
"""
_POLICY = f"query ($project: ID!, $widget: ID!) {{ channelPolicy({_IDS}) {{ hold }} }}"
_EVENTS = f"""
    subscription ($project: ID!, $widget: ID!, $filters: [MessageFilter!]!, $after: ID,
                  $last: Int) {{
      channelEvents({_IDS}, filters: $filters, after: $after, last: $last) {{
        kind: __typename
        ... on MessagePublished {{ cursor message {{ id data }} }}
        ... on MessagesRetracted {{ cursor ids reason }}
        ... on CaughtUp {{ upTo: cursor }}
      }}
    }}
"""
_SUBSCRIBE = f"""
    subscription ($project: ID!, $widget: ID!, $filters: [MessageFilter!]!, $after: ID,
                  $last: Int) {{
      messages({_IDS}, filters: $filters, after: $after, last: $last) {{ id data persistent }}
    }}
"""
_LIVE = f"""
    subscription ($project: ID!, $widget: ID!, $query: MessageQuery!) {{
      liveMessages({_IDS}, query: $query) {{ totalCount messages {{ data }} }}
    }}
"""
_WATCH = f"""
    subscription ($project: ID!, $widget: ID!) {{ connectionCount({_IDS}) {{ count }} }}
"""
_COUNT = f"query ($project: ID!, $widget: ID!) {{ connectionCount({_IDS}) {{ count }} }}"
_SEARCH = f"""
    query ($project: ID!, $widget: ID!, $query: MessageQuery!) {{
      messages({_IDS}, query: $query) {{ totalCount messages {{ id data }} }}
    }}
"""
_RETRIED = ("UNAVAILABLE",)


@dataclass(frozen=True)
class Widget:
    """One channel; its operations go over whichever socket they are given."""

    project: str
    widget: str

    @classmethod
    def new(cls) -> "Widget":
        """Return a channel that no other test uses."""
        return cls("acceptance", uuid4().hex)

    @property
    def ids(self) -> dict[str, str]:
        """The variables every operation has."""
        return {"project": self.project, "widget": self.widget}

    async def publish(
        self,
        socket: GraphQLSocket,
        data: Any,
        *,
        id: str | None = None,  # noqa: A002  the contract's name
        client_id: str | None = None,
        persistent: bool = True,
        on_repeat: str = "KEEP",
    ) -> dict[str, Any]:
        """Publish and return the acknowledged message."""
        message = await socket.execute(
            _PUBLISH,
            **self.ids,
            data=data,
            id=id,
            clientId=client_id,
            persistent=persistent,
            onRepeat=on_repeat,
        )
        return dict(message)

    async def retract(
        self, socket: GraphQLSocket, *message_ids: str, reason: str | None = None
    ) -> int:
        """Retract messages and return how many were."""
        return int(await socket.execute(_RETRACT, **self.ids, ids=message_ids, reason=reason))

    async def delete(self, socket: GraphQLSocket, filters: list[dict[str, Any]]) -> int:
        """Delete messages and return how many were."""
        return int(await socket.execute(_DELETE, **self.ids, filters=filters))

    async def approve(self, socket: GraphQLSocket, ids: list[str]) -> int:
        """Approve held messages and return how many were published."""
        return int(await socket.execute(_APPROVE, **self.ids, ids=ids))

    async def reject(self, socket: GraphQLSocket, ids: list[str]) -> int:
        """Reject held messages and return how many were."""
        return int(await socket.execute(_REJECT, **self.ids, ids=ids))

    async def held(self, socket: GraphQLSocket) -> list[dict[str, Any]]:
        """Return the messages that wait, oldest first."""
        return [*await socket.execute(_HELD, **self.ids)]

    async def hold(self, hold: str, *sockets: GraphQLSocket) -> None:
        """Set `hold` of the channel's policy; returns when it is in force where these lead."""
        await sockets[0].execute(_SET_POLICY, **self.ids, policy={"hold": hold})
        async with asyncio.timeout(PATIENCE_SECONDS):
            for socket in sockets:
                while (await socket.execute(_POLICY, **self.ids))["hold"] != hold:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)

    async def events(
        self,
        socket: GraphQLSocket,
        filters: list[dict[str, Any]] | None = None,
        *,
        after: str | None = None,
        last: int | None = None,
    ) -> Subscription:
        """Subscribe to the channel's events; joined when this returns."""
        return await socket.subscribe(
            _EVENTS, **self.ids, filters=filters or [], after=after, last=last
        )

    async def publish_persistently(self, socket: GraphQLSocket, data: Any) -> dict[str, Any]:
        """Publish as a careful client does: retried with the same id while unavailable."""
        key = uuid4().hex
        while True:
            try:
                return await self.publish(socket, data, id=key, client_id="careful")
            except Refused as refused:
                if refused.code not in _RETRIED:
                    raise
                await asyncio.sleep(0.05)

    async def subscribe(
        self,
        socket: GraphQLSocket,
        filters: list[dict[str, Any]] | None = None,
        *,
        after: str | None = None,
        last: int | None = None,
    ) -> Subscription:
        """Subscribe to the messages; joined when this returns."""
        return await socket.subscribe(
            _SUBSCRIBE, **self.ids, filters=filters or [], after=after, last=last
        )

    async def live(self, socket: GraphQLSocket, **query: Any) -> Subscription:
        """Subscribe to the result of a query."""
        return await socket.subscribe(_LIVE, **self.ids, query=query)

    async def watch(self, socket: GraphQLSocket) -> Subscription:
        """Subscribe to the connection count."""
        return await socket.subscribe(_WATCH, **self.ids)

    async def count(self, socket: GraphQLSocket) -> int:
        """Return the connection count."""
        return int((await socket.execute(_COUNT, **self.ids))["count"])

    async def stored(self, socket: GraphQLSocket) -> list[dict[str, Any]]:
        """Return all stored messages in publish order, read page by page."""
        messages: list[dict[str, Any]] = []
        while True:
            query = {"offset": len(messages), "limit": 1000}
            page = (await socket.execute(_SEARCH, **self.ids, query=query))["messages"]
            messages += page
            if len(page) < 1000:
                return messages
