"""How a database orders the strings in JSON: by code point, or as some language does."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

__all__ = ["orders_by_code_point"]

_PAIRS: Final = (("B", "a"), ("a c", "ab"), ("_", "a"), ("z", "é"), ("\uffee", "\U0001f600"))
"""In the order of their code points; a language would have the other one of most."""
_BY_CODE_POINT: Final = """
    SELECT bool_and(to_jsonb(a) < to_jsonb(b)) FROM unnest($1::text[], $2::text[]) AS pair (a, b)
"""


async def orders_by_code_point(fetch: Callable[..., Awaitable[Sequence[Any]]]) -> bool:
    """Return whether the database compares the strings in JSON as Python does.

    Args:
        fetch: runs a statement there: a pool's, or a connection's.
    """
    ((in_order,),) = await fetch(_BY_CODE_POINT, *map(list, zip(*_PAIRS, strict=True)))
    return bool(in_order)
