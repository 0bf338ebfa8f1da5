"""Runs the parts one after the other, and ends with 1 if a promise was not kept."""

import sys
from collections.abc import Callable
from typing import Final, TypeAlias

import benchmarks.rooms
from benchmarks.faults.breakable import breakable_postgres
from benchmarks.machine import load_core, pin
from benchmarks.report import options, show, steps
from benchmarks.rooms.approval import approval
from benchmarks.rooms.policy import policy
from benchmarks.rooms.retraction import retraction
from benchmarks.rooms.tokens import SETTINGS
from benchmarks.rooms.votes import Election, votes
from benchmarks.servers import Server, serve

Found: TypeAlias = tuple[list[tuple[str, object]], bool]

_PARTS: Final = ("votes", "retraction", "policy", "approval")


def main() -> None:
    chosen = options(benchmarks.rooms.__doc__ or "", _PARTS, voters=50_000, listeners=1_000)
    small = chosen.small
    election = (
        Election(voters=60, votes=5, signed=10, kills=1) if small else Election(chosen.voters)
    )
    parts: dict[str, Callable[[Server], Found]] = {
        "retraction": lambda server: (
            retraction(server, 20, 5, 2) if small else retraction(server, chosen.listeners, 200, 50)
        ),
        "policy": lambda server: policy(
            server, 10 if small else 1_000, chosen.rounds, chosen.seconds
        ),
        "approval": lambda server: approval(server, *((5, 20) if small else (100, 1_000))),
    }
    wanted = chosen.parts or _PARTS
    rows: list[list[object]] = []
    failed = False
    # Postgres inherits it; a server has a core of its own.
    pin(0, load_core())
    with breakable_postgres() as postgres, steps(len(wanted), "rooms") as bar:

        def found(name: str, figures: Found) -> None:
            nonlocal failed
            rows.extend([name, *row] for row in figures[0])
            failed |= not figures[1]
            bar.done()

        if "votes" in wanted:
            bar.says("votes")
            found("votes", votes(postgres, election))
        if others := [name for name in parts if name in wanted]:
            with serve("widgetwire", postgres.url, settings=dict(SETTINGS)) as server:
                for name in others:
                    bar.says(name)
                    found(name, parts[name](server))
    show("Rooms", ("part", "what", "figure"), rows, chosen.json)
    if failed:
        sys.exit(1)


if __name__ == "__main__":
    main()
