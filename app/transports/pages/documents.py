"""The documents of the source tree as pages under `/docs/`, at hand without internet.

The README is the entrance, and what it links to is the list of contents on each page. Links are
relative: they work under whatever path prefix a proxy puts before them.
"""

import html
from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from app.transports.pages.contents import contents, title_of
from app.transports.pages.files import STATIC
from app.transports.pages.finding import found
from app.transports.pages.markdown import Heading, rendered
from app.transports.pages.policy import DEMO_HEADERS
from app.transports.pages.published import published_files

__all__ = ["document_routes"]

_MEDIA_TYPES: Final = {".svg": "image/svg+xml", ".png": "image/png"}
_ENTRANCE: Final = "README.md"


def _page(
    name: str,
    title: str,
    body: str,
    files: dict[str, Path],
    *,
    headings: Sequence[Heading] = (),
    query: str = "",
) -> Response:
    template = Template((STATIC / "demo" / "docs.html").read_text(encoding="utf-8"))
    top = "../" * name.count("/")
    content = template.substitute(
        title=html.escape(title),
        root=f"{top}..",
        docs=top or "./",
        query=html.escape(query),
        contents=_contents(name, top, files, headings),
        body=body,
    )
    return HTMLResponse(content, headers=DEMO_HEADERS)


def _contents(name: str, top: str, files: dict[str, Path], headings: Sequence[Heading]) -> str:
    """The list of documents; below the one that is shown, its sections."""
    items = []
    for entry in contents(files):
        here = entry.path == name
        sections = "".join(
            f'<li><a href="#{html.escape(one.anchor)}">{html.escape(one.text)}</a></li>'
            for one in (headings if here else ())
        )
        current = ' aria-current="page"' if here else ""
        below = f"<ol>{sections}</ol>" if sections else ""
        link = html.escape(f"{top}{entry.path}")
        items.append(f'<li><a href="{link}"{current}>{html.escape(entry.title)}</a>{below}</li>')
    return f"<ol>{''.join(items)}</ol>"


# Plain functions: Starlette runs them in a thread, away from the sockets' event loop.


def _document(request: Request) -> Response:
    name = str(request.path_params["name"])
    files = published_files()
    if not name and _ENTRANCE in files:
        name = _ENTRANCE
    path = files.get(name)
    if path is None:
        return _index(name, files)
    if path.suffix == ".md":
        document = rendered(path.read_text(encoding="utf-8"), name)
        return _page(name, title_of(path), document.html, files, headings=document.headings)
    media_type = _MEDIA_TYPES.get(path.suffix, "text/plain; charset=utf-8")
    return FileResponse(path, media_type=media_type, headers=DEMO_HEADERS)


def _search(request: Request) -> Response:
    """Answer with the sections that have the words of `q`."""
    query = request.query_params.get("q", "")
    files = published_files()
    sections, words = found(query, files)
    results = "".join(
        f'<li><a href="{html.escape(one.page)}#{html.escape(one.anchor)}">'
        f"{html.escape(one.heading)}</a> <small>{html.escape(one.title)}</small>"
        f"<p>{html.escape(one.excerpt(words))}</p></li>"
        for one in sections
    )
    said = "" if sections else "<p>No section has all of these words.</p>" if words else ""
    body = f'<h1>Search</h1>{said}<ol class="results">{results}</ol>'
    return _page("search", "Search", body, files, query=query[:200])


def _index(name: str, files: dict[str, Path]) -> Response:
    """Answer with the list of a folder's files; the top's name is empty."""
    if name and not name.endswith("/"):
        if any(file.startswith(f"{name}/") for file in files):
            return RedirectResponse(f"{name.rpartition('/')[2]}/")
        raise HTTPException(404)
    items = []
    for file, path in sorted(files.items(), key=lambda item: (item[0] != "README.md", item[0])):
        if file.startswith(name) and path.suffix not in _MEDIA_TYPES:
            link = html.escape(file.removeprefix(name))
            items.append(f'<li><a href="{link}">{html.escape(title_of(path))}</a></li>')
    if name and not items:
        raise HTTPException(404)
    listed = f"<ul>{''.join(items)}</ul>" if items else "<p>This installation holds none.</p>"
    return _page(name, "Documents", f"<h1>Documents</h1>{listed}", files)


def _to_index(_request: Request) -> Response:
    return RedirectResponse("docs/")


def document_routes() -> list[BaseRoute]:
    """Return the routes of the documents, their images, indexes and search."""
    return [
        Route("/docs", _to_index, methods=["GET"]),
        Route("/docs/search", _search, methods=["GET"]),
        Route("/docs/{name:path}", _document, methods=["GET"], name="document"),
    ]
