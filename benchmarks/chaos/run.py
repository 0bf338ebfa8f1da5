"""One chaos run: faults under load for some minutes, then the accounting."""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import asyncpg
import psutil

from benchmarks.chaos.audience import VOTES_WIDGET, WIDGET, Audience
from benchmarks.chaos.faults import FAULTS, Scene
from benchmarks.chaos.stage import Stage
from benchmarks.faults.count_watch import CountWatch
from benchmarks.faults.scene import until
from benchmarks.faults.verdict import Verdict, judge, stored
from benchmarks.rooms.voters import count_votes
from benchmarks.wire import PROJECT

__all__ = ["Account", "Plan", "chaos"]

_RIGHT_SECONDS: Final = 10.0
"""Guarantee 5."""
_STEADY_SECONDS: Final = 1.0
_PATIENCE_SECONDS: Final = 60.0
_SETTLE_SECONDS: Final = 0.5
_BREATH_SECONDS: Final = 1.0
"""Between the end of a fault and the next, the least."""
_GROWTH: Final = 1.5
_GROWTH_MIB: Final = 32.0
"""A worker whose memory is flat has no more at the end than this share of what it had, and so
much more."""
_SHOWN: Final = "SELECT id::text FROM messages WHERE channel = $1"


@dataclass(frozen=True, slots=True)
class Plan:
    """How a run goes.

    Args:
        seconds: of faults.
        every_seconds: a fault begins.
        fault_seconds: the least and the most that one lasts.
        per_second: publishes.
        of_each: subscribers of each kind.
        only: faults, by name; empty: all.
        seed: of the faults.
    """

    seconds: float
    every_seconds: float
    fault_seconds: tuple[float, float]
    per_second: float
    of_each: int
    only: Sequence[str]
    seed: int


@dataclass(slots=True)
class Account:
    """What a run came to."""

    rows: list[tuple[str, object]] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    """Promises that were not kept."""

    def owe(self, what: str, count: float, most: float = 0) -> None:
        """Take note of a figure that must not be above `most`."""
        self.rows.append((what, count))
        if count > most:
            self.broken.append(f"{what}: {count:,.10g}")


async def chaos(stage: Stage, plan: Plan, say: Callable[[str], None]) -> Account:
    """Let it happen; return the accounting.

    Args:
        stage: running.
        plan: what shall happen.
        say: takes a line for each fault.
    """
    audience = Audience(stage.service.port, plan.of_each, plan.per_second)
    await audience.join()
    await asyncio.sleep(min(5.0, plan.every_seconds))
    memory = max(stage.service.mebibytes())
    happened = await _break(stage, audience, plan, say)
    account = Account()
    account.rows.append(("faults", happened))
    await _right_again(stage, audience, account)
    account.broken += await audience.finish(_PATIENCE_SECONDS)
    await _hold_to_account(stage, audience, account)
    audience.leave()
    account.rows.append(("MiB of the larger worker at the start", memory))
    most = memory * _GROWTH + _GROWTH_MIB
    account.owe("the same at the end", max(stage.service.mebibytes(), default=0), most)
    logged = stage.service.logged()
    account.owe("tracebacks in the log", logged.count("Traceback (most recent call last)"))
    if "Traceback" in logged:
        account.broken.append(logged[logged.index("Traceback") :][:4000])
    return account


async def _break(stage: Stage, audience: Audience, plan: Plan, say: Callable[[str], None]) -> int:
    """Let faults happen, one every few seconds; return how many."""
    chance = random.Random(plan.seed)
    possible = [
        name for name, fault in FAULTS.items()
        if fault.possible(stage) and (not plan.only or name in plan.only)
    ]  # fmt: skip
    began = time.monotonic()
    happened, waiting = 0, [*possible]
    chance.shuffle(waiting)
    while (now := time.monotonic() - began) < plan.seconds and possible:
        if not waiting:
            waiting = [*possible]
            chance.shuffle(waiting)
        name = waiting.pop()
        seconds = chance.uniform(*plan.fault_seconds)
        say(f"{now:6.1f} s  {FAULTS[name].title} ({name}), {seconds:.1f} s")
        scene = Scene(stage, audience, chance, seconds)
        try:
            await FAULTS[name].happen(scene)
        except (FileNotFoundError, psutil.Error) as error:
            say(f"          it could not: {type(error).__name__}: {error}")
        happened += 1
        ended = time.monotonic() - began
        say(f"          mended at {ended:.1f} s")
        next_at = min(max(happened * plan.every_seconds, ended + _BREATH_SECONDS), plan.seconds)
        await asyncio.sleep(max(0.0, next_at - ended))
        if ended >= plan.seconds:
            break
    return happened


async def _right_again(stage: Stage, audience: Audience, account: Account) -> None:
    """Wait for everybody to be back, and for the count to be right."""
    began = time.monotonic()
    count = CountWatch(stage.service.port, WIDGET)
    count.start()
    back = await until(lambda: audience.all_live, _PATIENCE_SECONDS)
    account.rows.append(("seconds after the last fault: all subscribed", time.monotonic() - began))
    if not back:
        account.broken.append("not all were subscribed again")
    owed = audience.counted
    await until(lambda: count.right_for(owed) > _STEADY_SECONDS, _PATIENCE_SECONDS)
    right = count.right_since(owed)
    await asyncio.to_thread(count.stop)
    account.rows.append((f"seconds until the count was right ({owed})", right or -1.0))
    if right is None or right > _RIGHT_SECONDS:
        account.broken.append(f"the count was not right: {count.seen[-1:]}, {owed} expected")


async def _hold_to_account(stage: Stage, audience: Audience, account: Account) -> None:
    load, listeners = audience.load, audience.listeners
    url = stage.postgres.url
    table = await stored(url, WIDGET)
    began = time.monotonic()
    await until(lambda: audience.heard_all(table[-1]), _PATIENCE_SECONDS)
    took = time.monotonic() - began
    watched = await until(lambda: all(w.count == len(table) for w in audience.watchers), 10)
    await asyncio.sleep(_SETTLE_SECONDS)
    wrong = audience.wrong()
    verdict: Verdict = judge(table, load.acked, listeners)
    account.rows += [
        ("published", load.published),
        ("acknowledged", len(load.acked)),
        ("stored", len(table)),
        ("subscribers", len(listeners)),
        ("delivered", sum(len(one.heard) for one in listeners)),
    ]
    account.owe("lost", verdict.lost)
    account.owe("repeated", verdict.repeated)
    account.owe("out of order", verdict.out_of_order)
    account.owe("not acknowledged in the end", load.published - len(load.acked))
    account.rows += [
        ("searches answered, with all that was acknowledged", audience.searcher.answered),
        ("tries sent again: connection lost", len(load.dropped)),
        ("tries answered with UNAVAILABLE", load.refused),
        ("subscriptions answered with UNAVAILABLE", sum(one.refused for one in listeners)),
        *((f"connections closed with {code}", n) for code, n in sorted(audience.closed().items())),
        ("seconds until all had heard the last", took),
    ]
    account.owe("answered wrongly", len(wrong))
    account.broken += wrong[:5]
    account.owe("live results not right at rest", int(not watched))
    await _hold_votes(url, audience, account)
    if stage.database_link is not None:
        account.rows.append(("replies of the database lost", stage.database_link.answers_lost))


async def _hold_votes(url: str, audience: Audience, account: Account) -> None:
    ballot = audience.ballot
    account.rows.append(("votes acknowledged", ballot.acknowledged))
    wrong, _ = await count_votes(url, VOTES_WIDGET, ballot)
    for what, number in wrong:
        account.owe(what, number)
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch(_SHOWN, f"{PROJECT}/{VOTES_WIDGET}")
    finally:
        await connection.close()
    shown = {row["id"] for row in rows}
    with suppress(TimeoutError):
        await until(lambda: all(one.shown == shown for one in audience.followers), 10)
    others = sum(len(one.shown ^ shown) for one in audience.followers)
    account.owe("votes that events alone show otherwise", others)
    account.owe("events of votes repeated", sum(one.repeated for one in audience.followers))
