"""Blocked words: whether a word of a list stands in a text, case and accents aside.

Text is folded character by character: compatibility forms and case go (NFKD, case folding), and so
do accents and what cannot be seen (zero-width characters, soft hyphens). Then it is split: a run of
letters and digits is a word; a symbol (an emoji) is one of its own, and so is each character
of a script that is written without spaces. A blocked word is found where its words follow each
other, whatever spaces and punctuation stand between them: `shut up` in `Shut-up!`.

Time is linear in the text. Folding one character at a time keeps it so: NFKD of a text with
thousands of accents on one letter takes the square of their number.
"""

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from app.domain.json_value import JsonValue

__all__ = ["BlockedWords", "words_of"]

_FOLDED_MAX: Final = 20_000
"""Characters whose folding is remembered; beyond them it is begun anew."""
_INVISIBLE: Final = frozenset({"Mn", "Me", "Cf"})
"""Categories of what is dropped: accents, enclosing marks, formatting."""
_WITHOUT_SPACES: Final = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x3040, 0x30FF),  # Hiragana, Katakana
    (0x3400, 0x4DBF),  # Han
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
)
_ASCII_FOLDED: Final = bytes(
    ord(chr(code).lower()) if code < 128 and chr(code).isalnum() else ord(" ")
    for code in range(256)
)
"""The same for ASCII, where all of it is one step in C; its symbols are left out."""
_ASCII_SYMBOLS: Final = b"$+<=>^`|~"
_ESCAPED: Final = (rb"\n", rb"\r", rb"\t", rb"\b", rb"\f")


class _Folding(dict[int, str | None]):
    """What each character becomes, for `str.translate`: filled as characters come."""

    def __missing__(self, code: int) -> str | None:
        if len(self) >= _FOLDED_MAX:
            self.clear()
        folded = self[code] = _folded(chr(code))
        return folded


def _folded(character: str) -> str | None:
    decomposed = unicodedata.normalize("NFKD", character).casefold()
    parts = []
    for one in unicodedata.normalize("NFKD", decomposed):
        category = unicodedata.category(one)
        if category in _INVISIBLE:
            continue
        if category[0] == "S" or _stands_alone(one, category):
            parts.append(f" {one} ")
        elif category[0] in "LN" or category == "Mc":
            parts.append(one)
        else:
            parts.append(" ")
    return "".join(parts) or None


def _stands_alone(character: str, category: str) -> bool:
    code = ord(character)
    return category[0] in "LM" and any(first <= code <= last for first, last in _WITHOUT_SPACES)


_folding: Final = _Folding()


def words_of(text: str) -> list[str]:
    """Return the words of a text, folded: those that are compared."""
    return text.translate(_folding).split()


class BlockedWords:
    """A list of blocked words, compiled once for all texts."""

    def __init__(self, words: Iterable[str]) -> None:
        """Compile.

        Args:
            words: each with at least one letter, digit or symbol (`words_of`).
        """
        self._single: set[str] = set()
        self._longer = _Sequences()
        firsts: set[str] = set()
        for word in words:
            parts = words_of(word)
            firsts.add(parts[0])
            if len(parts) == 1:
                self._single.add(parts[0])
                continue
            self._longer.add(parts)
        self._longer.link()
        self._firsts = frozenset(firsts)
        ascii_firsts = [first.encode() for first in firsts if first.isascii()]
        self._ascii_firsts = frozenset(ascii_firsts)
        # In ASCII, symbols are not words: only where one is blocked, each text is looked at whole.
        self._ascii_symbols = any(first in _ASCII_SYMBOLS for first in ascii_firsts)

    def are_in(self, data: JsonValue, data_json: bytes) -> bool:
        """Return whether a blocked word is in any string of a JSON value, keys included.

        Args:
            data: the value, at most 64 levels deep.
            data_json: its compact JSON text, characters beyond ASCII not escaped.
        """
        if not self._may_be_in(data_json):
            return False
        return any(self._in_words(words_of(text)) for text in _strings(data))

    def _may_be_in(self, data_json: bytes) -> bool:
        """Return False if no string has a word that a blocked one begins with.

        All strings are looked at in one step, with the numbers and names that are around them.
        """
        if b"\\" in data_json:
            # Letters of escape sequences would join the words.
            data_json = data_json.replace(rb"\\", b" ")
            for escaped in _ESCAPED:
                data_json = data_json.replace(escaped, b" ")
            if rb"\u" in data_json:
                return True  # Control characters: seldom.
        if not data_json.isascii():
            return not self._firsts.isdisjoint(words_of(data_json.decode()))
        if self._ascii_symbols:
            return True
        return not self._ascii_firsts.isdisjoint(data_json.translate(_ASCII_FOLDED).split())

    def _in_words(self, words: Sequence[str]) -> bool:
        if not self._single.isdisjoint(words):
            return True
        return self._longer.are_in(words)


class _Sequences:
    """Blocked words that are several, found in one pass over a text (Aho and Corasick, 1975).

    A state stands for the words that were read last, as far as a sequence begins with them; 0:
    none. Where the next word does not fit, a shorter end of them may.
    """

    def __init__(self) -> None:
        self._next: dict[tuple[int, str], int] = {}
        self._firsts: set[str] = set()
        self._shorter = [0]
        """The state of the longest end of a state's words that is another state."""
        self._found: set[int] = set()

    def add(self, words: Sequence[str]) -> None:
        """Add a sequence; `link` is called after the last."""
        self._firsts.add(words[0])
        state = 0
        for word in words:
            following = self._next.setdefault((state, word), len(self._shorter))
            if following == len(self._shorter):
                self._shorter.append(0)
            state = following
        self._found.add(state)

    def link(self) -> None:
        """Find for each state where to go on when the next word does not fit."""
        below: dict[int, list[tuple[str, int]]] = {}
        for (state, word), following in self._next.items():
            below.setdefault(state, []).append((word, following))
        states = [following for _, following in below.get(0, ())]
        for state in states:  # It grows: shorter ones first.
            for word, following in below.get(state, ()):
                shorter = self._shorter[following] = self._step(self._shorter[state], word)
                if shorter in self._found:
                    self._found.add(following)
                states.append(following)

    def are_in(self, words: Sequence[str]) -> bool:
        """Return whether one of them is in a text, as its words."""
        if self._firsts.isdisjoint(words):
            return False
        state = 0
        for word in words:
            state = self._step(state, word)
            if state in self._found:
                return True
        return False

    def _step(self, state: int, word: str) -> int:
        while (following := self._next.get((state, word))) is None and state:
            state = self._shorter[state]
        return following or 0


def _strings(data: JsonValue) -> Iterator[str]:
    left: list[object] = [data]
    while left:
        value = left.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            yield from value
            left.extend(value.values())
        elif isinstance(value, list | tuple):
            left.extend(value)
