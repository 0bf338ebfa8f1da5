"""The code blocks of README.md and docs/."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

__all__ = ["ROOT", "Block", "all_blocks", "block"]

ROOT: Final = Path(__file__).parents[2]
_FENCED: Final = re.compile(r"^( *)```(\w*) ?(.*?)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block."""

    document: str
    """Its path in the tree."""
    language: str
    name: str
    """The rest of its info string."""
    text: str

    def __str__(self) -> str:
        return f"{self.document} {self.language} {self.name}".rstrip()


@cache
def all_blocks() -> tuple[Block, ...]:
    """Return every block, by document."""
    return tuple(
        Block(path.relative_to(ROOT).as_posix(), *found[1:])
        for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
        for found in _FENCED.findall(path.read_text(encoding="utf-8"))
    )


def block(document: str, name: str) -> str:
    """Return the text of the one block of a document with this name."""
    found = [one.text for one in all_blocks() if (one.document, one.name) == (document, name)]
    assert len(found) == 1, f"{document} has {len(found)} blocks called {name}; expected one"
    return found[0]
