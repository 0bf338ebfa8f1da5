"""How many values a client's JSON may hold, and how deep, judged before it is decoded.

A value costs far more once it is a Python object than it does as text. The counts here are
of the bytes, in steps that run in C: 1 MiB takes a few milliseconds at most.
"""

from itertools import accumulate
from typing import Final

from app.domain.json_value import JsonValue, decode_json
from app.errors import BadUserInput

__all__ = ["MAX_LEVELS", "MAX_VALUES", "BeyondBounds", "check_json_bounds", "decode_request"]

MAX_VALUES: Final = 100_000
"""Values of one request or frame, those inside arrays and objects included."""
MAX_LEVELS: Final = 100
"""Arrays and objects inside one another: the 64 of `data`, and the request around it."""

_SPACE: Final = b" \t\r\n"
_NO_BRACKETS: Final = bytes(byte for byte in range(256) if byte not in b"[]{}")
_STEPS: Final = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
"""One level down, or one up: as signed bytes 1 and -1."""


class BeyondBounds(BadUserInput):
    """JSON with too many values or levels. It may be well-formed: nobody looked."""


def decode_request(text: bytes | str) -> JsonValue:
    """Decode the JSON of a request or a frame.

    Args:
        text: UTF-8 bytes or text; bound its length before.

    Raises:
        BeyondBounds: more than 100,000 values, or more than 100 levels.
        BadUserInput: as `decode_json`.
    """
    try:
        encoded = text.encode() if isinstance(text, str) else text
    except UnicodeEncodeError as error:
        raise BadUserInput("not valid JSON: not UTF-8") from error
    check_json_bounds(encoded)
    return decode_json(encoded)


def check_json_bounds(
    text: bytes, max_values: int = MAX_VALUES, max_levels: int = MAX_LEVELS
) -> None:
    """Return if a JSON text is within the bounds; of what is no JSON, anything may be said.

    Args:
        text: UTF-8.
        max_values: allowed at most; keys of objects are not counted.
        max_levels: arrays and objects inside one another.

    Raises:
        BeyondBounds: it has more of either.
    """
    opened = text.count(b"[") + text.count(b"{")
    # Each value but the first follows a comma or is the first inside a bracket. What stands
    # inside strings is counted as well: this is the most there can be.
    too_many = 1 + opened + text.count(b",") > max_values
    too_deep = opened > max_levels
    if not too_many and not too_deep:
        return
    structure = _without_strings(text, max_values)
    if too_many:
        empty = structure.count(b"[]") + structure.count(b"{}")
        opened = structure.count(b"[") + structure.count(b"{")
        values = 1 + opened - empty + structure.count(b",")
        if values > max_values:
            raise _too_many(values, max_values)
    if too_deep:
        brackets = structure.translate(_STEPS, _NO_BRACKETS)
        levels = max(accumulate(memoryview(brackets).cast("b")), default=0)
        if levels > max_levels:
            raise BeyondBounds(
                f"the JSON is nested too deeply: {levels} levels, at most {max_levels} are allowed"
            )


def _without_strings(text: bytes, max_values: int) -> bytes:
    """Return the text with one quotation mark for each string, and no white space."""
    unescaped = text
    if b"\\" in text:
        # In this order: a backslash that is escaped itself escapes nothing.
        unescaped = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    quotes = unescaped.count(b'"')
    # A string is a value, or the key of one.
    if quotes > 4 * max_values:
        raise _too_many(quotes // 4, max_values)
    return b'"'.join(unescaped.split(b'"')[::2]).translate(None, _SPACE)


def _too_many(values: int, max_values: int) -> BeyondBounds:
    return BeyondBounds(f"the JSON has {values} values, at most {max_values} are allowed")
