"""The load: publishes so that a bounded number is undelivered, or at a fixed rate."""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.pace import MAX_WAIT_SECONDS, Pace, Rate, Window
from benchmarks.publishers import Publisher
from benchmarks.servers import Server
from benchmarks.subscribers import Subscribers

__all__ = ["Delivered", "at_rate", "in_rounds", "median", "percentile", "warm_up"]

_FIRST_ARRIVAL_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Delivered:
    """What one measurement gave."""

    deliveries_per_second: float
    publishes_per_second: float
    cpu_microseconds: float
    """Of the server, for each delivery, its publishing included."""
    p50_ms: float
    p99_ms: float
    """From the sending of a publish to its arrival at a sampled subscriber."""
    frame_bytes: float
    """As they come to a subscriber, with the WebSocket's header."""
    load_busy: float
    """How much of its time the load was computing, 0 to 1; near 1 it would be the limit."""
    capacity_per_second: float = 0.0
    """Deliveries a second if each worker had a core to itself: its deliveries by its CPU time."""


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of the values are; 0 where there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def median(results: Sequence[Delivered]) -> Delivered:
    """Each figure's median."""
    return Delivered(
        *(statistics.median(getattr(one, name) for one in results) for name in Delivered.__slots__)
    )


def warm_up(subscribers: Subscribers, publishers: Sequence[Publisher]) -> None:
    """Learn the length of a frame, and see that everybody is subscribed.

    Raises:
        RuntimeError: somebody is not.
    """
    by_fd = {one.fileno(): one for one in publishers}
    for number in by_fd:
        subscribers.register(number)
    # Connecting them has published: the stock server takes long to deliver that.
    subscribers.drain(1.0)
    for _ in range(3):
        subscribers.begin()
        subscribers.first_frame_bytes = 0
        publishers[0].send(1)
        end = time.monotonic() + 20
        quiet = 0
        while quiet < 5 and time.monotonic() < end:
            before = subscribers.total_bytes
            for number in subscribers.poll(0.1):
                by_fd[number].receive()
            quiet = quiet + 1 if before and subscribers.total_bytes == before else 0
    subscribers.frame_bytes = subscribers.first_frame_bytes
    if subscribers.total_bytes != subscribers.frame_bytes * len(subscribers):
        raise RuntimeError(
            f"one message came to {len(subscribers)} subscribers as {subscribers.total_bytes} "
            f"bytes, in frames of {subscribers.frame_bytes}"
        )
    subscribers.begin()


def in_rounds(
    server: Server,
    subscribers: Subscribers,
    publishers: Sequence[Publisher],
    window: int,
    rounds: int,
    seconds: float,
    rest_seconds: float = 0.0,
) -> Delivered:
    """Warm up, then return the median of rounds of `_windowed`; the publishers hang up."""
    warm_up(subscribers, publishers)
    _windowed(server, subscribers, publishers, window, seconds / 3, rest_seconds)
    measured = [
        _windowed(server, subscribers, publishers, window, seconds, rest_seconds)
        for _ in range(rounds)
    ]
    for publisher in publishers:
        subscribers.epoll.unregister(publisher.fileno())
        publisher.close()
    return median(measured)


def _windowed(
    server: Server,
    subscribers: Subscribers,
    publishers: Sequence[Publisher],
    window: int,
    seconds: float,
    rest_seconds: float,
) -> Delivered:
    """Publish as fast as `window` undelivered messages allow.

    Args:
        server: what is measured.
        subscribers: of one channel.
        publishers: to that channel.
        window: how many messages may be undelivered.
        seconds: how long.
        rest_seconds: what the load sleeps between two looks at its sockets: it then reads
            several frames at once, and leaves the core to a server that shares it.

    Raises:
        RuntimeError: a message was not delivered to everybody.
    """
    pace = Window(subscribers, window)
    return _measure(server, subscribers, publishers, pace, seconds, rest_seconds)


def at_rate(
    server: Server,
    subscribers: Subscribers,
    publishers: Sequence[Publisher],
    per_second: float,
    seconds: float,
) -> Delivered:
    """Publish on time, whatever has been delivered; latency counts from when it was due.

    Raises:
        RuntimeError: a message was not delivered to everybody.
    """
    return _measure(server, subscribers, publishers, Rate(subscribers, per_second), seconds)


def _measure(
    server: Server,
    subscribers: Subscribers,
    publishers: Sequence[Publisher],
    pace: Pace,
    seconds: float,
    rest_seconds: float = 0.0,
) -> Delivered:
    by_fd = {one.fileno(): one for one in publishers}
    idle = set(by_fd)
    subscribers.begin()
    sent_at = subscribers.sent_at
    cpu, own, began = server.cpu_seconds_each(), time.process_time(), time.perf_counter()
    # Longer when nothing has arrived by then: the machine may have stood still.
    while (elapsed := time.perf_counter() - began) < seconds or (
        not subscribers.total_bytes and elapsed < _FIRST_ARRIVAL_SECONDS
    ):
        owed = pace.owed(elapsed)
        while owed > 0 and idle:
            number = idle.pop()
            publisher = by_fd[number]
            room = publisher.room()
            if count := min(owed, room):
                publisher.send(count)
                now = time.perf_counter() - began
                first = len(sent_at)
                sent_at += [began + pace.sent_at(first + more, now) for more in range(count)]
                owed -= count
            if count < room:
                idle.add(number)
        wait = pace.wait(time.perf_counter() - began) if idle else MAX_WAIT_SECONDS
        for number in subscribers.poll(min(wait, MAX_WAIT_SECONDS)):
            if by_fd[number].receive():
                idle.add(number)
        if rest_seconds:
            time.sleep(rest_seconds)
    deliveries = subscribers.total_bytes / subscribers.frame_bytes
    elapsed = time.perf_counter() - began
    used, own = server.cpu_seconds_each(), time.process_time() - own
    each = [after - before for after, before in zip(used, cpu, strict=True)]
    _finish(subscribers, by_fd)
    return _result(subscribers, deliveries, elapsed, each, own)


def _finish(subscribers: Subscribers, by_fd: dict[int, Publisher]) -> None:
    """Wait until all that was sent has arrived everywhere, and no more than that."""
    expected = len(subscribers.sent_at) * subscribers.frame_bytes * len(subscribers)
    deadline = time.monotonic() + 30
    while (
        subscribers.total_bytes < expected or any(one.busy for one in by_fd.values())
    ) and time.monotonic() < deadline:
        for number in subscribers.poll(0.1):
            by_fd[number].receive()
    subscribers.drain(0.05)
    if subscribers.total_bytes != expected:
        raise RuntimeError(
            f"{expected:,} bytes should have been delivered, {subscribers.total_bytes:,} were"
        )


def _result(
    subscribers: Subscribers, deliveries: float, elapsed: float, cpu: list[float], own: float
) -> Delivered:
    # Connections are spread evenly over workers.
    share = deliveries / len(cpu)
    return Delivered(
        deliveries_per_second=deliveries / elapsed,
        publishes_per_second=deliveries / elapsed / len(subscribers),
        cpu_microseconds=sum(cpu) / deliveries * 1e6,
        p50_ms=percentile(subscribers.latencies, 0.5) * 1000,
        p99_ms=percentile(subscribers.latencies, 0.99) * 1000,
        frame_bytes=subscribers.frame_bytes,
        load_busy=own / elapsed,
        capacity_per_second=sum(share / one for one in cpu if one),
    )
