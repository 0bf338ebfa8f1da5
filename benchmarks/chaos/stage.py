"""What a chaos run is played on: the service, its database, its bus, and the links between them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from benchmarks.chaos.clock import Clock, clock_library
from benchmarks.chaos.database import ExternalPostgres, Postgres
from benchmarks.chaos.disk import Disk, disk
from benchmarks.chaos.link import Link
from benchmarks.chaos.service import Service
from tests.broker import Broker, free_port, kafka_server, redis_server

__all__ = ["STAGES", "Kind", "Stage", "stage"]

Kind = Literal["embedded", "external", "redis", "kafka"]
STAGES: Final[tuple[Kind, ...]] = ("embedded", "external", "redis", "kafka")

_SETTINGS: Final = {
    "WIDGETWIRE_LOG_LEVEL": "warning",
    "WIDGETWIRE_KEEP_ALIVE_SECONDS": "60",
    # So that half-open connections are given up, and slow readers noticed, within the run.
    "WIDGETWIRE_PING_INTERVAL_SECONDS": "3",
    "WIDGETWIRE_PING_TIMEOUT_SECONDS": "3",
    "WIDGETWIRE_MAX_OUTBOUND_BYTES": "65536",
}


@dataclass(frozen=True, slots=True)
class Stage:
    """The processes of one run."""

    kind: Kind
    disk: Disk
    postgres: Postgres
    service: Service
    database_link: Link | None
    """Between the service and an external Postgres."""
    broker: Broker | None
    broker_link: Link | None
    clock: Clock | None
    """Of the service."""
    database_clock: Clock | None

    @property
    def external(self) -> ExternalPostgres | None:
        """The Postgres, where an operator has to start it."""
        return self.postgres if isinstance(self.postgres, ExternalPostgres) else None


@asynccontextmanager
async def stage(kind: Kind, settings: dict[str, str]) -> AsyncIterator[Stage]:
    """Start everything, and end it.

    Raises:
        MissingProgramError: there is no such broker on this machine.
    """
    async with AsyncExitStack() as stack:
        place = stack.enter_context(disk())
        # A file system that is filled must not keep the clocks and logs from being written.
        beside = stack.enter_context(disk()).root if place.small else place.root
        library = clock_library(beside)
        clock = database_clock = None
        if library is not None:
            clock = Clock(library, beside / "clock")
            database_clock = Clock(library, beside / "database-clock")
        broker, broker_link = await _broker(stack, kind, beside)
        chosen = _SETTINGS | settings
        if clock is not None:
            chosen |= clock.environment
        if broker is not None:
            chosen["WIDGETWIRE_BROADCAST_URL"] = broker.url
        port, log = free_port(), beside / "service.log"
        data_dir = place.root / "data"
        database_link: Link | None = None
        postgres: Postgres
        if kind == "embedded":
            postgres = Postgres(data_dir)
            chosen["WIDGETWIRE_DATA_DIR"] = str(data_dir)
            service = Service(None, chosen, port, log)
        else:
            data_dir.mkdir(mode=0o711)
            environment = {} if database_clock is None else database_clock.environment
            external = await asyncio.to_thread(ExternalPostgres, data_dir, environment)
            stack.push_async_callback(_ended, external)
            database_link = Link(external.socket)
            await database_link.start()
            stack.callback(database_link.close)
            url = f"postgresql://postgres@127.0.0.1:{database_link.port}/postgres"
            postgres, service = external, Service(url, chosen, port, log)
        stack.push_async_callback(asyncio.to_thread, service.stop)
        await asyncio.to_thread(service.start)
        yield Stage(
            kind, place, postgres, service, database_link, broker, broker_link, clock,
            None if kind == "embedded" else database_clock,
        )  # fmt: skip


async def _broker(
    stack: AsyncExitStack, kind: Kind, directory: Path
) -> tuple[Broker | None, Link | None]:
    if kind not in {"redis", "kafka"}:
        return None, None
    port = free_port()
    link = Link(port)
    await link.start()
    stack.callback(link.close)
    if kind == "redis":
        broker = redis_server(directory, port=port)
        broker.url = f"redis://127.0.0.1:{link.port}"
    else:
        broker = kafka_server(directory, port=port, reached_at=link.port)
    stack.callback(broker.close)
    await asyncio.to_thread(broker.start)
    return broker, link


async def _ended(postgres: ExternalPostgres) -> None:
    with contextlib.suppress(OSError):
        postgres.kill()
    await asyncio.to_thread(postgres.wait)
