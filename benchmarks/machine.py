"""The machine a benchmark runs on: which core is whose, and how many files may be open."""

import os
import platform
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = [
    "describe",
    "load_core",
    "on_core",
    "pin",
    "raise_file_limit",
    "server_core",
    "worker_core",
]

_CORES = tuple(sorted(os.sched_getaffinity(0)))


def server_core() -> int | None:
    """The core of the server under test; None where there is only one: nothing is pinned."""
    return _CORES[0] if len(_CORES) > 1 else None


def load_core() -> int | None:
    """The core of the load and of Postgres."""
    return _CORES[-1] if len(_CORES) > 1 else None


def worker_core(number: int) -> int | None:
    """The core of one of several workers."""
    return _CORES[number % len(_CORES)] if len(_CORES) > 1 else None


def pin(process_id: int, core: int | None) -> None:
    """Keep a process, and what it starts from now on, to one core; None: leave it."""
    if core is not None:
        os.sched_setaffinity(process_id, {core})


@contextmanager
def on_core(core: int | None) -> Iterator[None]:
    """Keep what is started meanwhile to one core, and this process too; None: nothing."""
    cores = os.sched_getaffinity(0)
    pin(0, core)
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def raise_file_limit() -> int:
    """Allow as many open files as this user may have, and return how many."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def describe() -> str:
    """One line about the machine."""
    model = platform.processor() or platform.machine()
    for line in _lines("/proc/cpuinfo"):
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return f"{model}, {len(_CORES) or os.cpu_count()} cores, Python {platform.python_version()}"


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
