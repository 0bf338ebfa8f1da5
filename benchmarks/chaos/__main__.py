"""Runs the chosen databases and buses one after the other; ends with 1 if a promise was broken."""

import asyncio
import shutil
import sys
import time

import benchmarks.chaos
from benchmarks.chaos.faults import FAULTS
from benchmarks.chaos.run import Account, Plan, chaos
from benchmarks.chaos.stage import STAGES, Kind, stage
from benchmarks.report import options, show
from tests.npm import MissingProgramError

_SMALL_FAULTS = ("crash", "reply", "hole", "worker", "reconnect", "half-open")
_SMALL_SETTINGS = {
    "WIDGETWIRE_PRESENCE_HEARTBEAT_SECONDS": "0.3",
    "WIDGETWIRE_PRESENCE_LEASE_SECONDS": "1",
    "WIDGETWIRE_PING_INTERVAL_SECONDS": "1",
    "WIDGETWIRE_PING_TIMEOUT_SECONDS": "1",
}


def _say(line: str) -> None:
    print(line, flush=True)


async def _run(kind: Kind, plan: Plan, settings: dict[str, str]) -> Account | None:
    """Run one; None: what it needs is not on this machine."""
    try:
        async with stage(kind, settings) as found:
            return await chaos(found, plan, _say)
    except MissingProgramError as error:
        _say(f"{kind} is left out: {error}")
        return None


def main() -> None:
    chosen = options(
        benchmarks.chaos.__doc__ or "",
        STAGES,
        minutes=5.0,
        seed=time.time_ns() % 1_000_000,
        per_second=50.0,
        only=[*FAULTS],
    )
    if unknown := set(chosen.only) - set(FAULTS):
        sys.exit(f"--only: expected some of {', '.join(FAULTS)}, got {', '.join(unknown)}")
    if chosen.small:
        kinds: list[Kind] = ["external"]
        only = _SMALL_FAULTS
        plan = Plan(9.0, 1.5, (0.3, 0.8), 50.0, 1, only, chosen.seed)
    else:
        kinds = chosen.parts or list(STAGES)
        plan = Plan(
            chosen.minutes * 60, 10.0, (1.5, 8.0), chosen.per_second, 4, chosen.only, chosen.seed
        )
    _say(f"seed {plan.seed}")
    if shutil.which("cc") is None:
        _say("no clock is set: there is no C compiler, cc")
    rows: list[list[object]] = []
    broken: list[str] = []
    for kind in kinds:
        _say(f"--- {kind}")
        account = asyncio.run(_run(kind, plan, _SMALL_SETTINGS if chosen.small else {}))
        if account is not None:
            rows += [[kind, *row] for row in account.rows]
            broken += [f"{kind}: {one}" for one in account.broken]
            for what, figure in account.rows:
                _say(f"{kind}: {what}: {figure}")
    show(f"Chaos, seed {plan.seed}", ("run", "what", "figure"), rows, chosen.json)
    for one in broken:
        print(f"BROKEN: {one}", file=sys.stderr)
    if broken:
        sys.exit(1)


if __name__ == "__main__":
    main()
