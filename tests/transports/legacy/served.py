"""Legacy sockets on a real server in this process, and a client that misses nothing."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self
from uuid import uuid4

import uvicorn
from starlette.applications import Starlette
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from app.delivery.backends.postgres import PostgresBackend
from app.delivery.bus import Bus
from app.delivery.hub import Hub
from app.services.admission import Admission
from app.services.client_ids import ClientIds
from app.services.messages import MessageService
from app.services.policies import PolicyService
from app.services.presence import PresenceService
from app.storage.database import Database
from app.storage.history import MessageHistory
from app.storage.policies import PolicyStore
from app.storage.presence import PresenceStore
from app.storage.retractions import MessageRetractions
from app.storage.search import MessageSearch
from app.storage.shared_history import SharedHistory
from app.storage.writer import MessageWriter
from app.transports.auth.authenticator import Authenticator
from app.transports.auth.keys import VerificationKey
from app.transports.auth.verification import Verification
from app.transports.legacy.calls import LegacyLimits
from app.transports.legacy.session import LegacyServices
from app.transports.legacy.socket import LegacySockets
from app.transports.origins import OriginPolicy
from app.wire.http import BoundedHttpProtocol
from app.wire.websocket import WebSocketProtocol

__all__ = ["CLIENT_IDS", "SECRET", "Client", "LegacyServer", "serving"]

SECRET = "a secret of more than thirty-two bytes"
CLIENT_IDS = ClientIds(["another secret of more than thirty-two bytes"])
_PATIENCE_SECONDS = 10


@dataclass
class LegacyServer:
    """A running server."""

    url: str
    """ws://127.0.0.1:PORT"""
    services: LegacyServices
    uvicorn: uvicorn.Server

    def client(self, path: str = "/c8/YVX3ZZD4/poll", **options: Any) -> "Client":
        """Return a client that connects on `async with`; options are those of `connect`."""
        return Client(self.url + path, options)


class Client:
    """One legacy socket, driven frame by frame."""

    def __init__(self, url: str, options: dict[str, Any]) -> None:
        self._url = url
        self._options = options
        self._unread: list[dict[str, Any]] = []
        self.socket: ClientConnection

    async def __aenter__(self) -> Self:
        self.socket = await connect(self._url, **self._options)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.socket.close()

    async def open(self, **fields: Any) -> dict[str, Any]:
        """Send `open` and return the reply."""
        await self.send(type="open", **fields)
        return await self.next("open")

    async def send(self, **frame: Any) -> None:
        await self.socket.send(json.dumps(frame))

    async def next(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Return the next frame of a type (and with these fields); others wait their turn."""

        def wanted(frame: dict[str, Any]) -> bool:
            return frame["type"] == kind and all(frame.get(k) == v for k, v in fields.items())

        for index, frame in enumerate(self._unread):
            if wanted(frame):
                return self._unread.pop(index)
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while True:
                frame = json.loads(await self.socket.recv())
                if wanted(frame):
                    return dict(frame)
                self._unread.append(frame)

    async def data(self, count: int) -> list[Any]:
        """Return the data of the next messages."""
        return [(await self.next("message"))["message"]["data"] for _ in range(count)]

    async def publish(self, data: Any, **fields: Any) -> dict[str, Any]:
        """Publish and return the acknowledged record."""
        ref = str(uuid4())
        await self.send(type="publish", ref=ref, data=data, **fields)
        return dict((await self.next("ack", ref=ref))["message"])

    async def answer(self, ref: str) -> dict[str, Any]:
        """Return the next frame that answers a call; frames before it are left unread."""
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while True:
                frame = dict(json.loads(await self.socket.recv()))
                if frame.get("ref") == ref:
                    return frame
                self._unread.append(frame)

    async def error(self) -> tuple[str, str]:
        """Return code and text of the next error frame."""
        frame = await self.next("error")
        return frame["code"], frame["message"]

    async def closed(self) -> int | None:
        """Return the close code the server ends this with."""
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                while True:
                    self._unread.append(json.loads(await self.socket.recv()))
        except ConnectionClosed:
            return self.socket.close_code


@asynccontextmanager
async def serving(
    database_url: str,
    *,
    limits: LegacyLimits | None = None,
    origins: tuple[str, ...] = (),
    anonymous: Any = "allow",
    max_frame_bytes: int = 1024 * 1024,
    max_outbound_bytes: int = 1024 * 1024,
) -> AsyncIterator[LegacyServer]:
    """Serve the legacy sockets of a database on a free port."""
    async with AsyncExitStack() as stack:
        database = await Database.connect(database_url)
        stack.push_async_callback(database.close)
        history = SharedHistory(MessageHistory(database))
        process_id = str(uuid4())
        bus = Bus(PostgresBackend(database_url), process_id)
        hub = Hub(bus, history)
        await hub.start()
        stack.push_async_callback(hub.stop)
        presence = PresenceService(hub, PresenceStore(database, process_id, 8.0))
        await presence.start()
        stack.push_async_callback(presence.stop)
        writer = MessageWriter(database, hub.publish_stored)
        stack.push_async_callback(writer.close)
        policies = PolicyService(PolicyStore(database))
        policies.tell(hub.tell_policy)
        services = LegacyServices(
            MessageService(
                hub=hub,
                writer=writer,
                history=history,
                retractions=MessageRetractions(database, hub.publish_stored),
                search=MessageSearch(database),
                admission=Admission(policies),
            ),
            presence,
            Authenticator(
                Verification([VerificationKey.from_secret(SECRET)]),
                client_ids=CLIENT_IDS,
                anonymous=anonymous,
            ),
            CLIENT_IDS,
            policies,
        )
        sockets = LegacySockets(
            services, OriginPolicy(origins), limits, max_outbound_bytes=max_outbound_bytes
        )
        config = uvicorn.Config(
            Starlette(routes=[sockets.route()]),
            http=BoundedHttpProtocol,
            ws=WebSocketProtocol,
            ws_max_size=max_frame_bytes,
            lifespan="off",
            log_config=None,
            access_log=False,
        )
        listening = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(config)
        server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        task = asyncio.create_task(server.serve([listening]))
        try:
            while not server.started:  # noqa: ASYNC110  uvicorn tells nobody
                await asyncio.sleep(0.005)
            yield LegacyServer(f"ws://127.0.0.1:{listening.getsockname()[1]}", services, server)
        finally:
            server.should_exit = True
            await task
