"""Search in the documents: the sections that have all the words, best first."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from app.transports.pages.contents import title_of
from app.transports.pages.markdown import parser

__all__ = ["Section", "found"]

_MOST_RESULTS: Final = 30
_MOST_WORDS: Final = 8
_LONGEST_QUERY: Final = 200
_SHOWN: Final = 160
_WORD: Final = re.compile(r"\w+")
_MARKDOWN: Final = parser()


@dataclass(frozen=True, slots=True)
class Section:
    """What stands below one heading of a document, up to the next."""

    page: str
    title: str
    """Of the document."""
    heading: str
    anchor: str
    text: str

    def excerpt(self, words: Sequence[str]) -> str:
        """Return some of the text, around the first of the words that it has."""
        lowered = self.text.lower()
        places = [place for word in words if (place := lowered.find(word)) >= 0]
        start = max(0, min(places, default=0) - _SHOWN // 3)
        part = " ".join(self.text[start : start + _SHOWN].split())
        return f"{'… ' if start else ''}{part}{' …' if start + _SHOWN < len(self.text) else ''}"


def found(query: str, files: dict[str, Path]) -> tuple[list[Section], list[str]]:
    """Return at most 30 sections that have all the words, and the words.

    A word counts that begins so: `subscri` finds subscriptions. In a heading it counts most.

    Args:
        query: of at most 200 characters and 8 words; what is more is left out.
        files: by their path below `/docs/`.
    """
    words = list(dict.fromkeys(_WORD.findall(query[:_LONGEST_QUERY].lower())))[:_MOST_WORDS]
    if not words:
        return [], []
    scored: list[tuple[float, Section]] = []
    for page, path in files.items():
        if path.suffix == ".md":
            for section in _sections(page, path, path.stat().st_mtime_ns):
                if score := _score(section, words):
                    scored.append((score, section))
    scored.sort(key=lambda one: -one[0])
    return [section for _, section in scored[:_MOST_RESULTS]], words


def _score(section: Section, words: Sequence[str]) -> float:
    text, heading = section.text.lower(), section.heading.lower()
    score = 0.0
    for word in words:
        pattern = re.compile(rf"\b{re.escape(word)}")
        in_heading, in_text = bool(pattern.search(heading)), len(pattern.findall(text))
        if not in_heading and not in_text:
            return 0.0
        # What a short section says often is what it is about.
        score += 5.0 * in_heading + in_text / (1 + len(text) / 400)
    return score


@lru_cache(maxsize=256)
def _sections(page: str, path: Path, _changed: int) -> tuple[Section, ...]:
    title = title_of(path)
    sections: list[Section] = []
    heading, anchor, texts = title, "", list[str]()

    def end() -> None:
        if texts or heading != title:
            sections.append(Section(page, title, heading, anchor, "\n".join(texts)))

    tokens = _MARKDOWN.parse(path.read_text(encoding="utf-8"))
    for index, token in enumerate(tokens):
        if token.type == "heading_open":
            end()
            heading = _plain(tokens[index + 1].content)
            anchor, texts = str(token.attrGet("id") or ""), []
        elif token.type in {"inline", "fence", "code_block"} and (
            index == 0 or tokens[index - 1].type != "heading_open"
        ):
            texts.append(_plain(token.content) if token.type == "inline" else token.content)
    end()
    return tuple(sections)


def _plain(markdown: str) -> str:
    """Markdown without its marks: what a reader sees, nearly."""
    return re.sub(r"\[([^\]]*)\]\([^)]*\)|[`*]", lambda match: match[1] or "", markdown)
