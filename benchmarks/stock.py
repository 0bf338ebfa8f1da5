"""The baseline: Strawberry, broadcaster, SQLModel and uvicorn as their tutorials put them together.

    python -m benchmarks.stock

Needs WIDGETWIRE_DATABASE_URL. No caching, no grouping, no tuning: what one gets by following
the documentation of each.
"""

import contextlib
import dataclasses
import json
import os
import socket
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, NewType

import strawberry
import uvicorn
from broadcaster import Broadcast
from sqlalchemy import JSON as JSON_COLUMN
from sqlalchemy import BigInteger, Column
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlmodel import Field, SQLModel
from starlette.applications import Starlette
from starlette.routing import Route, WebSocketRoute
from strawberry.asgi import GraphQL
from strawberry.schema.config import StrawberryConfig

JSON = NewType("JSON", object)

broadcast = Broadcast("memory://")
engine = create_async_engine(
    os.environ.get("WIDGETWIRE_DATABASE_URL", "").replace("postgresql://", "postgresql+asyncpg://")
)


class StoredMessage(SQLModel, table=True):
    __tablename__ = "stock_message"

    sequence: int | None = Field(default=None, primary_key=True)
    id: str
    channel: str = Field(index=True)
    client_id: str
    created: int = Field(sa_column=Column(BigInteger))
    username: str | None = None
    data: Any = Field(sa_column=Column(JSON_COLUMN))


@strawberry.type
class Message:
    id: strawberry.ID
    client_id: strawberry.ID
    created: float
    data: JSON
    username: str | None


@strawberry.type
class Query:
    @strawberry.field
    def ready(self) -> bool:
        return True


@strawberry.type
class Mutation:
    @strawberry.mutation
    async def publish(
        self,
        project_id: strawberry.ID,
        widget_id: strawberry.ID,
        data: JSON,
        client_id: strawberry.ID,
    ) -> Message:
        channel = f"{project_id}/{widget_id}"
        stored = StoredMessage(
            id=str(uuid.uuid4()),
            channel=channel,
            client_id=client_id,
            created=int(time.time() * 1000),
            data=data,
        )
        async with AsyncSession(engine, expire_on_commit=False) as session:
            session.add(stored)
            await session.commit()
        message = Message(
            id=strawberry.ID(stored.id),
            client_id=client_id,
            created=stored.created,
            data=data,
            username=None,
        )
        await broadcast.publish(channel, json.dumps(dataclasses.asdict(message)))
        return message


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def messages(
        self, project_id: strawberry.ID, widget_id: strawberry.ID
    ) -> AsyncGenerator[Message, None]:
        async with broadcast.subscribe(channel=f"{project_id}/{widget_id}") as subscriber:
            async for event in subscriber:  # type: ignore[union-attr]
                yield Message(**json.loads(event.message))  # type: ignore[union-attr]


@contextlib.asynccontextmanager
async def lifespan(_app: Starlette) -> AsyncIterator[None]:
    async with engine.begin() as connection:
        await connection.run_sync(SQLModel.metadata.tables["stock_message"].create, checkfirst=True)
    await broadcast.connect()
    yield
    await broadcast.disconnect()
    await engine.dispose()


def main() -> None:
    schema = strawberry.Schema(
        Query,
        Mutation,
        Subscription,
        config=StrawberryConfig(
            scalar_map={JSON: strawberry.scalar(name="JSON", serialize=lambda value: value)}
        ),
    )
    graphql: GraphQL[Any, Any] = GraphQL(schema)
    app = Starlette(
        routes=[Route("/graphql", graphql), WebSocketRoute("/graphql", graphql)],
        lifespan=lifespan,
    )
    listening = socket.create_server(("127.0.0.1", 0), backlog=2048)
    print(f"ready on http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
    uvicorn.Server(
        uvicorn.Config(
            app,
            ws="websockets-sansio",
            # Of 16 publishers some have nothing to do for seconds.
            timeout_keep_alive=3600,
            # Raw readers answer no pings.
            ws_ping_interval=3600,
            ws_ping_timeout=3600,
            loop=os.environ.get("BENCHMARK_STOCK_LOOP", "asyncio"),
            log_level="error",
        )
    ).run(sockets=[listening])


if __name__ == "__main__":
    main()
