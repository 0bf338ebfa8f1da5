"""The searches of one client over HTTP; what Postgres took for them; and the plain table."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import uvloop

from benchmarks import wire
from benchmarks.load import percentile
from benchmarks.million.asking import Asker, Took, repeated
from benchmarks.million.cases import CASES, Case
from benchmarks.million.data import Filled
from benchmarks.million.databases import connected
from benchmarks.million.statements import StatementLog
from benchmarks.opening import open_sockets

__all__ = ["ask_once", "asked", "plainly", "searched", "worked"]

_PROBES: Final = 10_000
"""Numbers of probes that each case has to itself."""
_STATEMENTS: Final = 20
_STIR: Final = {"text": "and again", "user": "stir", "room": "stir", "score": 1, "liked": True}


def searched(
    port: int, filled: Filled, seconds: float, says: Callable[[str], None]
) -> dict[str, Took]:
    """Ask a server every case, with values that differ.

    Args:
        port: of the server.
        filled: the channel.
        seconds: for each case, about.
        says: told which case comes.
    """
    found: dict[str, Took] = {}
    for number, case in enumerate(CASES):
        says(case.title)
        found[case.title] = asked(port, case, filled, number * _PROBES, seconds)
    return found


def asked(port: int, case: Case, filled: Filled, first: int, seconds: float) -> Took:
    """Ask a server one case, from a probe on, for about so long."""
    with Asker(port) as asker, _live(port, case, filled):
        return repeated(
            lambda probe: _refused(asker.ask(_request(case, filled, probe))),
            first,
            seconds,
            lambda: _stir(asker, case, filled),
        )


def ask_once(port: int, filled: Filled) -> None:
    """Ask a server once whatever an index helps."""
    with Asker(port) as asker:
        for case in filter(lambda case: case.wants_index, CASES):
            asker.ask(_request(case, filled, time.monotonic_ns()))


def worked(
    port: int, filled: Filled, seconds: float, log: StatementLog, says: Callable[[str], None]
) -> dict[str, float]:
    """What Postgres worked for each case in milliseconds, the median.

    Without a case that it did not work for.
    """
    return uvloop.run(_worked(port, filled, seconds, log, says))


async def _worked(
    port: int, filled: Filled, seconds: float, log: StatementLog, says: Callable[[str], None]
) -> dict[str, float]:
    found: dict[str, float] = {}
    async with log.on():
        for number, case in enumerate(CASES):
            says(f"statements of {case.title}")
            took = []
            first, end = number * _PROBES + _PROBES // 2, time.perf_counter() + seconds
            with Asker(port) as asker, _live(port, case, filled):
                for probe in range(first, first + _STATEMENTS):
                    _stir(asker, case, filled)
                    request = _request(case, filled, probe)
                    took.append(log.of(lambda ask=request: asker.ask(ask)))  # type: ignore[misc]
                    if time.perf_counter() > end:
                        break
            if known := [one for one in took if one is not None]:
                found[case.title] = percentile(known, 0.5)
    return found


def plainly(
    url: str, port: int, filled: Filled, seconds: float, says: Callable[[str], None]
) -> dict[str, Took]:
    """Ask the plain table every case, without a service.

    Args:
        url: of its database.
        port: of a server whose answers to the same questions must have the same messages.
        filled: the channel.
        seconds: for each case, about.
        says: told which case comes.

    Raises:
        RuntimeError: they have others.
    """
    return uvloop.run(_plainly(url, port, filled, seconds, says))


async def _plainly(
    url: str, port: int, filled: Filled, seconds: float, says: Callable[[str], None]
) -> dict[str, Took]:
    found: dict[str, Took] = {}
    async with connected(url) as connection:
        for number, case in enumerate(CASES):
            says(f"plain table: {case.title}")
            probe = number * _PROBES
            statement = await connection.prepare(case.sql)
            rows = await statement.fetch(filled.key, *case.arguments(filled, probe))
            if case.same_ids:
                _compare(port, case, filled, probe, [str(row["id"]) for row in rows])
            took, end = Took(), time.perf_counter() + seconds
            while not took.enough(end):
                probe += 1
                values = case.arguments(filled, probe)
                began = time.perf_counter()
                await statement.fetch(filled.key, *values)
                took.add(time.perf_counter() - began, None)
            found[case.title] = took
    return found


def _compare(port: int, case: Case, filled: Filled, probe: int, plain: list[str]) -> None:
    with Asker(port) as asker:
        answer = json.loads(asker.ask(_request(case, filled, probe)))
    if "errors" in answer:
        return
    ours = [message["id"] for message in answer["data"]["messages"]["messages"]]
    if ours != plain:
        raise RuntimeError(f"{case.title}: {ours} by the server, {plain} by the plain table")


def _request(case: Case, filled: Filled, probe: int) -> bytes:
    return wire.search(filled.widget, case.query(filled, probe), case.selection)


def _stir(asker: Asker, case: Case, filled: Filled) -> None:
    if case.stirred:
        asker.result(wire.http_publish(filled.widget, _STIR))


def _refused(answer: bytes) -> str | None:
    """The code of an answer that is a refusal."""
    if b'"errors"' not in answer:
        return None
    return str(json.loads(answer)["errors"][0]["extensions"]["code"])


@contextmanager
def _live(port: int, case: Case, filled: Filled) -> Iterator[None]:
    """Watch what the case asks for, if it says so."""
    if not case.watched:
        yield
        return
    watch = wire.live(0, filled.widget, case.query(filled, 0), case.selection)
    (opened,) = open_sockets(
        port,
        1,
        wire.handshake(),
        lambda _: [(wire.initialise(), b"connection_ack"), (watch, b'"next"')],
    )
    try:
        yield
    finally:
        opened.close()
