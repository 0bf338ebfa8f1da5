"""A tiny application under the real server and supervisor, as a process of its own.

    python -m tests.process.tiny WORKERS [GRACE_SECONDS]

Prints `ready PORT` once it serves, `drained` when its drain ran; exits as `serve` does.
"""

import asyncio
import errno
import gc
import os
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute

from app.config import Settings
from app.errors import ConfigurationError, StartupError
from app.process.listening import bind
from app.process.server import ServerOptions, run_server
from app.process.supervisor import Supervisor
from app.telemetry.logs import configure_logging
from tests.wire.echo import echo


def create_app(settings: Settings) -> Starlette:
    """What it does wrong is chosen by the variable TINY."""
    wrong = os.environ.get("TINY", "")

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        if wrong == "refuses to start":
            raise ConfigurationError("TINY: expected a good mood")
        yield
        if wrong == "never ends":
            await asyncio.Event().wait()

    async def pid(_request: Request) -> PlainTextResponse:
        return PlainTextResponse(str(os.getpid()))

    async def garbage(_request: Request) -> PlainTextResponse:
        return PlainTextResponse(f"{gc.get_threshold()[0]} {gc.get_freeze_count()}")

    async def slow(_request: Request) -> PlainTextResponse:
        print("slow began", flush=True)
        await draining.wait()
        return PlainTextResponse("done")

    async def drain() -> None:
        draining.set()
        print("drained", flush=True)
        if wrong == "drains for ever":
            await asyncio.Event().wait()
        if wrong == "fails to drain":
            raise RuntimeError("drain")
        if wrong == "blocks":
            threading.Event().wait()

    draining = asyncio.Event()
    app = Starlette(
        routes=[
            Route("/pid", pid),
            Route("/garbage", garbage),
            Route("/slow", slow),
            WebSocketRoute("/echo", echo),
        ],
        lifespan=lifespan,
    )
    app.state.drain = drain
    return app


def refuse_the_next_process_after(count: int) -> None:
    """Let the system refuse one new process, once `count` were started."""
    start = asyncio.create_subprocess_exec
    started = 0

    async def refusing(*arguments: Any, **options: Any) -> asyncio.subprocess.Process:
        nonlocal started
        started += 1
        if started == count + 1:
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return await start(*arguments, **options)

    asyncio.create_subprocess_exec = refusing


def main(workers: int, grace_seconds: float) -> None:
    """Serve on a free port."""
    configure_logging()
    sockets = bind("127.0.0.1", 0, workers)
    port = sockets[0][0].getsockname()[1]

    def ready() -> None:
        print(f"ready {port}", flush=True)

    try:
        if workers == 1:
            options = ServerOptions(shutdown_grace_seconds=grace_seconds)
            run_server(create_app(Settings()), sockets[0], options, ready)
        else:
            if os.environ.get("TINY") == "no third process":
                refuse_the_next_process_after(2)
            asyncio.run(
                Supervisor(
                    "tests.process.tiny:create_app",
                    sockets,
                    grace_seconds=grace_seconds,
                    on_ready=ready,
                ).run()
            )
    except StartupError:
        sys.exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 8.0)
