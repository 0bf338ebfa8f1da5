"""Runs the faults one after the other, and ends with 1 if anything was lost or repeated."""

import random
import sys
from collections.abc import Callable
from typing import Final

import benchmarks.faults
from benchmarks.faults.breakable import BreakablePostgres, breakable_postgres, redis_program
from benchmarks.faults.database import database
from benchmarks.faults.reconnect import reconnect
from benchmarks.faults.redis import redis
from benchmarks.faults.scene import Outcome, Scale
from benchmarks.faults.sigterm import sigterm
from benchmarks.faults.worker import worker
from benchmarks.machine import load_core, pin
from benchmarks.report import options, show, steps

_TITLES: Final = {
    "reconnect": "all come back at once",
    "database": "the database away",
    "redis": "Redis away",
    "worker": "SIGKILL of a worker",
    "sigterm": "SIGTERM",
}


def _small() -> Scale:
    return Scale(
        subscribers=50,
        steady=50,
        missed=600,
        per_second=200.0,
        outage_seconds=1.0,
        polled_seconds=0.5,
        retry=lambda _: random.uniform(0.05, 0.3),
        settings=(
            ("WIDGETWIRE_PRESENCE_HEARTBEAT_SECONDS", "0.3"),
            ("WIDGETWIRE_PRESENCE_LEASE_SECONDS", "1"),
        ),
    )


def _run(name: str, postgres: BreakablePostgres, scale: Scale) -> Outcome | None:
    """Run one fault; None: what it needs is not on this machine."""
    if name == "database":
        return database(postgres, scale)
    if name == "redis":
        program = redis_program()
        return redis(postgres.url, program, scale) if program is not None else None
    simple: dict[str, Callable[[str, Scale], Outcome]] = {
        "reconnect": reconnect,
        "worker": worker,
        "sigterm": sigterm,
    }
    return simple[name](postgres.url, scale)


def main() -> None:
    chosen = options(
        benchmarks.faults.__doc__ or "", only=list(_TITLES), subscribers=Scale().subscribers
    )
    if unknown := set(chosen.only) - set(_TITLES):
        sys.exit(f"--only: expected some of {', '.join(_TITLES)}, got {', '.join(unknown)}")
    scale = _small() if chosen.small else Scale(subscribers=chosen.subscribers)
    rows: list[list[object]] = []
    failed = False
    # Postgres and Redis inherit it; a server has a core of its own.
    pin(0, load_core())
    with breakable_postgres() as postgres, steps(len(chosen.only), "faults") as bar:
        for name in chosen.only:
            title = _TITLES[name]
            bar.says(title)
            outcome = _run(name, postgres, scale)
            if outcome is None:
                rows.append([title, "left out: there is no redis-server on this machine", "-"])
            else:
                verdict = outcome.verdict
                failed |= not (verdict.clean and outcome.kept)
                rows += [[title, *row] for row in outcome.rows]
                rows.append([title, "lost", verdict.lost])
                rows.append([title, "repeated", verdict.repeated])
                rows.append([title, "out of order", verdict.out_of_order])
                rows.append([title, "promise kept", "yes" if outcome.kept else "NO"])
            bar.done()
    show("Faults under load", ("fault", "what", "figure"), rows, chosen.json)
    if failed:
        sys.exit(1)


if __name__ == "__main__":
    main()
