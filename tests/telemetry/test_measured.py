"""From readings to the text that Prometheus reads."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families

from app.telemetry.histogram import Histogram
from app.telemetry.measured import (
    Metric,
    Value,
    exposition,
    format_for,
    read_reading,
    reading_of,
    written,
)

JOBS = Metric("widgetwire_jobs_total", "counter", "Jobs.", ("kind",))
WAITING = Metric("widgetwire_waiting", "gauge", "Things that wait.")
TOOK = Metric("widgetwire_took_seconds", "histogram", "Times.", ("lane",), (0.1, 1.0))
METRICS = (JOBS, WAITING, TOOK)


def values(jobs: int, *times: float) -> Mapping[Metric, Mapping[tuple[str, ...], Value]]:
    took = Histogram((0.1, 1.0))
    for seconds in times:
        took.observe(seconds)
    return {JOBS: {("a",): jobs, ('"b\n',): 0}, WAITING: {(): 2.5}, TOOK: {("slow",): took}}


def samples(text: bytes, parse: Any = text_string_to_metric_families) -> dict[Any, float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parse(text.decode())
        for sample in family.samples
    }


def test_the_readings_of_all_workers_stand_in_one_family_each() -> None:
    readings = {
        "1": reading_of(values(3, 0.05, 0.5, 7).items()),
        "2": read_reading(written(reading_of(values(4).items()))),
    }
    text, media_type = exposition(METRICS, readings, format_for(""))
    assert media_type.startswith("text/plain; version=0.0.4")
    assert text.decode().count("# TYPE") == 3
    found = samples(text)
    jobs = "widgetwire_jobs_total"
    assert found[jobs, (("kind", "a"), ("worker", "1"))] == 3
    assert found[jobs, (("kind", "a"), ("worker", "2"))] == 4
    assert found[jobs, (("kind", '"b\n'), ("worker", "1"))] == 0
    assert found["widgetwire_waiting", (("worker", "2"),)] == 2.5
    took = "widgetwire_took_seconds"
    lane = ("lane", "slow"), ("worker", "1")
    by_bound = [
        found[f"{took}_bucket", (lane[0], ("le", bound), lane[1])]
        for bound in ("0.1", "1.0", "+Inf")
    ]
    assert by_bound == [1, 2, 3]
    assert found[f"{took}_count", lane] == 3
    assert found[f"{took}_sum", lane] == 7.55


def test_open_metrics_for_who_asks_for_it() -> None:
    readings = {"1": reading_of(values(3, 0.5).items())}
    accept = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.1"
    text, media_type = exposition(METRICS, readings, format_for(accept))
    assert media_type.startswith("application/openmetrics-text")
    assert text.endswith(b"# EOF\n")
    found = samples(text, open_metrics)
    assert found["widgetwire_jobs_total", (("kind", "a"), ("worker", "1"))] == 3


@pytest.mark.parametrize("kind", ["text/plain", "application/openmetrics-text"])
@pytest.mark.parametrize("version", ["abc", '"1.0.0"', '1.0.0.x"<b>', "9" * 5000])
def test_no_version_that_is_asked_for_fails_or_comes_back(kind: str, version: str) -> None:
    """prometheus-client failed at a version that is no number, which was a 500 and a traceback."""
    text, media_type = exposition(METRICS, {}, format_for(f"{kind}; version={version}"))
    assert text
    assert media_type.startswith(kind)
    assert version not in media_type


def test_what_a_worker_of_another_version_measured_otherwise_is_left_out() -> None:
    old = Metric("widgetwire_gone", "gauge", "Nobody knows it any more.")
    coarse = Histogram((1.0,))
    reading = reading_of([(old, {(): 1}), (TOOK, {("slow",): coarse}), (JOBS, {(): 1})])
    text, _ = exposition(METRICS, {"1": reading}, format_for(""))
    assert samples(text) == {}


@pytest.mark.parametrize("data", [b"", b"{}", b'[["name"]]', b"\xff"])
def test_what_is_no_reading_is_refused(data: bytes) -> None:
    with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)):
        read_reading(data)
