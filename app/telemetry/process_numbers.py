"""What the operating system says of this process."""

import os
from collections.abc import Mapping
from typing import Final

import psutil

from app.telemetry.measured import Metric

__all__ = ["PROCESS_METRICS", "process_values"]

_PREFIX: Final = "widgetwire_process_"
_CPU: Final = Metric(
    f"{_PREFIX}cpu_seconds_total", "counter", "Processor time that the process used."
)
_MEMORY: Final = Metric(f"{_PREFIX}resident_memory_bytes", "gauge", "Memory that the process has.")
_START: Final = Metric(
    f"{_PREFIX}start_time_seconds", "gauge", "When the process began, as Unix time."
)
_FILES: Final = Metric(f"{_PREFIX}open_fds", "gauge", "Files and sockets that it has open.")
_FILES_MAX: Final = Metric(f"{_PREFIX}max_fds", "gauge", "Files and sockets that it may open.")

PROCESS_METRICS: Final = (_CPU, _MEMORY, _START, _FILES, _FILES_MAX)


def process_values() -> Mapping[Metric, float]:
    """Return them; on Windows without those of files."""
    process = psutil.Process()
    with process.oneshot():
        times = process.cpu_times()
        values = {
            _CPU: times.user + times.system,
            _MEMORY: process.memory_info().rss,
            _START: process.create_time(),
        }
    if os.name == "posix":
        values[_FILES] = _open_files(process)
        values[_FILES_MAX] = _most_files()
    return values


def _open_files(process: psutil.Process) -> int:
    try:
        # From Linux 6.2 on it is their number; to list 50,000 of them takes long.
        size = os.stat("/proc/self/fd").st_size
    except OSError:
        size = 0
    return size or process.num_fds()


def _most_files() -> int:
    import resource  # noqa: PLC0415 (Unix only)

    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
