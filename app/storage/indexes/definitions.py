"""What an index is made of: the channel, the keys of some fields, and the publish order.

An index of a path below `data` holds `search_key(data #> path)`, the bounded key of the value
there (`migrations/versions/0005_search_indexes.py`). The path is a literal in every statement
that an index serves: a plan made for any value must match it.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Self

from sqlalchemy import ColumnElement, literal_column
from sqlalchemy.dialects.postgresql import JSONB

from app.domain.query import FieldPath
from app.storage.tables import MESSAGES

__all__ = ["BUILT_IN", "NAME_PREFIX", "IndexDefinition", "key_of", "key_text", "value_text"]

NAME_PREFIX: Final = "messages_search_"
"""Of every index that the service builds by itself; no other index is touched."""


@dataclass(frozen=True, slots=True)
class IndexDefinition:
    """An index on `messages`: (channel, each field's key, sequence).

    It has no entry for a message that lacks the first field.
    """

    name: str
    fields: tuple[FieldPath, ...]

    @classmethod
    def on(cls, fields: Iterable[FieldPath]) -> Self:
        """Return the index on these paths below `data`, named after them."""
        made = cls("", tuple(fields))
        digest = hashlib.sha256(made.paths_json.encode()).hexdigest()[:16]
        return cls(NAME_PREFIX + digest, made.fields)

    @classmethod
    def from_json(cls, paths_json: str) -> Self:
        """Return the index that `paths_json` once told of."""
        return cls.on(FieldPath("data", tuple(path)) for path in json.loads(paths_json))

    @property
    def paths_json(self) -> str:
        """The paths as they are kept in `search_shapes`."""
        return json.dumps([list(field.path) for field in self.fields], ensure_ascii=False)

    @property
    def create_sql(self) -> str:
        """The statement that builds it while others write."""
        keys = [key_text(field) for field in self.fields]
        return (
            f"CREATE INDEX CONCURRENTLY {self.name} ON messages "
            f"(channel, {', '.join(f'({key})' for key in keys)}, sequence) "
            f"WHERE {keys[0]} IS NOT NULL"
        )

    @property
    def drop_sql(self) -> str:
        """The statement that drops it, valid or not."""
        return f"DROP INDEX CONCURRENTLY IF EXISTS {self.name}"


BUILT_IN: Final = tuple(
    IndexDefinition(name, (FieldPath(column),))
    for name, column in (("messages_client", "client_id"), ("messages_username", "username"))
)
"""Those that each channel has from the start: of columns, whose values are their own keys."""


def key_of(field: FieldPath) -> ColumnElement[Any]:
    """Return the key that indexes hold of a field: NULL where it is missing.

    Args:
        field: a path below `data`, or a column with a built-in index.
    """
    if field.name != "data":
        return MESSAGES.c[field.name]
    return literal_column(key_text(field), JSONB)


def key_text(field: FieldPath) -> str:
    """Return the key of a path below `data` as SQL, as statements and indexes write it.

    There is no `$` in it but those that a client wrote, which are escaped.
    """
    return f"search_key({value_text(field)})"


def value_text(field: FieldPath) -> str:
    """Return the value at a path below `data` as SQL."""
    return f"(messages.data #> {_path_literal(field.path)})"


def _path_literal(path: tuple[str, ...]) -> str:
    return f"ARRAY[{', '.join(map(_text_literal, path))}]::text[]"


def _text_literal(text: str) -> str:
    quoted = text.replace("'", "''")
    # Whether a plain literal takes backslashes as they are is a setting of the server, and a
    # dollar would look like a parameter to whoever numbers them.
    if "\\" in quoted or "$" in quoted:
        return "E'" + quoted.replace("\\", "\\\\").replace("$", "\\x24") + "'"
    return f"'{quoted}'"
