"""What the system says of this process."""

import os
import resource
import time

from app.telemetry.process_numbers import PROCESS_METRICS, process_values


def test_they_are_this_process() -> None:
    values = {metric.name: value for metric, value in process_values().items()}
    assert values.keys() == {metric.name for metric in PROCESS_METRICS}
    prefix = "widgetwire_process_"
    assert 0 < values[f"{prefix}cpu_seconds_total"] <= time.process_time() + 1
    assert values[f"{prefix}resident_memory_bytes"] > 1_000_000
    assert values[f"{prefix}start_time_seconds"] < time.time()
    assert values[f"{prefix}max_fds"] == resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def test_an_open_file_is_counted() -> None:
    def open_files() -> float:
        values = {metric.name: value for metric, value in process_values().items()}
        return values["widgetwire_process_open_fds"]

    before = open_files()
    reading, writing = os.pipe()
    try:
        assert open_files() == before + 2
    finally:
        os.close(reading)
        os.close(writing)
