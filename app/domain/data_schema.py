"""The JSON Schema that a channel's data must satisfy: checked when it is set, compiled once.

Draft 2020-12, by jsonschema-rs. Nothing is ever fetched: references stay within the schema. Regular
expressions are matched in linear time (Rust's `regex`), so look-around and back-references are
refused. What one check may cost is known beforehand (`app.domain.schema_cost`): a schema that is
too dear is refused, and a dear one takes less data. `format` is a note to readers, as the draft
says.
"""

from collections.abc import Mapping
from typing import Final

import jsonschema_rs

from app.domain.json_value import JsonValue, checked_data, json_shown
from app.domain.schema_cost import LARGEST_PATTERN_KIB, SchemaCost, pointer_of
from app.errors import BadUserInput, Rejected, cut, shown

__all__ = ["MAX_SCHEMA_BYTES", "DataSchema", "checked_schema"]

MAX_SCHEMA_BYTES: Final = 32 * 1024
_PATTERNS_MAX: Final = 32
_PATTERN_KIB: Final = (4, 16, 64, LARGEST_PATTERN_KIB)
"""Sizes of a regular expression that is compiled, in classes."""
_COST_MAX: Final = 2**22
"""What checking one message may cost, in the units of `SchemaCost`: some 50 ms for a schema that is
made to be slow, for nobody else is served meanwhile; microseconds for others."""
_LEAST_DATA_BYTES: Final = 512
_EXPLAINED_MAX: Final = 20_000
"""Checks beyond which a refusal with alternatives names no place: the library notes each."""
_POINTER_MAX: Final = 100
_REASON_MAX: Final = 160
_VALUE: Final = "the value"


class DataSchema:
    """A schema, ready to check data."""

    def __init__(self, schema: Mapping[str, JsonValue], schema_json: bytes) -> None:
        """Compile.

        Args:
            schema: decoded.
            schema_json: the same as JSON text.

        Raises:
            BadUserInput: it is no schema, or one that is not allowed; nothing was fetched.
        """
        cost = SchemaCost(schema)
        cost.pattern_kib.update(_compiled_kib(cost.patterns))
        highest = max(cost.highest(), 1)
        self._max_bytes = _COST_MAX // highest
        if self._max_bytes < _LEAST_DATA_BYTES:
            raise BadUserInput(
                "dataSchema is too complex: checking one message could take too long; use fewer "
                "alternatives, patterns, enum numbers and nested references"
            )
        self._checks = cost.highest(weighted=False) if cost.has_alternatives else 0
        self._validator = _compiled(schema_json)

    def check(self, data: JsonValue, data_json: bytes) -> None:
        """Return if data satisfies the schema.

        Args:
            data: decoded, Decimal for fractions.
            data_json: its compact JSON text.

        Raises:
            Rejected: it does not; names the place and what is allowed there. Or it is too long
                to be checked against a schema like this.
        """
        if len(data_json) > self._max_bytes:
            raise Rejected(
                f"data has {len(data_json)} bytes; at most {self._max_bytes} are allowed with the "
                "channel's complex dataSchema"
            )
        if self._validator.is_valid(data):
            return
        if self._checks * len(data_json) > _EXPLAINED_MAX:
            raise Rejected("data does not match the channel's dataSchema")
        try:
            self._validator.validate(data)
        except jsonschema_rs.ValidationError as error:
            place = cut(pointer_of(error.instance_path), _POINTER_MAX) or "its root"
            reason = cut(error.message, _REASON_MAX)
            raise Rejected(
                f"data does not match the channel's dataSchema: at {place}, {reason}"
            ) from None
        raise AssertionError("valid and not valid")


def checked_schema(value: object) -> bytes:
    """Return the JSON text of a schema that may be set.

    Args:
        value: what a client sent, decoded.

    Raises:
        BadUserInput: it is no JSON Schema of draft 2020-12, or not allowed: with references that
            leave it, look-around or back-references in patterns, more than 32 patterns, or so
            complex that checking one message could take too long.
        PayloadTooLarge: it has more than 32 KiB as JSON text.
    """
    if not isinstance(value, dict):
        raise BadUserInput(
            f"dataSchema is {json_shown(value)}; expected a JSON Schema that is an object"
        )
    text = checked_data(value, MAX_SCHEMA_BYTES, "dataSchema")
    DataSchema(value, text)
    return text


def _compiled_kib(patterns: Mapping[str, str]) -> dict[str, int]:
    """Return how much memory each regular expression takes at the most, in KiB.

    Raises:
        BadUserInput: there are too many, or one is too large or none.
    """
    if len(patterns) > _PATTERNS_MAX:
        raise BadUserInput(
            f"dataSchema has {len(patterns)} patterns; allowed: at most {_PATTERNS_MAX}"
        )
    sizes = {}
    for pattern, place in patterns.items():
        kib = next((kib for kib in _PATTERN_KIB if _fits(pattern, kib)), None)
        if kib is None:
            raise BadUserInput(
                f"dataSchema at {cut(place, _POINTER_MAX)} is {shown(pattern)}; expected a "
                "regular expression without look-around and back-references, of at most "
                f"{LARGEST_PATTERN_KIB} KiB when compiled: use minLength and maxLength instead of "
                "{1,200}"
            )
        sizes[pattern] = kib
    return sizes


def _fits(pattern: str, kib: int) -> bool:
    try:
        _validator({"pattern": pattern}, kib)
    except ValueError:
        return False
    return True


def _compiled(schema_json: bytes) -> jsonschema_rs.Validator:
    try:
        return _validator(schema_json.decode())
    except jsonschema_rs.ValidationError as error:
        place = cut(pointer_of(error.instance_path), _POINTER_MAX) or "its root"
        reason = cut(error.message, _REASON_MAX)
        if error.kind.name == "anyOf":
            reason = "the value is not one of the keyword's allowed values"
        raise BadUserInput(
            f"dataSchema is not a valid JSON Schema (draft 2020-12): at {place}, {reason}"
        ) from None
    except ValueError as error:
        raise BadUserInput(
            f"dataSchema is not a valid JSON Schema (draft 2020-12): {cut(str(error), _REASON_MAX)}"
        ) from None


def _validator(
    schema: dict[str, object] | str, pattern_kib: int = LARGEST_PATTERN_KIB
) -> jsonschema_rs.Validator:
    return jsonschema_rs.Draft202012Validator(
        schema,
        validate_formats=False,
        mask=_VALUE,
        offline=True,
        pattern_options=jsonschema_rs.RegexOptions(size_limit=pattern_kib * 1024),
    )
