"""Documents in Markdown as HTML: tables, headings with ids, links that work on the pages."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from mdit_py_plugins.anchors import anchors_plugin

from app.transports.pages.highlighting import highlighted
from app.transports.pages.published import page_link

__all__ = ["Heading", "Rendered", "parser", "rendered"]

_ADDRESSES: Final = {"link_open": "href", "image": "src"}


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading of the second level."""

    text: str
    anchor: str


@dataclass(frozen=True, slots=True)
class Rendered:
    """A document as HTML, and what is in it."""

    html: str
    headings: tuple[Heading, ...]


def _rewrite_links(state: StateCore) -> None:
    for block in state.tokens:
        for token in block.children or ():
            attribute = _ADDRESSES.get(token.type)
            if attribute is not None:
                link = str(token.attrGet(attribute))
                token.attrSet(attribute, page_link(link, state.env["page"]))


def _label_cells(state: StateCore) -> None:
    """Give each cell the name of its column: on a phone a row is a list of its cells."""
    columns: list[str] = []
    place = 0
    for token, following in zip(state.tokens, state.tokens[1:], strict=False):
        match token.type:
            case "thead_open":
                columns = []
            case "th_open":
                columns.append(_text(following.content))
            case "tr_open":
                place = 0
            case "td_open":
                if place < len(columns) and columns[place]:
                    token.attrSet("data-label", columns[place])
                place += 1


def _note_headings(state: StateCore) -> None:
    state.env["headings"] = tuple(
        Heading(_text(following.content), str(token.attrGet("id")))
        for token, following in zip(state.tokens, state.tokens[1:], strict=False)
        if token.type == "heading_open" and token.tag == "h2"
    )


def _text(markdown: str) -> str:
    return markdown.replace("`", "")


def parser(**options: Any) -> MarkdownIt:
    """Return what reads documents, the same for their pages, contents and search.

    Args:
        options: of `MarkdownIt`, beside those.
    """
    # Raw HTML stays text: a document is prose, and what is generated may quote anything.
    markdown = MarkdownIt("commonmark", {"html": False, **options})
    return markdown.enable("table").use(anchors_plugin, max_level=6)


_MARKDOWN: Final = parser(highlight=highlighted)
_MARKDOWN.core.ruler.push("page_links", _rewrite_links)
_MARKDOWN.core.ruler.push("cell_labels", _label_cells)
_MARKDOWN.core.ruler.push("headings", _note_headings)


@lru_cache(maxsize=64)
def rendered(text: str, page: str) -> Rendered:
    """Return a document as HTML.

    Args:
        text: in Markdown.
        page: the document's path below `/docs/`, which its links are relative to.
    """
    environment: dict[str, object] = {"page": page}
    html = str(_MARKDOWN.render(text, environment))
    # A wide table scrolls by itself, not the page.
    html = html.replace("<table>", '<div class="scroll" tabindex="0"><table>').replace(
        "</table>", "</table></div>"
    )
    headings = environment["headings"]
    assert isinstance(headings, tuple)
    return Rendered(html, headings)
