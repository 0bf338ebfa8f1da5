"""A message in a file: what `export` writes, a line each, and `import` reads.

    {"widget_id": "poll", "id": "…", "client_id": "…", "created": 1767225600000,
     "username": null, "data": {"liked": true}, "idempotency_key": null, "publisher": null}

CSV has the same names as its header, and `data` as JSON text. Only `client_id`, `created` and
`data` must be there: other services' recordings have nothing else.
"""

from hashlib import blake2b
from typing import Final
from uuid import UUID

import msgspec

from app.domain.channel import checked_client_id, checked_widget_id
from app.domain.json_value import checked_data, decode_json
from app.errors import BadUserInput, cut, shown

__all__ = ["RECORD_FIELDS", "Record", "decode_record", "record_of_texts"]

_MAX_NAME: Final = 256
_MAX_PUBLISHER: Final = _MAX_NAME + len("signed:")
_MAX_TOLD: Final = 200
_EARLIEST_FUTURE_MS: Final = 2**47
"""The year 6429: UUID version 7 has 48 bits for the time."""


class Record(msgspec.Struct, forbid_unknown_fields=True):
    """One message as a file has it, each field checked by `checked`."""

    client_id: str
    created: int
    """Milliseconds since the Unix epoch."""
    data: msgspec.Raw
    """JSON text."""
    widget_id: str | None = None
    """None: the command names the widget."""
    id: str | None = None
    """None: it is made of the rest, the same each time the file is read."""
    username: str | None = None
    idempotency_key: str | None = None
    publisher: str | None = None
    """Whose message it is: `sub:…` or `signed:…`; None: the client id's, as claimed."""

    def checked(self, number: int, max_data_bytes: int) -> "Record":
        """Return the record if it may be stored, its data compact and its id there.

        Args:
            number: of its line, which an id that is made up holds too.
            max_data_bytes: bound of the data as compact JSON.

        Raises:
            BadUserInput, PayloadTooLarge: a field is not what a message may have.
        """
        if self.widget_id is not None:
            checked_widget_id("widget_id", self.widget_id)
        checked_client_id("client_id", self.client_id)
        if not 0 <= self.created < _EARLIEST_FUTURE_MS:
            raise BadUserInput(
                f"created is {self.created}; allowed are milliseconds since 1970, from 0 on"
            )
        if self.idempotency_key is not None:
            checked_client_id("idempotency_key", self.idempotency_key)
        if self.username is not None:
            _check_name("username", self.username, _MAX_NAME)
        if self.publisher is not None:
            _check_publisher(self.publisher)
        raw = bytes(self.data)
        self.data = msgspec.Raw(checked_data(decode_json(raw), max_data_bytes))
        if self.id is None:
            self.id = self._made_up_id(number)
        else:
            try:
                self.id = str(UUID(self.id))
            except ValueError:
                raise BadUserInput(f"id is {shown(self.id)}; allowed is a UUID") from None
        return self

    def _made_up_id(self, number: int) -> str:
        said = msgspec.json.encode((number, self.widget_id, self.client_id, self.data))
        random = int.from_bytes(blake2b(said, digest_size=10).digest())
        # RFC 9562, 5.7: 48 bits of time, version, 12 bits, variant, 62 bits.
        value = self.created << 80 | random
        value = value & ~(0xF << 76) | 7 << 76
        value = value & ~(0b11 << 62) | 0b10 << 62
        return str(UUID(int=value))


RECORD_FIELDS: Final = (
    "widget_id",
    "id",
    "client_id",
    "created",
    "username",
    "data",
    "idempotency_key",
    "publisher",
)
"""In the order in which files have them."""

_decoder: Final = msgspec.json.Decoder(Record)


def decode_record(line: bytes) -> Record:
    """Return the record of a JSON line, not checked yet.

    Raises:
        BadUserInput: it is no JSON object of these fields.
    """
    try:
        return _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeError) as error:
        # Its words name JSON's kinds, and fields as they came: a terminal would obey some.
        told = "".join(one if one.isprintable() else "\ufffd" for one in cut(str(error), _MAX_TOLD))
        raise BadUserInput(f"not a message: {told}") from None
    except RecursionError:
        raise BadUserInput("not a message: nested too deeply") from None


def record_of_texts(texts: dict[str, str]) -> Record:
    """Return the record of a line of CSV, not checked yet.

    Args:
        texts: by the name of the column; an empty one is none.

    Raises:
        BadUserInput: a column is missing, or `created` is no whole number.
    """
    missing = [name for name in ("client_id", "created", "data") if not texts.get(name)]
    if missing:
        raise BadUserInput(f"not a message: {', '.join(missing)} must not be empty")
    try:
        created = int(texts["created"])
    except ValueError:
        raise BadUserInput(
            f"created is {shown(texts['created'])}; allowed are milliseconds since 1970"
        ) from None
    return Record(
        client_id=texts["client_id"],
        created=created,
        data=msgspec.Raw(texts["data"].encode(errors="surrogatepass")),
        widget_id=texts.get("widget_id") or None,
        id=texts.get("id") or None,
        username=texts.get("username") or None,
        idempotency_key=texts.get("idempotency_key") or None,
        publisher=texts.get("publisher") or None,
    )


def _check_name(field: str, value: str, most: int) -> None:
    if not (1 <= len(value) <= most and value.isprintable()):
        raise BadUserInput(
            f"{field} is {shown(value)}; allowed are 1 to {most} printable characters"
        )


def _check_publisher(value: str) -> None:
    _check_name("publisher", value, _MAX_PUBLISHER)
    if not value.startswith(("sub:", "signed:")):
        raise BadUserInput(
            f"publisher is {shown(value)}; allowed are 'sub:' and a token's subject, and "
            "'signed:' and a client id"
        )
