"""Tasks that must not end: what fails is logged and begun again."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, NoReturn

__all__ = ["keep_running"]

logger = logging.getLogger(__name__)

AGAIN_SECONDS: Final = 1.0
"""Before what failed is begun again."""


async def keep_running(name: str, run: Callable[[], Awaitable[object]]) -> NoReturn:
    """Run something that should never end, and again a second after it ended or failed.

    A task whose exception nobody awaits ends without a sign, and the process goes on without it.
    Ends by cancellation only.

    Args:
        name: of the task, for the log.
        run: begins it.
    """
    while True:
        try:
            await run()
        except Exception:
            logger.exception("the %s failed; restarting it", name)
        else:
            logger.error("the %s ended unexpectedly; restarting it", name)
        await asyncio.sleep(AGAIN_SECONDS)
