"""Documents in Markdown as HTML: tables, headings with ids, links that work on the pages."""

from typing import Final

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from mdit_py_plugins.anchors import anchors_plugin

from app.transports.pages.published import page_link

__all__ = ["rendered"]

_ADDRESSES: Final = {"link_open": "href", "image": "src"}


def _rewrite_links(state: StateCore) -> None:
    for block in state.tokens:
        for token in block.children or ():
            attribute = _ADDRESSES.get(token.type)
            if attribute is not None:
                link = str(token.attrGet(attribute))
                token.attrSet(attribute, page_link(link, state.env["page"]))


# Raw HTML stays text: a document is prose, and what is generated may quote anything.
_MARKDOWN: Final = (
    MarkdownIt("commonmark", {"html": False}).enable("table").use(anchors_plugin, max_level=6)
)
_MARKDOWN.core.ruler.push("page_links", _rewrite_links)


def rendered(text: str, page: str) -> str:
    """Return a document as HTML.

    Args:
        text: in Markdown.
        page: the document's path below `/docs/`, which its links are relative to.
    """
    html = str(_MARKDOWN.render(text, {"page": page}))
    # A wide table scrolls by itself, not the page.
    return html.replace("<table>", '<div class="scroll" tabindex="0"><table>').replace(
        "</table>", "</table></div>"
    )
