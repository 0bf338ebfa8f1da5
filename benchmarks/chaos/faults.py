"""What can break, and how it is mended again.

Each fault is a coroutine that breaks something, leaves it so for some seconds, and returns when it
is mended; what comes back by itself it only waits for.
"""

import asyncio
import os
import random
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import psutil

from benchmarks.chaos.audience import Audience
from benchmarks.chaos.service import WORKERS
from benchmarks.chaos.stage import Stage
from benchmarks.faults.scene import until
from tests.postgres_faults import frozen

__all__ = ["FAULTS", "Fault", "Scene"]

_KEY: Final = b"key-"
"""In every publish of the load, on its way to the database."""
_FOREIGN_PID: Final = os.getpid()
_OFFSETS: Final = (-86_400, -3_600, -30, 30, 3_600, 86_400)
"""Seconds by which a clock is set."""
_LONG: Final = 40_000
"""Characters of a message while some read nothing."""
_BACK_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Scene:
    """Where a fault happens."""

    stage: Stage
    audience: Audience
    chance: random.Random
    seconds: float
    """How long it lasts, at the least."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to break something."""

    title: str
    happen: Callable[[Scene], Awaitable[None]]
    possible: Callable[[Stage], bool] = lambda _stage: True


# The database.


async def _postgres_restarted(scene: Scene) -> None:
    await _away(scene, signal.SIGINT)


async def _postgres_crashed(scene: Scene) -> None:
    await _away(scene, signal.SIGQUIT)


async def _postgres_killed(scene: Scene) -> None:
    await _away(scene, signal.SIGKILL)


async def _away(scene: Scene, number: signal.Signals) -> None:
    scene.stage.postgres.stop(number)
    external = scene.stage.external
    if external is not None:
        await asyncio.to_thread(external.wait)
        await asyncio.sleep(scene.seconds / 2)
        await asyncio.to_thread(external.start)
    else:
        await asyncio.sleep(scene.seconds)


async def _backend_killed(scene: Scene) -> None:
    if backends := scene.stage.postgres.backends():
        with suppress(psutil.Error):
            scene.chance.choice(backends).kill()
    await asyncio.sleep(1)
    await _started_if_ended(scene)


async def _postgres_frozen(scene: Scene) -> None:
    with frozen(scene.stage.postgres.data_dir):
        await asyncio.sleep(scene.seconds)


async def _black_hole(scene: Scene) -> None:
    link = scene.stage.database_link
    assert link is not None
    link.swallow()
    await asyncio.sleep(scene.seconds)
    link.carry(forgotten=scene.chance.random() < 0.5)


async def _disk_full(scene: Scene) -> None:
    await asyncio.to_thread(scene.stage.disk.fill)
    try:
        await asyncio.sleep(scene.seconds)
    finally:
        scene.stage.disk.free()
    await _started_if_ended(scene)


async def _started_if_ended(scene: Scene) -> None:
    # The operator of an external Postgres, or systemd.
    external = scene.stage.external
    if external is not None and external.ended():
        await asyncio.to_thread(external.start)


async def _out_of_connections(scene: Scene) -> None:
    hogs = await scene.stage.postgres.run_out_of_connections()
    await asyncio.sleep(scene.seconds)
    for hog in hogs:
        hog.terminate()


async def _reply_lost(scene: Scene) -> None:
    link = scene.stage.database_link
    assert link is not None
    for _ in range(6):
        link.lose_answers(1, _KEY)
        await asyncio.sleep(scene.seconds / 6)
    link.lose_answers(0, _KEY)


async def _clock_of_database(scene: Scene) -> None:
    clock = scene.stage.database_clock
    assert clock is not None
    clock.set(scene.chance.choice(_OFFSETS))
    await asyncio.sleep(scene.seconds)
    clock.set(0)


# The service.


async def _clock_of_service(scene: Scene) -> None:
    clock = scene.stage.clock
    assert clock is not None
    clock.set(scene.chance.choice(_OFFSETS))
    await asyncio.sleep(scene.seconds)
    clock.set(0)


async def _worker_killed(scene: Scene) -> None:
    if not (workers := scene.stage.service.workers()):
        return
    killed = scene.chance.choice(workers)
    with suppress(psutil.Error):
        killed.kill()
    await until(lambda: _are_back(scene.stage, killed), _BACK_SECONDS)


async def _worker_frozen(scene: Scene) -> None:
    workers = scene.stage.service.workers()
    if not workers:
        return
    worker = scene.chance.choice(workers)
    with suppress(psutil.Error):
        worker.suspend()
        # Longer than its lease: the others have forgotten its connections when it goes on.
        await asyncio.sleep(1.5 * scene.seconds)
        worker.resume()


async def _parent_killed(scene: Scene) -> None:
    await asyncio.to_thread(scene.stage.service.kill)
    await asyncio.to_thread(scene.stage.service.start)


async def _all_killed(scene: Scene) -> None:
    """The machine goes down: nothing is left but files, and a number that is another's now."""
    postgres, service = scene.stage.postgres, scene.stage.service
    await asyncio.to_thread(service.kill_all)
    for process in [*postgres.backends(), *([found] if (found := postgres.postmaster()) else [])]:
        with suppress(psutil.Error):
            process.kill()
    lines = postgres.pid_file.read_text(encoding="utf-8").splitlines(keepends=True)
    lines[0] = f"{_FOREIGN_PID}\n"
    postgres.pid_file.write_text("".join(lines), encoding="utf-8")
    await asyncio.to_thread(service.start)


async def _service_restarted(scene: Scene) -> None:
    code = await asyncio.to_thread(scene.stage.service.stop)
    if code != 0:
        scene.audience.load.wrong.append(f"SIGTERM ended with exit code {code}")
    await asyncio.to_thread(scene.stage.service.start)


def _are_back(stage: Stage, killed: psutil.Process) -> bool:
    workers = stage.service.workers()
    return killed not in workers and len(workers) == WORKERS


# The clients.


async def _half_open(scene: Scene) -> None:
    left = [
        one.vanish() for one in scene.chance.sample(scene.audience.sockets, _some(scene.audience))
    ]
    await asyncio.sleep(scene.seconds)
    for transport in left:
        if transport is not None:
            transport.abort()


async def _left_half_open(scene: Scene) -> None:
    """The same, and they are never closed by the client."""
    for one in scene.chance.sample(scene.audience.sockets, _some(scene.audience)):
        if (transport := one.vanish()) is not None:
            scene.audience.left.append(transport)


async def _slow_readers(scene: Scene) -> None:
    slow = scene.chance.sample(scene.audience.sockets, _some(scene.audience))
    for one in slow:
        one.stop_reading()
    # More than buffers hold: the kernel's take some megabytes on one machine.
    load = scene.audience.load
    usual, load.length = load.length, _LONG
    await asyncio.sleep(scene.seconds)
    load.length = usual
    await asyncio.sleep(scene.seconds / 2)
    for one in slow:
        one.read_on()


async def _mass_reconnect(scene: Scene) -> None:
    for one in scene.audience.listeners:
        one.cut()
    await until(lambda: not any(one.live for one in scene.audience.listeners), 1)


def _some(audience: Audience) -> int:
    return max(1, len(audience.sockets) // 3)


# The bus.


async def _broker_killed(scene: Scene) -> None:
    broker = scene.stage.broker
    assert broker is not None
    await asyncio.to_thread(broker.kill)
    await asyncio.sleep(scene.seconds)
    await asyncio.to_thread(broker.start)


async def _broker_frozen(scene: Scene) -> None:
    broker = scene.stage.broker
    assert broker is not None
    broker.freeze()
    await asyncio.sleep(scene.seconds)
    broker.thaw()


async def _broker_black_hole(scene: Scene) -> None:
    link = scene.stage.broker_link
    assert link is not None
    link.swallow()
    await asyncio.sleep(scene.seconds)
    link.carry(forgotten=scene.chance.random() < 0.5)


def _has_link(stage: Stage) -> bool:
    return stage.database_link is not None


def _has_broker(stage: Stage) -> bool:
    return stage.broker is not None


def _embedded(stage: Stage) -> bool:
    return stage.external is None


FAULTS: Final = {
    "restart": Fault("Postgres restarted", _postgres_restarted),
    "crash": Fault("Postgres ended as by a crash (SIGQUIT)", _postgres_crashed),
    "kill": Fault("SIGKILL of the postmaster", _postgres_killed),
    "backend": Fault("SIGKILL of a backend of Postgres", _backend_killed),
    "freeze": Fault("Postgres frozen", _postgres_frozen),
    "hole": Fault("the database in a black hole", _black_hole, _has_link),
    "disk": Fault("the database's disk full", _disk_full, lambda stage: stage.disk.small),
    "connections": Fault("Postgres out of connections", _out_of_connections),
    "reply": Fault("COMMIT done, its reply lost", _reply_lost, _has_link),
    "database-clock": Fault(
        "the database's clock set", _clock_of_database, lambda s: s.database_clock is not None
    ),
    "clock": Fault("the service's clock set", _clock_of_service, lambda s: s.clock is not None),
    "worker": Fault("SIGKILL of a worker", _worker_killed),
    "worker-freeze": Fault("a worker frozen", _worker_frozen),
    "parent": Fault("SIGKILL of the parent", _parent_killed),
    "all": Fault("SIGKILL of all; postmaster.pid names another process", _all_killed, _embedded),
    "sigterm": Fault("SIGTERM and another start", _service_restarted),
    "half-open": Fault("clients left their connections half open", _half_open),
    "abandoned": Fault("clients left half open for good", _left_half_open),
    "slow": Fault("clients that do not read", _slow_readers),
    "reconnect": Fault("all clients come back at once", _mass_reconnect),
    "broker": Fault("SIGKILL of the broker", _broker_killed, _has_broker),
    "broker-freeze": Fault("the broker frozen", _broker_frozen, _has_broker),
    "broker-hole": Fault("the broker in a black hole", _broker_black_hole, _has_broker),
}
"""By the name that `--only` takes."""
