"""What fifty clients that group a channel of a million messages leave to everybody else.

    python -m benchmarks.searches [--rows 1000000] [--searchers 50] [--seconds 7]

While they search as fast as they are answered (and, refused, come back when they are told to),
a publisher publishes 20 times a second, the newest 50 are asked for 10 times a second, a new socket
subscribes twice a second, and readiness is asked for once a second. The server has
a core of its own; Postgres shares the other with the load. Measured for rounds times seconds.
"""

import asyncio
import statistics
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Final

import httpx
import uvloop
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from benchmarks.million.data import Filled, Shape
from benchmarks.million.databases import connected
from benchmarks.million.make import fill
from benchmarks.report import options, show, steps
from benchmarks.servers import postgres, serve

_GROUP: Final = """query ($score: JSON!) {
    messages(projectId: "BENCHMRK", widgetId: "million", query: {
        groupBy: "data.liked", filters: [{field: "data.score", operator: GT, value: $score}] }) {
    groups { key count aggregate(field: "data.score") { avg max } } } }"""
"""One document for all, as clients have it: reading another one takes some milliseconds."""
_PUBLISH: Final = """mutation ($data: JSON!) {
    publish(projectId: "BENCHMRK", widgetId: "million", data: $data) { id } }"""
_PAGE: Final = """{ messages(projectId: "BENCHMRK", widgetId: "million", query: {
    sortOrder: DESC }) { messages { id clientId created username data } } }"""
_SUBSCRIBE: Final = (
    '{"id":"1","type":"subscribe","payload":{"query":"subscription { messages('
    'projectId: \\"BENCHMRK\\", widgetId: \\"million\\", last: 1) { id } }"}}'
)
_COLUMNS: Final = ("what", "times", "p50 ms", "p99 ms", "most ms", "answers")


class Timed:
    """How long each of one kind of request took, and what it was answered."""

    def __init__(self) -> None:
        self.milliseconds: list[float] = []
        self.answers: Counter[str] = Counter()

    async def every(self, seconds: float, ask: Callable[[], Awaitable[str]]) -> None:
        """Ask at fixed times, until cancelled; one that is late counts from when it was due."""
        due = time.perf_counter()
        while True:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            answer = await ask()
            self.milliseconds.append((time.perf_counter() - due) * 1000)
            self.answers[answer] += 1
            due += seconds

    def row(self, what: str) -> list[Any]:
        if not self.milliseconds:
            return [what, 0, "-", "-", "-", "none"]
        ordered = sorted(self.milliseconds)
        answers = ", ".join(f"{count} {answer}" for answer, count in self.answers.most_common())
        late = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
        return [what, len(ordered), statistics.median(ordered), late, ordered[-1], answers]


def _answer(response: httpx.Response) -> str:
    error = _error(response)
    return str(error["code"]) if error else str(response.status_code)


def _error(response: httpx.Response) -> dict[str, Any] | None:
    errors = response.json().get("errors") if response.status_code == 200 else None
    return errors[0]["extensions"] if errors else None


async def _make(url: str, filled: Filled, stored: Callable[[int], None]) -> None:
    async with connected(url) as connection:
        await fill(connection, filled, stored)
        # What a reader of fresh rows has to write is no part of this: they were stored long ago.
        await connection.execute("VACUUM ANALYZE messages")
        await connection.execute("CHECKPOINT")


async def _measure(port: int, searchers: int, seconds: float) -> list[list[Any]]:
    base = f"http://127.0.0.1:{port}"
    timeout = httpx.Timeout(60)
    limits = httpx.Limits(max_connections=None)
    searching, publishing, paging, subscribing, ready = (Timed() for _ in range(5))
    async with httpx.AsyncClient(base_url=base, timeout=timeout, limits=limits) as client:

        async def search(number: int) -> None:
            score = number
            while True:
                score = (score + searchers) % 100
                began = time.perf_counter()
                body = {"query": _GROUP, "variables": {"score": score}}
                response = await client.post("/graphql", json=body)
                searching.milliseconds.append((time.perf_counter() - began) * 1000)
                searching.answers[_answer(response)] += 1
                if error := _error(response):
                    await asyncio.sleep(error.get("retryAfterMs", 500) / 1000)

        async def publish() -> str:
            body = {"query": _PUBLISH, "variables": {"data": {"score": 1, "liked": True}}}
            return _answer(await client.post("/graphql", json=body))

        async def page() -> str:
            return _answer(await client.post("/graphql", json={"query": _PAGE}))

        async def subscribe() -> str:
            url = f"ws://127.0.0.1:{port}/graphql"
            async with connect(url, subprotocols=[Subprotocol("graphql-transport-ws")]) as socket:
                await socket.send('{"type":"connection_init"}')
                await socket.recv()
                await socket.send(_SUBSCRIBE)
                return "answered" if '"next"' in str(await socket.recv()) else "refused"

        async def readiness() -> str:
            return str((await client.get("/healthz/ready")).status_code)

        tasks = [asyncio.create_task(search(number)) for number in range(searchers)]
        await asyncio.sleep(2)
        tasks += [
            asyncio.create_task(publishing.every(0.05, publish)),
            asyncio.create_task(paging.every(0.1, page)),
            asyncio.create_task(subscribing.every(0.5, subscribe)),
            asyncio.create_task(ready.every(1, readiness)),
        ]
        done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()
    return [
        searching.row(f"{searchers} clients group"),
        publishing.row("publish"),
        paging.row("the newest 50"),
        subscribing.row("connect and subscribe"),
        ready.row("readiness"),
    ]


def main() -> None:
    chosen = options(__doc__ or "", rows=1_000_000, searchers=50)
    if chosen.small:
        chosen.rows, chosen.searchers = 20_000, 4
    seconds = max(2.0, chosen.rounds * chosen.seconds)
    filled = Shape(chosen.rows).million
    with postgres() as url, steps(chosen.rows + 1, "searches") as bar:
        with serve("widgetwire", url) as server:
            bar.says(f"making {chosen.rows:,} messages")
            uvloop.run(_make(url, filled, bar.done))
            bar.says(f"{chosen.searchers} clients search for {seconds:g} s")
            rows = uvloop.run(_measure(server.port, chosen.searchers, seconds))
        bar.done()
    show(f"Beside searches in a channel of {chosen.rows:,}", _COLUMNS, rows, chosen.json)


if __name__ == "__main__":
    main()
