"""A service that is asked what it must refuse, and what every refusal has to be like."""

import asyncio
import re
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, Final

import httpx
import pytest

__all__ = ["BAD", "INTERNALS", "SECRET", "Service", "named", "wrong_words"]

SECRET: Final = "a secret of more than thirty-two bytes"
INTERNALS: Final = re.compile(
    r"Traceback|asyncpg|psycopg|strawberry|graphql-core|UnsetType|UNSET|SELECT|INSERT|jsonb\b|"
    r"KeyError|ValueError|TypeError|Decimal\(|NoneType|<class|object at 0x|site-packages|\.py\b|"
    r"INTERNAL_SERVER_ERROR"
)
"""What no client may read: words of Python, of SQL and of libraries."""
BAD: Final = "BAD_USER_INPUT"


@dataclass
class Service:
    """A running service, a moderator who asks, and what the log complains of."""

    runner: asyncio.Runner
    host: str
    http: httpx.AsyncClient
    complaints: list[str]

    def run(self, work: Awaitable[Any]) -> Any:
        async def run() -> Any:
            async with asyncio.timeout(60):
                return await work

        return self.runner.run(run())


def named(ways: Any) -> Any:
    return pytest.mark.parametrize("way", ways, ids=lambda way: way.__name__)


def wrong_words(message: str, says: tuple[str, ...]) -> str | None:
    if found := INTERNALS.search(message):
        return f"internals: {found[0]}"
    if not 10 < len(message) <= 500 or not message.isprintable():
        return f"no fit message: {message!r}"
    missing = [words for words in says if words not in message]
    return f"{missing} is not in {message!r}" if missing else None
