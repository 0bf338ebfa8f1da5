"""The operations of one socket: begun in the order sent, run side by side, ended in any order.

A subscription has begun when its resolver has returned its source: it is joined and misses
nothing. What was sent after it waits until then, so that a publish after a subscribe
reaches that subscription. Queries and mutations begin without waiting for one another.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from graphql import OperationType

from app.defaults import MAX_OPERATIONS_IN_FLIGHT, MAX_SUBSCRIPTIONS_PER_CONNECTION
from app.delivery.members import Member
from app.engine.documents import Operation
from app.engine.errors import RequestRefused, ResponseError, response_error
from app.engine.execution import Executor, Subscription
from app.errors import ErrorCode, Forbidden, SubscriberTooSlow
from app.telemetry.counters import COUNTED
from app.telemetry.log_context import WORKING
from app.telemetry.traces import TRACES
from app.transports.graphql.context import OperationContext
from app.transports.graphql.parameters import Parameters

__all__ = ["OperationLimits", "Operations", "Replies"]


@dataclass(frozen=True, slots=True)
class OperationLimits:
    """The bounds of one socket."""

    max_in_flight: int = MAX_OPERATIONS_IN_FLIGHT
    """Queries, mutations and subscriptions not yet joined; then the socket is not read."""
    max_subscriptions: int = MAX_SUBSCRIPTIONS_PER_CONNECTION
    """More on one socket are refused, each with RATE_LIMITED."""


class Replies(Protocol):
    """Where answers go. Nothing here raises."""

    def next(self, operation_id: str, payload: bytes) -> None:
        """One response."""

    def error(self, operation_id: str, errors: list[ResponseError]) -> None:
        """The operation failed and is over."""

    def complete(self, operation_id: str) -> None:
        """The operation is over."""

    def too_slow(self, error: SubscriberTooSlow) -> None:
        """The reader fell behind: nothing more can be promised on this socket."""

    def member(self, operation_id: str) -> Member:
        """Whoever sends the responses that a group gives to this operation."""


@dataclass(slots=True, eq=False)
class _Entry:
    id: str
    parameters: Parameters | None
    """None once it has begun: thousands of idle ones need not keep their documents' text."""
    task: asyncio.Task[None] | None = None
    leave: Callable[[], None] | None = None
    """Ends a subscription that a group has taken over: it has no task any more."""
    kind: OperationType | None = None
    traceparent: str | None = None
    stopped: bool = False
    connection_id: str = ""
    number: int = 0
    """On the connection, from its beginning on."""

    @property
    def request_id(self) -> str:
        """As the log has it: an entry is what its task works for."""
        return f"{self.connection_id}-{self.number}"


class Operations:
    """Begins, runs and ends the operations of one socket, and owns their tasks.

    Args:
        executor: of the schema.
        context: of the connection; closing it is the owner's affair.
        replies: where answers go.
        limits: the bounds.
        on_load: told after each change of how much is in flight.
    """

    def __init__(
        self,
        executor: Executor,
        context: OperationContext,
        replies: Replies,
        limits: OperationLimits,
        on_load: Callable[[], None],
    ) -> None:
        self._executor = executor
        self._context = context
        self._replies = replies
        self._limits = limits
        self._on_load = on_load
        self._by_id: dict[str, _Entry] = {}
        self._waiting: deque[_Entry] = deque()
        self._running: set[_Entry] = set()
        self._joining: _Entry | None = None
        self._begun = 0
        self._subscriptions = 0
        self._handed_over = 0

    @property
    def full(self) -> bool:
        """Whether so much is in flight that no more should be read."""
        return self._in_flight >= self._limits.max_in_flight

    @property
    def busy(self) -> bool:
        """Whether a query or a mutation is under way, or a subscription not yet joined."""
        return self._in_flight > 0

    @property
    def _in_flight(self) -> int:
        return len(self._waiting) + len(self._running) - self._joined

    @property
    def _joined(self) -> int:
        """Subscriptions whose tasks are under way: they may last for ever and fill no lane."""
        joining = self._joining
        beginning = joining is not None and not joining.stopped
        return self._subscriptions - self._handed_over - beginning

    def start(self, operation_id: str, parameters: Parameters) -> bool:
        """Begin an operation, now or after those before it; False: its id is in use."""
        if operation_id in self._by_id:
            return False
        entry = _Entry(operation_id, parameters)
        self._by_id[operation_id] = entry
        self._waiting.append(entry)
        self._advance()
        self._on_load()
        return True

    def stop(self, operation_id: str) -> None:
        """End an operation that the client wants no more of; unknown ids are ignored.

        A mutation that has begun is carried out all the same, without an answer.
        """
        # "the client might complete what the server has completed": a race, no mistake.
        entry = self._by_id.pop(operation_id, None)
        if entry is None:
            return
        self._free(entry)
        if entry.leave is not None:
            entry.leave()
        elif entry.task is None:
            self._waiting.remove(entry)
            self._on_load()
        elif entry.kind is not OperationType.MUTATION:
            entry.task.cancel()

    def withdraw(self, operation_id: str, error: Forbidden) -> None:
        """End a subscription that the viewer has lost the right to; the others go on.

        The client is told by `error`: unlike a closed socket, it is no reason to come back.
        """
        entry = self._by_id.get(operation_id)
        if entry is None or (entry.leave is None and entry.task is None):
            return  # over already; an id that waits is another operation's by now
        leave = entry.leave
        self._fail(entry, [response_error(error)])
        if leave is not None:
            leave()
        elif entry.task is not None:
            entry.task.cancel()

    def cancel(self) -> None:
        """End everything but mutations that have begun: they are carried out. Idempotent."""
        # In their order: what runs is ended before what waits for it could begin.
        for entry in tuple(self._by_id.values()):
            self.stop(entry.id)

    async def mutated(self) -> None:
        """Wait until no mutation is under way; begin none of what waits."""
        for entry in tuple(self._waiting):
            self.stop(entry.id)
        while tasks := [
            entry.task
            for entry in self._running
            if entry.task is not None and entry.kind is OperationType.MUTATION
        ]:
            await asyncio.wait(tasks)

    # Beginning.

    def _advance(self) -> None:
        while self._waiting and self._joining is None:
            entry = self._waiting.popleft()
            parameters, entry.parameters = entry.parameters, None
            assert parameters is not None, "it waited"
            try:
                operation = self._executor.prepare(*parameters.asked)
            except RequestRefused as refused:
                self._fail(entry, refused.errors)
            else:
                entry.traceparent = parameters.traceparent
                self._begin(entry, operation, parameters.variables)

    def _begin(self, entry: _Entry, operation: Operation, variables: Mapping[str, object]) -> None:
        if operation.kind is OperationType.SUBSCRIPTION:
            if self._subscriptions >= self._limits.max_subscriptions:
                COUNTED.refusals["limit"] += 1
                refused = RequestRefused.of(
                    f"{self._subscriptions} subscriptions are open on this socket, at most "
                    f"{self._limits.max_subscriptions} are allowed",
                    ErrorCode.RATE_LIMITED,
                )
                self._fail(entry, refused.errors)
                return
            self._subscriptions += 1
            self._joining = entry
            run = self._subscribe(entry, operation, variables)
        else:
            run = self._execute(entry, operation, variables)
        entry.kind = operation.kind
        self._running.add(entry)
        self._begun += 1
        entry.connection_id, entry.number = self._context.peer.connection_id, self._begun
        task = entry.task = asyncio.create_task(run)
        WORKING[task] = entry
        task.add_done_callback(lambda task: self._done(entry, task))

    # Running.

    async def _execute(
        self, entry: _Entry, operation: Operation, variables: Mapping[str, object]
    ) -> None:
        if TRACES.recorder is not None:
            TRACES.recorder.enter_remote(entry.traceparent)
        try:
            payload = await self._executor.execute(operation, variables, self._context)
        except RequestRefused as refused:
            self._fail(entry, refused.errors)
        except Exception as error:
            self._fail(entry, [response_error(error)])
        else:
            if not entry.stopped:
                self._replies.next(entry.id, payload)
                self._complete(entry)

    async def _subscribe(
        self, entry: _Entry, operation: Operation, variables: Mapping[str, object]
    ) -> None:
        subscription: Subscription | None = None
        if TRACES.recorder is not None:
            TRACES.recorder.enter_remote(entry.traceparent)
        try:
            subscription = await self._executor.subscribe(operation, variables, self._context)
            # A replay may take long, and needs neither any more.
            del operation, variables
            self._leave_door(entry)
            leave = await subscription.begin(self._replies.member(entry.id))
            subscription = None
            if entry.stopped:
                leave()
            else:
                self._handed_over += 1
                entry.leave = leave
        except RequestRefused as refused:
            self._fail(entry, refused.errors)
        except SubscriberTooSlow as error:
            self._replies.too_slow(error)
        except Exception as error:
            self._fail(entry, [response_error(error)])
        finally:
            if subscription is not None:
                subscription.close()

    # Ending.

    def _complete(self, entry: _Entry) -> None:
        if self._forget(entry):
            self._replies.complete(entry.id)

    def _fail(self, entry: _Entry, errors: list[ResponseError]) -> None:
        if self._forget(entry):
            self._replies.error(entry.id, errors)

    def _forget(self, entry: _Entry) -> bool:
        """Free the id; False when the client has stopped the operation and may reuse it."""
        if entry.stopped:
            return False
        del self._by_id[entry.id]
        self._free(entry)
        return True

    def _free(self, entry: _Entry) -> None:
        entry.stopped = True
        if entry.kind is OperationType.SUBSCRIPTION:
            # From here on it counts as in flight until its source is closed.
            self._subscriptions -= 1
            self._handed_over -= entry.leave is not None

    def _leave_door(self, entry: _Entry) -> None:
        if self._joining is entry:
            self._joining = None
            self._advance()
            self._on_load()

    def _done(self, entry: _Entry, task: "asyncio.Task[None]") -> None:
        del WORKING[task]
        self._running.discard(entry)
        if self._joining is entry:
            self._joining = None
        if entry.leave is not None:
            entry.task = None
        elif not entry.stopped:
            # Cancelled from outside, with the loop.
            self._forget(entry)
        self._advance()
        self._on_load()
