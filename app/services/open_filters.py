"""The filters of open subscriptions: equal ones held once, their memory bounded.

A process holds each distinct filter once, whoever uses it, and counts its bytes; a connection
counts the bytes of those that its own subscriptions use. What a subscription was charged is
given back when it ends.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from app.defaults import MAX_FILTER_BYTES, MAX_FILTER_BYTES_PER_CONNECTION
from app.domain.query import EVERY_MESSAGE, CompiledFilters, Filter
from app.errors import BadUserInput, RateLimited, Unavailable
from app.telemetry.counters import COUNTED

__all__ = ["ConnectionFilters", "FilterLimits", "OpenFilters"]

_MAX_SEARCHES: Final = 20
"""`CONTAINS` of one subscription: each may read the largest message from end to end."""

_Key: TypeAlias = tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class FilterLimits:
    """The bounds of what filters hold in memory."""

    bytes_per_connection: int = MAX_FILTER_BYTES_PER_CONNECTION
    """Beyond it: RATE_LIMITED. The largest filters of one subscription take 1.4 MiB, those that
    clients usually send 2 KiB."""
    bytes_per_process: int = MAX_FILTER_BYTES
    """Beyond it: UNAVAILABLE. Asking so many about one message takes less than 50 ms."""


@dataclass(slots=True)
class _Open:
    filters: CompiledFilters
    uses: int = 0


class OpenFilters:
    """The distinct filters that a process's subscriptions use."""

    def __init__(self, limits: FilterLimits | None = None) -> None:
        self.limits = limits or FilterLimits()
        self._open: dict[_Key, _Open] = {}
        self.held_bytes = 0
        """Of all that are open."""

    def use(self, filters: Sequence[Filter]) -> CompiledFilters:
        """Return the compiled filters, those in use if there are equal ones; `release` later.

        Raises:
            Unavailable: all filters together would take too much.
        """
        key = tuple(filters)
        found = self._open.get(key)
        if found is None:
            compiled = CompiledFilters(key)
            if self.held_bytes + compiled.held_bytes > self.limits.bytes_per_process:
                raise Unavailable(
                    f"the filters of all subscriptions take {self.held_bytes} bytes of this "
                    f"server's memory, with these {self.held_bytes + compiled.held_bytes}; at most "
                    f"{self.limits.bytes_per_process} are allowed: retry later, or use filters "
                    "with fewer values"
                )
            self.held_bytes += compiled.held_bytes
            found = self._open[key] = _Open(compiled)
        found.uses += 1
        return found.filters

    def release(self, filters: CompiledFilters) -> None:
        """Take note that one use of what `use` returned is over."""
        found = self._open[filters.filters]
        found.uses -= 1
        if not found.uses:
            del self._open[filters.filters]
            self.held_bytes -= filters.held_bytes


class ConnectionFilters:
    """The distinct filters that the subscriptions of one connection use."""

    def __init__(self, process: OpenFilters) -> None:
        self._process = process
        self._uses: dict[CompiledFilters, int] = {}
        self._held_bytes = 0

    def open(
        self, filters: Sequence[Filter], at: str = "filters"
    ) -> tuple[CompiledFilters, Callable[[], None]]:
        """Return a subscription's filters compiled, and what gives them back. That is idempotent.

        Args:
            filters: parsed.
            at: their place in the request, for errors.

        Raises:
            BadUserInput: more than 20 comparisons with CONTAINS.
            RateLimited: the filters of this connection would take too much.
            Unavailable: the filters of the process would.
        """
        if not filters:
            return EVERY_MESSAGE, _nothing
        compiled = self._process.use(filters)
        try:
            self._check(compiled, at)
        except BaseException:
            self._process.release(compiled)
            raise
        uses = self._uses.get(compiled, 0)
        if uses:
            self._process.release(compiled)  # the connection's first use stands for all
        else:
            self._held_bytes += compiled.held_bytes
        self._uses[compiled] = uses + 1
        return compiled, _Once(self._leave, compiled)

    def close(self) -> None:
        """Give all back: the connection is gone. Idempotent."""
        for compiled in self._uses:
            self._process.release(compiled)
        self._uses.clear()
        self._held_bytes = 0

    def _check(self, compiled: CompiledFilters, at: str) -> None:
        if compiled.searches > _MAX_SEARCHES:
            raise BadUserInput(
                f"{at}: {compiled.searches} comparisons with CONTAINS came, at most "
                f"{_MAX_SEARCHES} are allowed in a subscription"
            )
        came = self._held_bytes + compiled.held_bytes
        allowed = self._process.limits.bytes_per_connection
        if came > allowed and compiled not in self._uses:
            COUNTED.refusals["limit"] += 1
            raise RateLimited(
                f"the filters of this connection's subscriptions take {self._held_bytes} bytes of "
                f"memory, with {at} {came}; at most {allowed} are allowed: end a subscription, or "
                "use filters with fewer values"
            )

    def _leave(self, compiled: CompiledFilters) -> None:
        uses = self._uses.get(compiled, 0)
        if uses == 1:
            del self._uses[compiled]
            self._held_bytes -= compiled.held_bytes
            self._process.release(compiled)
        elif uses:
            self._uses[compiled] = uses - 1


def _nothing() -> None:
    """Give back what took nothing."""


class _Once:
    """A call that happens at most once; what it is about is let go with it."""

    __slots__ = ("_compiled", "_leave")

    def __init__(self, leave: Callable[[CompiledFilters], None], compiled: CompiledFilters) -> None:
        self._leave = leave
        self._compiled: CompiledFilters | None = compiled

    def __call__(self) -> None:
        compiled, self._compiled = self._compiled, None
        if compiled is not None:
            self._leave(compiled)
