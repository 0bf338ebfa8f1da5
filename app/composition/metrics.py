"""What is measured, and where each value is read: the one place that knows.

Nothing is done while nobody asks: the parts count in plain numbers, and are read here when
`/metrics` is asked. `docs/MONITORING.md` has the same table; a test compares them.
"""

import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias, TypeVar

from app import __version__
from app.composition.services import Started
from app.delivery.members import TALLIES
from app.errors import ErrorCode
from app.storage.database import Database
from app.storage.search_lanes import Lane
from app.telemetry.counters import COUNTED
from app.telemetry.histogram import SEARCH_SECONDS, SECONDS
from app.telemetry.loop_lag import LAG_SECONDS, LoopLag
from app.telemetry.measured import Metric, Reading, Value, reading_of
from app.telemetry.process_numbers import PROCESS_METRICS, process_values
from app.wire.shared import turns

__all__ = ["METRICS", "Parts", "reading"]


@dataclass(frozen=True, slots=True)
class Parts:
    """Where values are read."""

    started: Started
    loop_lag: LoopLag
    workers: int
    """How many processes the service is to have."""


_Name = TypeVar("_Name", bound=str)
_Values: TypeAlias = Mapping[tuple[str, ...], Value]
_Read: TypeAlias = Callable[[Parts], _Values | Value]

_NO_ERRORS: Final = dict.fromkeys(map(str, ErrorCode), 0)
"""Prometheus sees a first event only where there was a zero before."""
_FROM_REQUEST: Final = "from the request's arguments to the moment before the answer is written"


def _counter(name: str, meaning: str, *labels: str) -> Metric:
    return Metric(f"widgetwire_{name}_total", "counter", meaning, labels)


def _gauge(name: str, meaning: str, *labels: str) -> Metric:
    return Metric(f"widgetwire_{name}", "gauge", meaning, labels)


def _times(name: str, meaning: str, bounds: tuple[float, ...], *labels: str) -> Metric:
    return Metric(f"widgetwire_{name}_seconds", "histogram", meaning, labels, bounds)


def _by(counts: Mapping[_Name, Value]) -> _Values:
    return {(str(name),): value for name, value in counts.items()}


def _pools(parts: Parts, read: Callable[[Database], float]) -> _Values:
    pools = parts.started.pools
    return {
        ("publish",): read(pools.writing),
        ("presence",): read(pools.leasing),
        ("read",): read(pools.reading),
        ("quick_search",): read(pools.quick_searching),
        ("search",): read(pools.searching),
    }


def _failures(parts: Parts) -> _Values:
    found: dict[tuple[str, ...], Value] = {}
    for why in parts.started.pools.writing.failures:
        for pool, count in _pools(parts, lambda one, why=why: one.failures[why]).items():  # type: ignore[misc]
            found[(*pool, why)] = count
    return found


def _lanes(parts: Parts, read: Callable[[Lane], Value]) -> _Values:
    return {("quick",): read(parts.started.lanes.quick), ("slow",): read(parts.started.lanes.slow)}


def _waiting(parts: Parts) -> Mapping[str, tuple[int, int]]:
    """Return how many things wait in each queue, and their bytes."""
    blocked = [writer for turn in turns() for writer in tuple(turn.blocked)]
    hub, fan_out = parts.started.hub, parts.started.services.messages.fan_out
    backend, writers = hub.bus.backend, parts.started.writers
    waiting = {name: (one.waiting, one.waiting_bytes) for name, one in writers.items()}
    waiting["bus_in"] = backend.inbox.waiting.items, backend.inbox.waiting.bytes
    if backend.outbox is not None:
        waiting["bus_out"] = backend.outbox.waiting.items, backend.outbox.waiting.bytes
    waiting["early"] = hub.ahead.items, hub.ahead.bytes
    waiting["slow_filters"] = fan_out.waiting, fan_out.waiting_bytes
    waiting["sockets"] = len(blocked), sum(writer.unsent_bytes for writer in blocked)
    return waiting


def _events(parts: Parts) -> _Values:
    backend = parts.started.hub.bus.backend
    sent = backend.outbox.posted if backend.outbox is not None else 0
    return {("in",): backend.inbox.taken, ("out",): sent}


def _events_dropped(parts: Parts) -> _Values:
    backend = parts.started.hub.bus.backend
    dropped = backend.outbox.dropped if backend.outbox is not None else 0
    return {("in",): backend.inbox.dropped, ("out",): dropped}


_PARTS: Final[tuple[tuple[Metric, _Read], ...]] = (
    # Connections.
    (
        _gauge("connections", "Open connections, by what is spoken on them.", "kind"),
        lambda _: _by(COUNTED.connections),
    ),
    (
        _counter("connections_opened", "Connections that were opened.", "kind"),
        lambda _: _by(COUNTED.connections_opened),
    ),
    (
        _counter(
            "socket_closes",
            "WebSockets that were closed, by who did it and the code.",
            "by",
            "code",
        ),
        lambda _: {(by, code): count for (by, code), count in COUNTED.closes.items()},
    ),
    (
        _counter("refusals", "Connections and requests that were refused.", "reason"),
        lambda _: _by(COUNTED.refusals),
    ),
    (
        _counter("errors", "Errors that clients were told, by `extensions.code`.", "code"),
        lambda _: _by({**_NO_ERRORS, **COUNTED.errors}),
    ),
    (
        _counter("frames_received", "Messages that came on WebSockets."),
        lambda _: COUNTED.frames_in,
    ),
    (
        _counter("frames_sent", "Frames and pieces of streams that were written."),
        lambda _: COUNTED.frames_out,
    ),
    (
        _counter("sent_bytes", "Bytes of those, before TLS."),
        lambda _: COUNTED.bytes_out,
    ),
    # Publishing.
    (
        _counter("messages_published", "Messages that were published here.", "stored"),
        lambda parts: {
            ("true",): parts.started.hub.published,
            ("false",): parts.started.hub.published_transient,
        },
    ),
    (
        _counter("messages_retracted", "Messages that were retracted or replaced here."),
        lambda parts: parts.started.hub.retracted,
    ),
    (
        _counter("commits", "Statements that stored messages, many in each.", "writer"),
        lambda parts: _by({name: one.commits for name, one in parts.started.writers.items()}),
    ),
    (
        _times("publish", f"Publishes that succeeded, {_FROM_REQUEST}.", SECONDS, "stored"),
        lambda parts: {
            (str(stored).lower(),): times
            for stored, times in parts.started.services.messages.publish_seconds.items()
        },
    ),
    # Delivering.
    (
        _times(
            "delivery",
            "From the commit (origin here) or from `created` (origin elsewhere) to the last write "
            "to a member of the channel, once for all of them.",
            SECONDS,
            "origin",
        ),
        lambda parts: {
            ("here",): parts.started.hub.times.here,
            ("elsewhere",): parts.started.hub.times.elsewhere,
        },
    ),
    (
        _counter("deliveries", "Live payloads, each counted once a member.", "kind"),
        lambda _: _by({kind: tally.deliveries for kind, tally in TALLIES.items()}),
    ),
    (
        _gauge("subscriptions", "Subscriptions that have begun.", "kind"),
        lambda _: _by({kind: tally.members for kind, tally in TALLIES.items()}),
    ),
    (
        _gauge("groups", "Groups of subscriptions that are given the same bytes."),
        lambda parts: parts.started.services.messages.fan_out.groups,
    ),
    (
        _gauge("channels", "Channels that somebody listens to here."),
        lambda parts: parts.started.hub.channels,
    ),
    (
        _gauge("presence_connections", "Connections counted here, each once a channel."),
        lambda parts: parts.started.services.presence.counted,
    ),
    # Queues.
    (
        _gauge("queue_items", "Things that wait, by queue.", "queue"),
        lambda parts: _by({name: items for name, (items, _) in _waiting(parts).items()}),
    ),
    (
        _gauge("queue_bytes", "Bytes of those.", "queue"),
        lambda parts: _by({name: size for name, (_, size) in _waiting(parts).items()}),
    ),
    # The bus.
    (
        _gauge("bus_lag_seconds", "How long the last event took round through the broker."),
        lambda parts: parts.started.hub.bus.lag_seconds,
    ),
    (
        _counter("bus_reconnects", "Times that the broker was lost and found again."),
        lambda parts: parts.started.hub.bus.backend.reconnects,
    ),
    (_counter("bus_events", "Events to and from the other processes.", "direction"), _events),
    (
        _counter("bus_events_dropped", "Events that found no room.", "direction"),
        _events_dropped,
    ),
    # The database.
    (
        _gauge("database_pool_size", "Connections that a pool may have.", "pool"),
        lambda parts: _pools(parts, lambda one: one.size),
    ),
    (
        _gauge("database_connections", "Connections that a pool has.", "pool"),
        lambda parts: _pools(parts, lambda one: one.connections),
    ),
    (
        _gauge("database_connections_used", "Connections that work.", "pool"),
        lambda parts: _pools(parts, lambda one: one.used),
    ),
    (
        _gauge("database_waiting", "Statements that wait for a connection.", "pool"),
        lambda parts: _pools(parts, lambda one: one.waiting),
    ),
    (
        _counter("database_failures", "Statements that failed, by why.", "pool", "why"),
        _failures,
    ),
    # Searches and results.
    (
        _times("search", "Statements of searches, waiting included.", SEARCH_SECONDS, "lane"),
        lambda parts: _lanes(parts, lambda lane: lane.seconds),
    ),
    (
        _gauge("searches_running", "Searches that run.", "lane"),
        lambda parts: _lanes(parts, lambda lane: lane.queue.running),
    ),
    (
        _gauge("searches_waiting", "Searches that wait for their turn.", "lane"),
        lambda parts: _lanes(parts, lambda lane: lane.queue.waiting),
    ),
    (
        _counter("searches_refused", "Searches that waited too long, or would.", "lane"),
        lambda parts: _lanes(parts, lambda lane: lane.queue.refused),
    ),
    (
        _counter("answers", "Searches that were looked for in the kept answers.", "kept"),
        lambda parts: {
            ("true",): parts.started.services.answers.hits,
            ("false",): parts.started.services.answers.misses,
        },
    ),
    (
        _gauge("answer_bytes", "Memory of kept answers."),
        lambda parts: parts.started.services.answers.held_bytes,
    ),
    (
        _gauge("results_kept", "Results that messages are applied to."),
        lambda parts: parts.started.services.live_results.kept,
    ),
    (
        _gauge("result_bytes", "Memory of those."),
        lambda parts: parts.started.services.live_results.held_bytes,
    ),
    (
        _counter("result_reads", "Parts of those that were read from the table."),
        lambda _: COUNTED.result_reads,
    ),
    (
        _gauge("filter_bytes", "Memory of the filters of all subscriptions."),
        lambda parts: parts.started.services.filters.held_bytes,
    ),
    (
        _counter("index_builds", "Indexes that this process built or dropped.", "outcome"),
        lambda _: _by(COUNTED.index_builds),
    ),
    # The process.
    (
        _times("loop_lag", "How late the event loop is, looked at each 0.25 s.", LAG_SECONDS),
        lambda parts: parts.loop_lag.seconds,
    ),
    (
        _gauge("workers", "Processes that the service is to have."),
        lambda parts: parts.workers,
    ),
    (
        _gauge("build_info", "Always 1; which version runs.", "version", "python"),
        lambda _: {(__version__, platform.python_version()): 1.0},
    ),
)

METRICS: Final = (*(metric for metric, _ in _PARTS), *PROCESS_METRICS)
"""All there are."""


def reading(parts: Parts) -> Reading:
    """Return what this process has measured."""
    values = [(metric, _labelled(read(parts))) for metric, read in _PARTS]
    values += [(metric, _labelled(value)) for metric, value in process_values().items()]
    return reading_of(values)


def _labelled(values: _Values | Value) -> _Values:
    return values if isinstance(values, Mapping) else {(): values}
