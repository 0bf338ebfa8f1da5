"""Patience of whoever begins to listen while the database is away.

For most GraphQL clients an error of a subscription is its end, however short the outage was; a
subscription that begins late is none.
"""

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from tenacity import AsyncRetrying, retry_if_exception, stop_after_delay
from tenacity.wait import wait_random_exponential

from app.errors import ShuttingDown, Unavailable

__all__ = ["patiently"]

Found = TypeVar("Found")

_PATIENCE_SECONDS: Final = 30.0
_LONGEST_PAUSE_SECONDS: Final = 1.0


async def patiently(read: Callable[[], Awaitable[Found]]) -> Found:
    """Do something again and again while the database is away, for 30 s at the most.

    What is refused because too many ask is not done again: it says when to come back.

    Args:
        read: what may be done any number of times.

    Raises:
        Unavailable: the database stayed away, too many ask, or this process is ending.
    """
    try:
        return await read()
    except Unavailable as error:
        if not _may_be_back_soon(error):
            raise
    # Only now: it costs more than a subscription that begins at once.
    async for attempt in AsyncRetrying(
        retry=retry_if_exception(_may_be_back_soon),
        stop=stop_after_delay(_PATIENCE_SECONDS),
        wait=wait_random_exponential(multiplier=0.05, max=_LONGEST_PAUSE_SECONDS),
        reraise=True,
    ):
        with attempt:
            return await read()
    raise AssertionError("the last attempt raises")


def _may_be_back_soon(error: BaseException) -> bool:
    return (
        isinstance(error, Unavailable)
        and not isinstance(error, ShuttingDown)
        and error.retry_after_ms is None
    )
