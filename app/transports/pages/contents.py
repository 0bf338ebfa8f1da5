"""The contents of the documents: what the README lists, in its order and with its words."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from markdown_it.token import Token

from app.transports.pages.markdown import parser
from app.transports.pages.published import page_link

__all__ = ["Entry", "contents", "title_of"]

_README: Final = "README.md"
_MARKDOWN: Final = parser()


@dataclass(frozen=True, slots=True)
class Entry:
    """One document."""

    path: str
    """Below `/docs/`."""
    title: str
    """Its first heading."""


def contents(files: dict[str, Path]) -> list[Entry]:
    """Return the README and each document that it links to, once, in its order.

    Args:
        files: by their path below `/docs/`.
    """
    readme = files.get(_README)
    paths = [_README] if readme is not None else []
    if readme is not None:
        linked = _links(readme.read_text(encoding="utf-8"))
        paths += [path for path in linked if path in files and path.endswith(".md")]
    return [Entry(path, title_of(files[path])) for path in dict.fromkeys(paths)]


def title_of(path: Path) -> str:
    """Return a document's first heading, or a file's name."""
    return _title(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=256)
def _title(path: Path, _changed: int) -> str:
    if path.suffix != ".md":
        return path.name
    lines = path.read_text(encoding="utf-8").splitlines()
    first = next((line for line in lines if line.startswith("# ")), "")
    return first.removeprefix("# ").strip() or path.stem


def _links(text: str) -> list[str]:
    found: list[str] = []

    def walk(tokens: list[Token]) -> None:
        for token in tokens:
            if token.type == "link_open":
                found.append(page_link(str(token.attrGet("href")), _README).partition("#")[0])
            walk(token.children or [])

    walk(_MARKDOWN.parse(text))
    return found
