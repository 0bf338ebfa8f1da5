"""The part of an HTTP connection that answers ordinary requests: see `exchange.py`.

A request that may be one is held back until the end of the bytes that came. Whole by then, and
alone, it is the responder's; else the application gets it, with what came of its body.
"""

import asyncio
from abc import abstractmethod
from collections.abc import Coroutine
from typing import Any, cast

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
from uvicorn.server import ServerState

from app.telemetry.log_context import WORKING, Asked
from app.wire.exchange import RESPONDER, Exchange, RequestHead, Responder
from app.wire.http_connection import HttpBounds, HttpConnection, Phase
from app.wire.peer import Peers
from app.wire.repeated_head import RepeatedHead
from app.wire.request_head import Head
from app.wire.shared import Shared

__all__ = ["OrdinaryRequests"]


class _Held:
    """A request that may be an ordinary one, while it is parsed.

    Attributes:
        head: what `checked_head` returned.
        known: the same, for the responder.
        keep_alive: whether the client wants to go on with the connection.
        body: what came of it.
        whole: whether that is all.
    """

    __slots__ = ("body", "head", "keep_alive", "known", "whole")

    def __init__(self, head: Head, known: RequestHead, keep_alive: bool) -> None:
        self.head = head
        self.known = known
        self.keep_alive = keep_alive
        self.body = b""
        self.whole = False


class OrdinaryRequests(HttpConnection):
    """A connection that offers what comes whole to a `Responder`.

    Args: as of `HttpConnection`; `app_state` may have a responder.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        bounds: HttpBounds | None = None,
        peers: Peers | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop, bounds=bounds, peers=peers)
        self._responder: Responder | None = app_state.get(RESPONDER)
        self._requests = 0
        self._held: _Held | None = None
        self._repeated: RepeatedHead | None = None

    @abstractmethod
    def _ask(self, head: Head, *, keep_alive: bool) -> None:
        """Hand a request to the application, or queue it behind those before it."""

    # Called by an exchange.

    def write_answer(
        self, status_line: bytes, fields: bytes, body: bytes, keep_alive: bool
    ) -> None:
        """See `AnswerWriter.write_answer`."""
        if not self.transport.is_closing():
            shared = self._shared()
            defaults = shared.default_fields(self.server_state.default_headers)
            keep_alive = keep_alive and not shared.leaving
            end = b"\r\n" if keep_alive else b"connection: close\r\n\r\n"
            self.transport.writelines((b"%b%b%b%b" % (status_line, defaults, fields, end), body))
            if not keep_alive:
                self._linger()
        self.on_response_complete()

    def run(self, answering: Coroutine[Any, Any, None], asked: Asked) -> None:
        """See `AnswerWriter.run`."""
        task = self.loop.create_task(answering)
        self.tasks.add(task)
        WORKING[task] = asked
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[Any]") -> None:
        self.tasks.discard(task)
        del WORKING[task]

    # Ordinary requests.

    def _may_be_ordinary(self, method: bytes, head: Head) -> bool:
        """Hold a request back, until it is whole, if the responder may want it."""
        responder = self._responder
        if (
            responder is None
            or method != b"POST"
            or head.target not in responder.targets
            or head.expects_continue
            or self.scope["http_version"] != "1.1"
        ):
            return False
        fields = [pair for pair in self.headers if pair[0] != b"content-length"]
        known = self._repeated.head if self._repeated is not None else None
        if known is None or known.fields != fields or known.target != head.target:
            peer = self._peers.of_request(self._caller, fields)
            known = RequestHead(head.target, fields, peer)
        # The parser forgets it with the end of the request.
        self._held = _Held(head, known, self.parser.should_keep_alive())
        return True

    def _settle(self) -> None:
        """Hand a request that is held back to the application: whole or not, it is not alone."""
        held, self._held = self._held, None
        if held is not None:
            self._ask(held.head, keep_alive=held.keep_alive)
            if held.body:
                super().on_body(held.body)
            if held.whole:
                super().on_message_complete()

    def _settle_alone(self, data: bytes) -> None:
        """Answer the request that is held back, if it is all that has come."""
        held = self._held
        if held is None:
            return
        if held.whole and self._responded(held.known, held.body, held.keep_alive):
            self._held = None
            if held.keep_alive:
                self._repeated = RepeatedHead.of(data, held.body, held.known)
        else:
            self._settle()

    def _answered_again(self, repeated: RepeatedHead, data: bytes) -> bool:
        if self._phase is not Phase.ANSWER:
            return False
        body = repeated.body_of(data)
        if body is None or not self._responded(repeated.head, body, keep_alive=True):
            return False
        self._enter(Phase.ANSWER)
        return True

    def _responded(self, head: RequestHead, body: bytes, keep_alive: bool) -> bool:
        # A peer that does not read its answers has to wait, and there is a task that can.
        if self._responder is None or not self._all_answered() or self.flow.write_paused:
            return False
        before = self.cycle, self._answering
        exchange = Exchange(self, head, body, keep_alive, self._requests + 1)
        self.cycle = self._answering = cast(RequestResponseCycle, exchange)
        if self._responder.respond(exchange):
            self._requests += 1
            return True
        self.cycle, self._answering = before
        return False

    def _shared(self) -> Shared:
        return Shared.of(self.server_state, self.config)
