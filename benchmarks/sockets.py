"""What our WebSocket class costs, beside uvicorn's stock class in the same run.

    python -m benchmarks.sockets

The server runs on one core, the load on another. Deliveries are counted in raw bytes by
the receiving side, and never more than a few are under way, so that no side outruns the
other. CPU figures are the server process's own and vary less from run to run than rates
on a busy machine.
"""

import argparse
import asyncio
import base64
import gc
import multiprocessing
import os
import resource
import select
import socket
import statistics
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, ClassVar

import uvicorn
import uvloop
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket
from websockets.speedups import apply_mask

from app.wire.http import BoundedHttpProtocol
from app.wire.session import Outlet
from app.wire.upgrade import Upgrade
from app.wire.websocket import WebSocketProtocol

CLASSES: dict[str, Any] = {
    "ours": {"http": BoundedHttpProtocol, "ws": WebSocketProtocol},
    "stock": {"ws": "websockets-sansio"},
}
PAYLOAD = (
    b'{"id":"%08d","type":"next","payload":{"data":{"messages":{"data":"' + b"x" * 376 + b'"}}}}'
)
FRAME_BYTES = 4 + len(PAYLOAD % 0)
INBOUND = b'{"id":"1","type":"subscribe","payload":{"query":"' + b"q" * 200 + b'"}}'
ALONE_IN_FLIGHT, FEW = 16, 4


class Listener:
    """A session that counts."""

    count: ClassVar[int] = 0
    outlets: ClassVar[list[Outlet]] = []

    def opened(self, outlet: Outlet) -> None:
        self.outlet = outlet
        self.outlets.append(outlet)

    def received(self, text: str | bytes) -> None:  # noqa: ARG002 - only counted
        Listener.count += 1

    def received_binary(self) -> None:
        raise NotImplementedError

    busy = False

    def lost(self) -> None:
        self.outlets.remove(self.outlet)

    def shutdown(self) -> None:
        pass


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


class Server:
    """The server process: does what it is told over a pipe."""

    def __init__(self, kind: str, pipe: Connection, arrived: Any) -> None:
        self.kind, self.pipe, self.arrived = kind, pipe, arrived
        self.sockets: list[WebSocket] = []

    async def endpoint(self, websocket: WebSocket) -> None:
        if self.kind == "ours":
            upgrade = Upgrade.of(websocket.scope)
            upgrade.accept(Listener(), subprotocol=None, max_outbound_bytes=2**20)
            return
        await websocket.accept()
        self.sockets.append(websocket)
        async for _ in websocket.iter_text():
            Listener.count += 1
        self.sockets.remove(websocket)

    async def run(self) -> None:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        listening = socket.create_server(("127.0.0.1", 0), backlog=2048)
        app = Starlette(routes=[WebSocketRoute("/", self.endpoint)])
        config = uvicorn.Config(
            app,
            **CLASSES[self.kind],
            lifespan="off",
            log_level="error",
            access_log=False,
            ws_per_message_deflate=False,
        )
        serving = asyncio.create_task(uvicorn.Server(config).serve(sockets=[listening]))
        orders: asyncio.Queue[tuple[Any, ...]] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def take_order() -> None:
            try:
                orders.put_nowait(self.pipe.recv())
            except EOFError:  # The load side is gone.
                os._exit(1)

        loop.add_reader(self.pipe.fileno(), take_order)
        self.pipe.send(listening.getsockname()[1])
        while True:
            order, *arguments = await orders.get()
            if order == "fan out":
                self.pipe.send(await self.fan_out(*arguments))
            elif order == "measure":
                gc.collect()
                resident = resident_bytes()
                self.pipe.send((resident, time.process_time(), Listener.count))
            else:
                serving.cancel()
                os._exit(0)

    async def fan_out(self, at_once: int, in_flight: int, seconds: float) -> tuple[float, float]:
        """Deliver for a while; returns deliveries a second and CPU µs for each."""
        members = len(Listener.outlets) or len(self.sockets)
        began, cpu, sent, base = time.perf_counter(), time.process_time(), 0, self.arrived.value
        number = 0
        while time.perf_counter() - began < seconds:
            if sent - (self.arrived.value - base) > in_flight * members * FRAME_BYTES:
                await asyncio.sleep(0)
                continue
            for _ in range(at_once):
                number += 1
                head, tail = (PAYLOAD % 0)[:7], (PAYLOAD % 0)[15:]
                if self.kind == "ours":
                    for at, outlet in enumerate(Listener.outlets):
                        # Each has its own operation id, as GraphQL clients do.
                        outlet.send(b"%b%08d%b" % (head, at, tail))
                else:
                    for at, websocket in enumerate(self.sockets):
                        await websocket.send_text((b"%b%08d%b" % (head, at, tail)).decode())
            sent += at_once * members * FRAME_BYTES
            await asyncio.sleep(0)
        elapsed, cpu = time.perf_counter() - began, time.process_time() - cpu
        while self.arrived.value - base < sent:  # noqa: ASYNC110 - another process counts
            await asyncio.sleep(0.001)
        deliveries = sent / FRAME_BYTES
        return deliveries / elapsed, cpu / deliveries * 1e6


def _serve(kind: str, pipe: Connection, arrived: Any) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    uvloop.run(Server(kind, pipe, arrived).run())


def connect(port: int, count: int) -> list[socket.socket]:
    """Open sockets, 64 handshakes at a time, without reading much into the answers."""
    sockets: list[socket.socket] = []
    key = base64.b64encode(bytes(16))
    request = (
        b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key + b"\r\n\r\n"
    )
    while len(sockets) < count:
        batch = []
        for _ in range(min(64, count - len(sockets))):
            client = socket.create_connection(("127.0.0.1", port))
            client.sendall(request)
            batch.append(client)
        for client in batch:
            answer = client.recv(1024)
            assert answer.startswith(b"HTTP/1.1 101"), answer
            client.setblocking(False)
        sockets += batch
    return sockets


def _receive(sockets: list[socket.socket], arrived: Any, stop: Callable[[], bool]) -> None:
    poll = select.epoll()
    by_number = {client.fileno(): client for client in sockets}
    for number in by_number:
        poll.register(number, select.EPOLLIN)
    buffer, total = bytearray(1 << 18), arrived.value
    while not stop():
        for number, _ in poll.poll(0.05, 4096):
            total += by_number[number].recv_into(buffer)
        arrived.value = total


def bench(
    kind: str, subscribers: int, seconds: float, tick: Callable[[], None]
) -> dict[str, float]:
    """Run all for one class and one number of subscribers."""
    context = multiprocessing.get_context("spawn")
    pipe, theirs = context.Pipe()
    arrived = context.Value("q", 0, lock=False)
    process = context.Process(target=_serve, args=(kind, theirs, arrived), daemon=True)
    process.start()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    port = pipe.recv()
    for client in connect(port, 50):  # Warm up: code paths and allocator.
        client.close()
    time.sleep(0.3)
    pipe.send(("measure",))
    memory, cpu, _ = pipe.recv()
    began = time.perf_counter()
    sockets = connect(port, subscribers)
    figures = {"connects/s": subscribers / (time.perf_counter() - began)}
    pipe.send(("measure",))
    more_memory, more_cpu, _ = pipe.recv()
    figures["connect µs"] = (more_cpu - cpu) / subscribers * 1e6
    figures["KiB each"] = (more_memory - memory) / subscribers / 1024
    tick()
    for name, at_once, in_flight in (
        ("singly/s", 1, ALONE_IN_FLIGHT if subscribers <= 100 else FEW),
        ("joined/s", 8 if subscribers <= 100 else 4, 16),
    ):
        pipe.send(("fan out", at_once, in_flight, seconds))
        _receive(sockets, arrived, pipe.poll)
        figures[name], figures[name.replace("/s", " µs")] = pipe.recv()
        tick()
    mask = b"abcd"
    frame = b"\x81\xfe" + len(INBOUND).to_bytes(2, "big") + mask + apply_mask(INBOUND, mask)
    pipe.send(("measure",))
    _, cpu, count = pipe.recv()
    began = time.perf_counter()
    for client in sockets[:16]:
        client.setblocking(True)
    while time.perf_counter() - began < seconds:
        for client in sockets[:16]:
            client.sendall(frame * 64)
    pipe.send(("measure",))
    _, more_cpu, more_count = pipe.recv()
    figures["inbound/s"] = (more_count - count) / (time.perf_counter() - began)
    figures["inbound µs"] = (more_cpu - cpu) / (more_count - count) * 1e6
    tick()
    pipe.send(("stop",))
    process.join(5)
    for client in sockets:
        client.close()
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--subscribers", type=int, nargs="*", default=[100, 1000, 10_000])
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--runs", type=int, default=3, help="the median is shown")
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    table = Table(title="WebSocket classes: one server core, median")
    for column in ("subscribers", "figure", "ours", "stock", "ratio"):
        table.add_column(column, justify="left" if column == "figure" else "right")
    cores = os.sched_getaffinity(0)
    with Progress(transient=True) as progress:
        steps = len(options.subscribers) * options.runs * len(CLASSES) * 4
        task = progress.add_task("measuring", total=steps)
        for subscribers in options.subscribers:
            runs: dict[str, list[dict[str, float]]] = {kind: [] for kind in CLASSES}
            for _ in range(options.runs):
                for kind in CLASSES:
                    os.sched_setaffinity(0, cores)
                    runs[kind].append(
                        bench(kind, subscribers, options.seconds, lambda: progress.advance(task))
                    )
            for figure in runs["ours"][0]:
                ours, stock = (
                    statistics.median(run[figure] for run in runs[kind]) for kind in CLASSES
                )
                # A few connections may cost less memory than a page.
                ratio = f"{ours / stock:.2f}" if stock else "-"
                shown = f"{ours:,.1f}", f"{stock:,.1f}", ratio
                table.add_row(f"{subscribers:,}", figure, *shown)
            table.add_section()
    Console().print(table)


if __name__ == "__main__":
    main()
