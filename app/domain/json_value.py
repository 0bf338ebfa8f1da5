"""Strict JSON: what a client may send as `data` and in a request, kept exactly.

Numbers with a fraction or an exponent are decoded as `Decimal`, so that nothing is
rounded on the way to Postgres (`numeric` inside jsonb) and back.
RFC 8259 is obeyed to the letter: no NaN, no Infinity, UTF-8 only.
"""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal, DecimalException
from typing import Final, TypeAlias

import msgspec

from app.errors import BadUserInput, PayloadTooLarge, shown

__all__ = [
    "MAX_DEPTH",
    "JsonValue",
    "checked_data",
    "decode_json",
    "encode_json",
    "json_kind",
    "json_shown",
]

JsonValue: TypeAlias = (
    "bool | int | Decimal | float | str | Sequence[JsonValue] | Mapping[str, JsonValue] | None"
)

MAX_DEPTH: Final = 64
"""Arrays and objects inside one another; Postgres itself fails near 100,000."""

_LARGEST: Final = Decimal("1.7976931348623157E+308")
"""The largest double: what any client's language can read back."""
_MAX_DIGITS: Final = 400
"""Digits of a number written out; the shortest form of every double fits."""


def _exact_float(text: str) -> Decimal:
    try:
        return Decimal(text)
    except DecimalException:
        # An exponent beyond what decimal holds: beyond every bound of ours too.
        return Decimal("Infinity")


_decoder: Final = msgspec.json.Decoder(float_hook=_exact_float)
_MALFORMED: Final = re.compile(r"JSON is malformed: ([a-z0-9 -]+ \(byte \d+\))")
_LONE_AT_END: Final = re.compile(
    rb"(?<!\\)(?:\\\\)*\\u[dD][89abAB][0-9a-fA-F]{2}"  # one half, not of an escaped backslash
    rb"(?!\\(?:u(?:[dD](?:[c-fC-F][0-9a-fA-F]?)?)?)?\Z)"  # the text ends within the other
    rb".{1,5}\Z",
    re.DOTALL,
)
"""Half a surrogate pair so near the end that the decoder misses the characters it looks for."""
_encoder: Final = msgspec.json.Encoder(decimal_format="number")


def decode_json(text: bytes | str) -> JsonValue:
    """Decode one JSON document.

    Args:
        text: UTF-8 bytes or text; bound its length before.

    Raises:
        BadUserInput: not JSON, not UTF-8, nested too deeply for the decoder, or a number
            of thousands of digits.
    """
    try:
        value: JsonValue = _decoder.decode(text)
    except UnicodeError as error:
        raise BadUserInput("not valid JSON: not UTF-8") from error
    except msgspec.DecodeError as error:
        raise BadUserInput(f"not valid JSON: {_reason(error, text)}") from error
    except RecursionError as error:
        raise BadUserInput("not valid JSON: nested too deeply") from error
    return value


def _reason(error: msgspec.DecodeError, text: bytes | str) -> str:
    words = str(error)
    if "surrogate pair" in words:
        return "a string has a lone surrogate"
    found = _MALFORMED.fullmatch(words)
    if found:
        return found[1]
    if "truncated" in words:
        tail = text[-64:]
        tail = tail.encode() if isinstance(tail, str) else tail
        return "a string has a lone surrogate" if _LONE_AT_END.search(tail) else "unexpected end"
    # The library's other words are its own, and may change.
    return "a number has too many digits" if "out of range" in words else "malformed"


def encode_json(value: object) -> bytes:
    """Encode a value of decoded JSON (and `msgspec.Raw` anywhere in it) compactly.

    Raises:
        TypeError, UnicodeEncodeError: the value is not JSON; check it before.
    """
    return _encoder.encode(value)


def json_shown(value: object) -> str:
    """Return a value of decoded JSON as an error text may show it: short, and as JSON has it.

    Arrays and objects are named, not shown, so that depth and size cannot matter.
    """
    match value:
        case str():
            text = shown(value)
        case None | bool():
            text = {None: "null", True: "true", False: "false"}[value]
        case int() if value.bit_length() > 256:
            # Python itself refuses to write out an integer of thousands of digits.
            text = "a very large number"
        case int() | float() | Decimal():
            text = str(value)
        case Mapping():
            text = "an object"
        case list() | tuple():
            text = f"a list of {len(value)}"
        case _:
            text = "not a JSON value"
    return text if len(text) <= 80 else text[:79] + "…"


def json_kind(value: object) -> str:
    """Return what kind of JSON value this is, and nothing of it: for what must not be shown."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float() | Decimal():
            return "a number"
        case str():
            return "a string"
        case Mapping():
            return "an object"
        case _:
            return "a list"


def checked_data(value: object, max_bytes: int, name: str = "data") -> bytes:
    """Return the compact JSON text of a message's `data`, or refuse it.

    Args:
        value: what a client sent, decoded.
        max_bytes: the bound of the text, in bytes.
        name: what to call the value in an error.

    Raises:
        BadUserInput: deeper than 64, a NUL or lone surrogate in a string, a number that is
            not finite, outside a double's range or of more than 400 digits.
        PayloadTooLarge: the text is longer than `max_bytes`.
    """
    try:
        text = encode_json(value)
    except (TypeError, ValueError, RecursionError):
        _check(value, MAX_DEPTH, name)
        raise
    # The size first: to check what is refused anyway would take a hundred times as long.
    if len(text) > max_bytes:
        raise PayloadTooLarge(f"{name} has {len(text)} bytes, at most {max_bytes} are allowed")
    _check(value, MAX_DEPTH, name)
    return text


def _check(value: object, depth_left: int, name: str) -> None:
    # The order is that of frequency: this runs for every publish.
    if isinstance(value, str):
        _check_string(value, name)
    elif isinstance(value, bool) or value is None:
        return
    elif isinstance(value, (int, float, Decimal)):
        _check_number(value, name)
    elif isinstance(value, dict):
        if not depth_left:
            raise _too_deep(name)
        for key, item in value.items():
            if not isinstance(key, str):
                raise BadUserInput(f"{name} has an object key that is not a string")
            _check_string(key, name)
            _check(item, depth_left - 1, name)
    elif isinstance(value, list | tuple):
        if not depth_left:
            raise _too_deep(name)
        for item in value:
            _check(item, depth_left - 1, name)
    else:
        raise BadUserInput(f"{name} must be a JSON value")


def _too_deep(name: str) -> BadUserInput:
    return BadUserInput(f"{name} is nested too deeply, at most {MAX_DEPTH} levels are allowed")


def _check_string(text: str, name: str) -> None:
    # jsonb cannot hold either: https://www.postgresql.org/docs/current/datatype-json.html
    if "\0" in text:
        raise BadUserInput(f"{name} has a string with the character U+0000, which is not allowed")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise BadUserInput(f"{name} has a string with a lone surrogate, not allowed") from None


def _check_number(number: int | float | Decimal, name: str) -> None:
    if isinstance(number, int):
        if -(2**63) <= number < 2**63:
            return
        too_long = abs(number) > _LARGEST
    else:
        # A float is the shortest decimal that reads back as it, as it is written in JSON.
        exact = number if isinstance(number, Decimal) else Decimal(repr(number))
        if not exact.is_finite():
            too_long = True
        else:
            _, digits, exponent = exact.as_tuple()
            assert isinstance(exponent, int), "finite"
            adjusted = exact.adjusted()
            too_long = (
                len(digits) > _MAX_DIGITS
                or -exponent > _MAX_DIGITS
                or adjusted > 308
                or (adjusted == 308 and exact.copy_abs() > _LARGEST)
            )
    if too_long:
        raise BadUserInput(
            f"{name} has a number out of bounds: at most {_MAX_DIGITS} digits "
            "and the range of a 64-bit float"
        )
