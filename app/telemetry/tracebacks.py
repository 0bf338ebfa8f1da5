"""Tracebacks for the log: where it happened and what kind of error, without what users sent.

Texts of errors quote values: `invalid literal for int() with base 10: '…'`. So an error's text is
written only where its kind quotes nothing of a request; of all others the kind is written, and the
lines that led there.
"""

import re
import traceback
from collections.abc import Iterator
from typing import Final

from app.errors import PayloadTooLarge, Unavailable, cut

__all__ = ["error_text", "traceback_text"]

_QUOTE_NOTHING: Final = (
    AssertionError,
    AttributeError,
    ImportError,
    MemoryError,
    NameError,
    NotImplementedError,
    OSError,
    PayloadTooLarge,
    RecursionError,
    Unavailable,
)
"""They name code, files, addresses and sizes."""
_TEXT_MAX: Final = 500
_FRAMES_MAX: Final = 40
"""Of one error: the first ones and the last ones of more."""
_ERRORS_MAX: Final = 10
"""In a chain or a group."""
_QUOTED: Final = re.compile(r"""["'].*["']""", re.DOTALL)
"""From the first quote to the last: what stands between may have quotes too."""


def traceback_text(error: BaseException) -> str:
    """Return the traceback of an error, with those of its causes before it."""
    return "".join(_told(error, set())).rstrip("\n")


def error_text(error: BaseException) -> str:
    """Return an error in one line, for a log: its kind, and its text where that quotes nothing."""
    return _line(error).rstrip("\n")


def _told(error: BaseException, seen: set[int]) -> Iterator[str]:
    if id(error) in seen or len(seen) >= _ERRORS_MAX:
        return
    seen.add(id(error))
    if error.__cause__ is not None:
        yield from _told(error.__cause__, seen)
        yield "\nThe above exception was the direct cause of the following exception:\n\n"
    elif error.__context__ is not None and not error.__suppress_context__:
        yield from _told(error.__context__, seen)
        yield "\nDuring handling of the above exception, another exception occurred:\n\n"
    frames = traceback.extract_tb(error.__traceback__)
    if frames:
        yield "Traceback (most recent call last):\n"
    if len(frames) > _FRAMES_MAX:
        half = _FRAMES_MAX // 2
        yield from traceback.format_list(frames[:half])
        yield f"  … {len(frames) - 2 * half} more …\n"
        yield from traceback.format_list(frames[-half:])
    else:
        yield from traceback.format_list(frames)
    yield _line(error)
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _told(one, seen)


def _line(error: BaseException) -> str:
    kind = type(error)
    name = kind.__qualname__
    if kind.__module__ not in {"builtins", "__main__"}:
        name = f"{kind.__module__}.{name}"
    text = _text(error)
    return f"{name}: {text}\n" if text else f"{name}\n"


def _text(error: BaseException) -> str:
    if isinstance(error, _QUOTE_NOTHING):
        return cut(str(error), _TEXT_MAX)
    if hasattr(error, "sqlstate"):
        # Postgres quotes what it complains of, values above all.
        return cut(_QUOTED.sub('"…"', str(error)), _TEXT_MAX)
    return "(its text may quote what users sent)" if str(error) else ""
