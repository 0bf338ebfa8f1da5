"""Each part of the benchmark, and the table that comes of it."""

import argparse
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import astuple, dataclass
from typing import Any, Final, TypeAlias

from benchmarks.live import FIGURES, Watched, watched_by
from benchmarks.million import sizes as by_size
from benchmarks.million import watching, writing
from benchmarks.million.asking import Took
from benchmarks.million.cases import CASES
from benchmarks.million.pages import CLIENTS, Pages, over_http, questions, read_plainly
from benchmarks.million.scene import Scene
from benchmarks.million.searching import plainly, searched, worked
from benchmarks.million.tuning import Tuned
from benchmarks.servers import Server, present, serve

__all__ = [
    "Table",
    "Tell",
    "different",
    "indexes",
    "pages",
    "poll",
    "publishing",
    "search",
    "sizes",
]

Tell: TypeAlias = Callable[[str], None]
"""Told what is being measured."""

_SEARCHED: Final = (
    "search", "no index p50 ms", "no index p99 ms", "p50 ms", "p99 ms", "goal p99 ms",
    "SQL p50 ms", "plain p50 ms", "plain p99 ms", "times plain",
)  # fmt: skip
_PAGED: Final = (
    "server", "pages", "pages/s", "CPU µs each", "p50 ms", "p99 ms", "load busy", "of plain",
    "of mercurius",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Table:
    """What is shown."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]


def indexes(tuned: Tuned) -> Table:
    """The indexes that were made."""
    rows = [[name, size / 2**20] for name, size in tuned.added.items()]
    title = f"Indexes, {tuned.how}, in {tuned.seconds:.1f} s"
    return Table(title, ("index", "MiB"), rows)


def search(scene: Scene, chosen: argparse.Namespace, tell: Tell) -> Table:
    """Each search by one client, the statement alone, and the plain table."""
    million = scene.shape.million
    bare = searched(scene.bare.port, million, chosen.seconds, tell)
    best = bare
    if scene.tuned is not None:
        best = searched(scene.tuned.port, million, chosen.seconds, tell)
    alone: dict[str, float] = {}
    if scene.log is not None:
        alone = worked(scene.best.port, million, chosen.seconds / 3, scene.log, tell)
    plain = plainly(scene.plain_url, scene.best.port, million, chosen.seconds, tell)
    rows = []
    for case in CASES:
        ours, other = best[case.title], plain[case.title]
        without: Took = bare[case.title] if scene.tuned is not None else Took()
        rows.append([
            case.title, without.p(0.5), without.p(0.99), ours.p(0.5), ours.p(0.99),
            case.goal_ms or "-", alone.get(case.title, "-"), other.p(0.5), other.p(0.99),
            ours.times(other),
        ])  # fmt: skip
    title = f"Searches in a channel of {million.messages:,}, one client over HTTP"
    return Table(title, _SEARCHED, rows)


def pages(scene: Scene, chosen: argparse.Namespace, tell: Tell) -> Table:
    """The newest 50 by many clients, in turns with the rivals."""
    million = scene.shape.million
    kinds: list[str] = ["widgetwire", "plain"]
    found: dict[tuple[str, bool], list[Pages]] = {}
    with ExitStack() as rivals:
        servers: dict[str, Server] = {"widgetwire": scene.best}
        if chosen.rivals and present(["mercurius"]):
            kinds.append("mercurius")
            servers["mercurius"] = rivals.enter_context(
                serve("mercurius", scene.plain_url, emptied=False)
            )
        asked: dict[tuple[str, bool], Iterator[bytes]] = {
            (kind, same): questions(server, million, same=same)
            for kind, server in servers.items()
            for same in (False, True)
        }
        for round_ in range(-1, chosen.rounds):
            seconds = chosen.seconds / 3 if round_ < 0 else chosen.seconds
            for kind in kinds:
                for same in (False, True):
                    tell(f"{kind}, {'the same' if same else 'different'}")
                    if kind == "plain":
                        one = read_plainly(scene.plain_url, million, seconds, same=same)
                    else:
                        one = over_http(servers[kind], asked[kind, same], seconds)
                    if round_ >= 0:
                        found.setdefault((kind, same), []).append(one)
    medians = {
        key: [statistics.median(one) for one in zip(*map(astuple, rounds), strict=True)]
        for key, rounds in found.items()
    }
    rows = [
        [
            kind, "the same" if same else "different", *figures,
            *(
                figures[0] / medians[rival, same][0] if (rival, same) in medians else "-"
                for rival in ("plain", "mercurius")
            ),
        ]
        for (kind, same), figures in medians.items()
    ]  # fmt: skip
    return Table(f"The newest 50, {CLIENTS} clients", _PAGED, rows)


def publishing(scene: Scene, chosen: argparse.Namespace, tell: Tell) -> Table:
    """Publishing without and with indexes."""
    tell("in turns")
    rows = writing.publishing(scene, chosen.rounds, chosen.seconds)
    return Table("Publishing over sockets, by indexes", writing.COLUMNS, rows)


def poll(scene: Scene, chosen: argparse.Namespace, tell: Tell) -> Table:
    """One live query for all viewers."""
    rate = 50.0 if chosen.small else 1_000.0
    watched = watching.poll(scene.shape.million)
    return _watched(scene, chosen, tell, "One live poll", watched, chosen.viewers, rate)


def different(scene: Scene, chosen: argparse.Namespace, tell: Tell) -> Table:
    """A live query of each viewer's own."""
    viewers, rate = (chosen.viewers, 50.0) if chosen.small else (watching.VIEWERS_OF, 200.0)
    watched = watching.different(scene.shape.million, viewers)
    title = "Live queries, each its own user's newest 10"
    return _watched(scene, chosen, tell, title, watched, viewers, rate)


def _watched(
    scene: Scene, chosen: Any, tell: Tell, title: str, watched: Watched, viewers: int, rate: float
) -> Table:
    tell(f"{viewers:,} viewers, {rate:,.0f} votes/s")
    # A result comes every quarter of a second: a round must see several.
    seconds = max(1.0, chosen.seconds)
    figures = watched_by(scene.best, viewers, watched, rate, chosen.rounds, seconds)
    return Table(title, ("viewers", *FIGURES), [[viewers, *figures]])


def sizes(scene: Scene, chosen: argparse.Namespace, tell: Tell) -> Table:
    """The same searches in channels of several sizes."""
    rows = by_size.sizes(scene, chosen.seconds / 3, tell)
    return Table("Searches by the size of the channel", by_size.COLUMNS, rows)
