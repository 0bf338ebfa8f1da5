"""Measured values on their way: from the parts of a process to the text that Prometheus reads.

A `Metric` says what is measured; a `Reading` is what one process measured, small enough to be
handed from one worker to another. The text has the readings of all workers, each with the
label `worker`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, Literal, TypeAlias

import msgspec
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.metrics_core import (
    Metric as MetricFamily,
)

from app.telemetry.histogram import Histogram

__all__ = [
    "Metric",
    "Reading",
    "Value",
    "exposition",
    "format_for",
    "read_reading",
    "reading_of",
    "written",
]

Kind: TypeAlias = Literal["counter", "gauge", "histogram"]

Value: TypeAlias = float | Histogram

_WORKER: Final = "worker"

_OPEN_METRICS: Final = "application/openmetrics-text"


@dataclass(frozen=True, slots=True)
class Metric:
    """One thing that is measured.

    Args:
        name: as Prometheus has it, with its unit; a counter's ends in `_total`.
        kind: a counter only grows until its process ends.
        meaning: one sentence.
        labels: what its values are told apart by, besides `worker`; few values each.
        bounds: of a histogram's buckets, in seconds.
    """

    name: str
    kind: Kind
    meaning: str
    labels: tuple[str, ...] = ()
    bounds: Sequence[float] = ()


class _Series(msgspec.Struct, array_like=True, frozen=True):
    """One value of one metric."""

    metric: str
    labels: tuple[str, ...]
    value: float
    """A histogram's sum."""
    counts: tuple[int, ...] = ()
    """How many are in each bucket of a histogram."""


Reading: TypeAlias = list[_Series]

_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(Reading)


def reading_of(values: Iterable[tuple[Metric, Mapping[tuple[str, ...], Value]]]) -> Reading:
    """Return what a process has measured, by metric and by the values of its labels."""
    reading: Reading = []
    for metric, by_labels in values:
        for labels, value in by_labels.items():
            if isinstance(value, Histogram):
                series = _Series(metric.name, labels, value.total, tuple(value.counts))
            else:
                series = _Series(metric.name, labels, float(value))
            reading.append(series)
    return reading


def written(reading: Reading) -> bytes:
    """Return a reading as another worker takes it."""
    return _encoder.encode(reading)


def read_reading(data: bytes) -> Reading:
    """Return the reading that another worker has written.

    Raises:
        msgspec.DecodeError, msgspec.ValidationError: it is none.
    """
    return _decoder.decode(data)


def format_for(accept: str) -> str:
    """Return the format for a client, one of two: OpenMetrics where it is accepted, else the text.

    Args:
        accept: the header. Versions and escapings in it are not looked at: prometheus-client
            fails at some, and takes others over into the answer's media type.
    """
    kinds = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    return f"{_OPEN_METRICS}; version=1.0.0" if _OPEN_METRICS in kinds else "text/plain"


def exposition(
    metrics: Sequence[Metric], readings: Mapping[str, Reading], form: str
) -> tuple[bytes, str]:
    """Return what Prometheus is answered, and its media type.

    Args:
        metrics: all there are. What a worker of another version measured besides is left out.
        readings: by worker.
        form: as `format_for` returns it.
    """
    encode, media_type = choose_encoder(form)
    return encode(_Families(metrics, readings)), media_type


class _Families:
    """A collector, as prometheus-client asks it."""

    def __init__(self, metrics: Sequence[Metric], readings: Mapping[str, Reading]) -> None:
        self._metrics = metrics
        self._series: dict[str, list[tuple[str, _Series]]] = {}
        for worker, reading in readings.items():
            for series in reading:
                self._series.setdefault(series.metric, []).append((worker, series))

    def collect(self) -> Iterable[MetricFamily]:
        for metric in self._metrics:
            found = self._series.get(metric.name, ())
            yield _family(metric, [one for one in found if _fits(metric, one[1])])


def _fits(metric: Metric, series: _Series) -> bool:
    buckets = len(metric.bounds) + 1 if metric.kind == "histogram" else 0
    return len(series.labels) == len(metric.labels) and len(series.counts) == buckets


def _family(metric: Metric, found: Iterable[tuple[str, _Series]]) -> MetricFamily:
    names = (*metric.labels, _WORKER)
    if metric.kind == "histogram":
        histogram = HistogramMetricFamily(metric.name, metric.meaning, labels=names)
        bounds = [*map(str, metric.bounds), "+Inf"]
        for worker, series in found:
            buckets = list(zip(bounds, accumulate(series.counts), strict=True))
            histogram.add_metric((*series.labels, worker), buckets, series.value)
        return histogram
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family = kind(metric.name, metric.meaning, labels=names)
    for worker, series in found:
        family.add_metric((*series.labels, worker), series.value)
    return family
