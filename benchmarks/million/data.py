"""What the messages of the data set hold: each follows from its number alone.

So nothing has to be read back to ask for what is there: an id, a user, a time.
"""

import json
from dataclasses import dataclass
from functools import cache
from typing import Final

from benchmarks.wire import PROJECT

__all__ = ["COLUMNS", "FORMAT", "Filled", "Shape", "copied_text", "picked"]

FORMAT: Final = 1
"""Of what follows; data sets of another one are made anew."""

COLUMNS: Final = ("channel", "sequence", "id", "client_id", "created", "username", "data")

_CLIENTS: Final = 5_000
_USERS: Final = 50_000
_ROOMS: Final = 1_000
_SCORES: Final = 100_001
_FIRST_CREATED: Final = 1_700_000_000_000
_APART_MS: Final = 97
_BITS: Final = 2**64 - 1
_BOOLEANS: Final = ("true", "false", "false")
_NULL: Final = "\\N"
_SAID: Final = (
    "the goal that was so close and then nobody saw it coming again tonight what a save "
    "great match really who else thinks they should have played him from the start no way "
    "this is the best one yet I said it before half time twice hello from the other side of "
    "town my vote goes to number seven because he never stops running love the new camera"
)
_TAGS: Final = (
    "home",
    "away",
    "first",
    "late",
    "funny",
    "question",
    "vip",
    "staff",
    "quiz",
    "news",
)
_TEXTS: Final = 4_096
_LABELS: Final = 256


@dataclass(frozen=True, slots=True)
class Filled:
    """A channel of the data set."""

    widget: str
    number: int
    """Of the channel, from 0."""
    messages: int

    @property
    def key(self) -> str:
        """How tables name it."""
        return f"{PROJECT}/{self.widget}"

    def id(self, message: int) -> str:
        """The id of a message by its number, which is its sequence: a UUID of version 7."""
        created = f"{self.created(message):012x}"
        return (
            f"{created[:8]}-{created[8:]}-7{self.number & 0xFFF:03x}-8{self.number >> 12:03x}"
            f"-{message:012x}"
        )

    def created(self, message: int) -> int:
        """When it was published."""
        return _FIRST_CREATED + _APART_MS * message

    def client(self, message: int) -> str:
        """Its client id: one of 5,000."""
        return f"client-{(self._mixed(message) >> 44) % _CLIENTS}"

    def user(self, message: int) -> str:
        """Its `data.user`: one of 50,000."""
        return f"u{(self._mixed(message) >> 4) % _USERS}"

    def room(self, message: int) -> str:
        """Its `data.room`: one of 1,000."""
        return f"r{(self._mixed(message) >> 20) % _ROOMS}"

    def row(self, message: int) -> str:
        """The message as a line of COPY's text format."""
        mixed = self._mixed(message)
        user = f"u{(mixed >> 4) % _USERS}"
        return (
            f"{self.key}\t{message}\t{self.id(message)}\tclient-{(mixed >> 44) % _CLIENTS}\t"
            f"{self.created(message)}\t{user if mixed & 3 == 0 else _NULL}\t"
            f'{{"text": "{_texts()[(mixed >> 32) % _TEXTS]}", "user": "{user}", '
            f'"score": {(mixed >> 12) % _SCORES}, "liked": {_BOOLEANS[(mixed >> 28) % 3]}, '
            f'"room": "r{(mixed >> 20) % _ROOMS}", "tags": {_tags()[(mixed >> 50) % _LABELS]}}}\n'
        )

    def _mixed(self, message: int) -> int:
        return _mixed(message * 65_537 + self.number)


@dataclass(frozen=True, slots=True)
class Shape:
    """How much there is.

    Args:
        rows: messages of the largest channel, `million`.
        channels: how many others.
        each: messages in each of them.
    """

    rows: int = 1_000_000
    channels: int = 100
    each: int = 1_000

    @property
    def name(self) -> str:
        """Of its database."""
        return f"shape_{FORMAT}_{self.rows}_{self.channels}_{self.each}"

    @property
    def million(self) -> Filled:
        """The largest channel."""
        return Filled("million", 0, self.rows)

    @property
    def sizes(self) -> list[Filled]:
        """One channel of 1,000, one of 10,000 and so on; the largest comes last."""
        found: list[Filled] = []
        while (size := 1_000 * 10 ** len(found)) < self.rows:
            found.append(Filled(f"size-{size}", 1 + len(found), size))
        return [*found, self.million]

    @property
    def filled(self) -> list[Filled]:
        """All channels."""
        sizes = self.sizes
        return sizes + [
            Filled(f"other-{number}", len(sizes) + number, self.each)
            for number in range(self.channels)
        ]


def copied_text(filled: Filled, first: int, last: int) -> bytes:
    """Messages `first` to `last` of a channel, as COPY reads them."""
    return "".join(map(filled.row, range(first, last + 1))).encode()


def picked(probe: int, among: int) -> int:
    """A number from 1 to `among`, another one for each probe as far as there are others."""
    return _mixed(probe) % among + 1


def _mixed(number: int) -> int:
    """Spread numbers over 64 bits, the same way each time."""
    # The finalizer of splitmix64: https://prng.di.unimi.it/splitmix64.c
    number = (number + 0x9E3779B97F4A7C15) & _BITS
    number = ((number ^ (number >> 30)) * 0xBF58476D1CE4E5B9) & _BITS
    number = ((number ^ (number >> 27)) * 0x94D049BB133111EB) & _BITS
    return number ^ (number >> 31)


@cache
def _texts() -> list[str]:
    """What people say: 3 to 26 words."""
    words = _SAID.split()
    return [
        " ".join(
            words[_mixed(text * 100 + place) % len(words)] for place in range(3 + _mixed(text) % 24)
        )
        for text in range(_TEXTS)
    ]


@cache
def _tags() -> list[str]:
    """Lists of none to three tags, as JSON."""
    return [
        json.dumps([_TAGS[_mixed(label * 10 + place) % len(_TAGS)] for place in range(label % 4)])
        for label in range(_LABELS)
    ]
