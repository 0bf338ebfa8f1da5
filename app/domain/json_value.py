"""Strict JSON: what a client may send as `data` and in a request, kept exactly.

Numbers with a fraction or an exponent are decoded as `Decimal`, so that nothing is
rounded on the way to Postgres (`numeric` inside jsonb) and back.
RFC 8259 is obeyed to the letter: no NaN, no Infinity, UTF-8 only.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal, DecimalException
from typing import Final, TypeAlias

import msgspec

from app.errors import BadUserInput, PayloadTooLarge

__all__ = ["MAX_DEPTH", "JsonValue", "checked_data", "decode_json", "encode_json"]

# Recursive aliases make mypy and Strawberry slow; the checker below is the real type.
JsonValue: TypeAlias = (
    "None | bool | int | Decimal | float | str | Sequence[JsonValue] | Mapping[str, JsonValue]"
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
    except (msgspec.DecodeError, UnicodeError) as error:
        reason = str(error) if isinstance(error, msgspec.DecodeError) else "not UTF-8"
        raise BadUserInput(f"not valid JSON: {reason}") from error
    except RecursionError as error:
        raise BadUserInput("not valid JSON: nested too deeply") from error
    return value


def encode_json(value: object) -> bytes:
    """Encode a value of decoded JSON (and `msgspec.Raw` anywhere in it) compactly.

    Raises:
        TypeError, UnicodeEncodeError: the value is not JSON; check it before.
    """
    return _encoder.encode(value)


def checked_data(value: object, max_bytes: int) -> bytes:
    """Return the compact JSON text of a message's `data`, or refuse it.

    Args:
        value: what a client sent, decoded.
        max_bytes: the bound of the text, in bytes.

    Raises:
        BadUserInput: deeper than 64, a NUL or lone surrogate in a string, a number that is
            not finite, outside a double's range or of more than 400 digits.
        PayloadTooLarge: the text is longer than `max_bytes`.
    """
    _check(value, MAX_DEPTH)
    text = encode_json(value)
    if len(text) > max_bytes:
        raise PayloadTooLarge(f"data has {len(text)} bytes, at most {max_bytes} are allowed")
    return text


def _check(value: object, depth_left: int) -> None:
    # The order is that of frequency: this runs for every publish.
    if isinstance(value, str):
        _check_string(value)
    elif isinstance(value, bool) or value is None:
        return
    elif isinstance(value, int | float | Decimal):
        _check_number(value)
    elif isinstance(value, Mapping):
        if not depth_left:
            raise BadUserInput(f"data is nested too deeply, at most {MAX_DEPTH} levels are allowed")
        for key, item in value.items():
            if not isinstance(key, str):
                raise BadUserInput("data has an object key that is not a string")
            _check_string(key)
            _check(item, depth_left - 1)
    elif isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        if not depth_left:
            raise BadUserInput(f"data is nested too deeply, at most {MAX_DEPTH} levels are allowed")
        for item in value:
            _check(item, depth_left - 1)
    else:
        raise BadUserInput("data must be a JSON value")


def _check_string(text: str) -> None:
    # jsonb cannot hold either: https://www.postgresql.org/docs/current/datatype-json.html
    if "\0" in text:
        raise BadUserInput("data has a string with the character U+0000, which is not allowed")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise BadUserInput("data has a string with a lone surrogate, not allowed") from None


def _check_number(number: int | float | Decimal) -> None:
    if isinstance(number, int):
        if -(2**63) <= number < 2**63:
            return
        too_long = abs(number) > _LARGEST
    else:
        exact = number if isinstance(number, Decimal) else Decimal(number)
        if not exact.is_finite():
            too_long = True
        else:
            exponent = exact.as_tuple().exponent
            assert isinstance(exponent, int), "finite"
            digits = len(exact.as_tuple().digits)
            too_long = (
                digits > _MAX_DIGITS
                or -exponent > _MAX_DIGITS
                or exact.adjusted() > 308
                or abs(exact) > _LARGEST
            )
    if too_long:
        raise BadUserInput(
            f"data has a number out of bounds: allowed are at most {_MAX_DIGITS} digits "
            "and the range of a 64-bit float"
        )
