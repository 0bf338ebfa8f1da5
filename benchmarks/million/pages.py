"""The newest 50 over HTTP by 16 clients at once: all different, and all the same.

Different: each asks for the 50 before another one of a million messages, so that no answer
was given before. The same: the newest 50, while nothing is published.
"""

import json
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any, Final

from benchmarks import wire
from benchmarks.load import percentile
from benchmarks.machine import on_core, server_core
from benchmarks.million.asking import LENGTH, Asker
from benchmarks.million.data import Filled, picked
from benchmarks.opening import connect
from benchmarks.servers import Server

__all__ = ["CLIENTS", "Pages", "over_http", "questions", "read_plainly"]

CLIENTS: Final = 16

_SELECTED: Final = "id clientId created data username"
_RIVALS: Final = (
    "query Page($widget: ID!, $before: ID) { "
    f'messages(projectId: "BENCHMRK", widgetId: $widget, before: $before) {{ {_SELECTED} }} }}'
)
_EARLIEST: Final = 60
"""Before any later message there are 50."""
_REFUSED: Final = re.compile(rb'\r\n\r\n\{"(?:errors|data":null)')
_WAIT_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Pages:
    """What one round gave."""

    per_second: float
    cpu_microseconds: float
    """Of the server, for each page."""
    p50_ms: float
    p99_ms: float
    load_busy: float
    """How much of its time the load was computing; near 1 it would be the limit."""


def questions(server: Server, filled: Filled, *, same: bool) -> Iterator[bytes]:
    """Requests for pages of 50, without an end, as this kind of server takes them.

    Raises:
        RuntimeError: it answers one with other than 50 messages.
    """
    ask = _mercurius if server.kind == "mercurius" else _ours
    if server.kind == "widgetwire" and not same and not _has_cursors(server.port, filled):
        ask = _unlike
    if same:
        request = ask(filled, None)
        requests = (request for _ in count())
    else:
        requests = (
            ask(filled, _EARLIEST + picked(number, filled.messages - _EARLIEST))
            for number in count()
        )
    with Asker(server.port) as asker:
        answer = asker.ask(next(requests))
    if answer.count(b'"clientId"') != 50:
        raise RuntimeError(f"{server.kind} answered a page with {answer[:300]!r}")
    return requests


def _ours(filled: Filled, before: int | None) -> bytes:
    query: dict[str, Any] = {"sortOrder": "DESC", "limit": 50}
    if before is not None:
        query["before"] = filled.id(before)
    return wire.search(filled.widget, query, f"messages {{ {_SELECTED} }}")


def _unlike(filled: Filled, before: int | None) -> bytes:
    """The newest 50 of a checkout without `before`; what differs is whom it leaves out."""
    other = {"field": "client_id", "operator": "NEQ", "value": f"nobody-{before}"}
    query = {"sortOrder": "DESC", "limit": 50, "filters": [other]}
    return wire.search(filled.widget, query, f"messages {{ {_SELECTED} }}")


def _mercurius(filled: Filled, before: int | None) -> bytes:
    variables = {
        "widget": filled.widget,
        "before": None if before is None else filled.id(before),
    }
    return wire.post({"query": _RIVALS, "variables": variables})


def _has_cursors(port: int, filled: Filled) -> bool:
    with Asker(port) as asker:
        return b'"errors"' not in asker.ask(_ours(filled, filled.messages))


def over_http(server: Server, requests: Iterator[bytes], seconds: float) -> Pages:
    """Have 16 clients ask, each again as soon as it is answered, for so long.

    Raises:
        RuntimeError: an answer is an error, or takes over 30 s.
    """
    clients = {client.fileno(): client for client in (connect(server.port) for _ in range(CLIENTS))}
    epoll = select.epoll()
    for number in clients:
        epoll.register(number, select.EPOLLIN)
    buffer = bytearray(1 << 18)
    missing = dict.fromkeys(clients, 0)
    sent_at: dict[int, float] = {}
    took: list[float] = []
    cpu, own, began = server.cpu_seconds(), time.process_time(), time.perf_counter()
    try:
        for number, client in clients.items():
            sent_at[number] = time.perf_counter()
            client.sendall(next(requests))
        while time.perf_counter() - began < seconds:
            ready = epoll.poll(_WAIT_SECONDS)
            if not ready:
                raise RuntimeError(f"no page came from {server.kind} in {_WAIT_SECONDS:g} s")
            for number, _ in ready:
                client = clients[number]
                received = client.recv_into(buffer)
                left = missing[number] or _length(buffer, received)
                missing[number] = left - received
                if left == received:
                    now = time.perf_counter()
                    took.append(now - sent_at[number])
                    sent_at[number] = now
                    client.sendall(next(requests))
    finally:
        epoll.close()
        for client in clients.values():
            client.close()
    elapsed = time.perf_counter() - began
    return Pages(
        len(took) / elapsed,
        (server.cpu_seconds() - cpu) / max(1, len(took)) * 1e6,
        percentile(took, 0.5) * 1000,
        percentile(took, 0.99) * 1000,
        (time.process_time() - own) / elapsed,
    )


def _length(buffer: bytearray, received: int) -> int:
    """How many bytes an answer has, by its beginning."""
    end = buffer.find(b"\r\n\r\n", 0, received)
    length = LENGTH.search(buffer, 0, end) if end > 0 else None
    if length is None or not buffer.startswith(b"HTTP/1.1 200") or _REFUSED.match(buffer, end):
        raise RuntimeError(f"a page was answered with {bytes(buffer[: min(received, 700)])!r}")
    return end + 4 + int(length[1])


def read_plainly(url: str, filled: Filled, seconds: float, *, same: bool) -> Pages:
    """Have 16 connections of asyncpg read the same pages from the plain table, on one core.

    Raises:
        RuntimeError: it fails; says what it said.
    """
    command = [
        *(sys.executable, "-m", "benchmarks.million.plain", url, str(filled.messages)),
        *(str(CLIENTS), str(seconds), "same" if same else "different"),
    ]
    with on_core(server_core()):
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds + _WAIT_SECONDS,
            check=False,
        )
    if done.returncode != 0:
        raise RuntimeError(f"reading the plain table failed: {done.stderr}")
    return Pages(**json.loads(done.stdout))
