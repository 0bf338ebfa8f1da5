"""The documents of `docs/` as pages under `/docs/`, so that they are at hand without internet."""

import html
from pathlib import Path
from string import Template
from typing import Final

from markdown_it import MarkdownIt
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from app.transports.pages.files import STATIC
from app.transports.pages.policy import DEMO_HEADERS

__all__ = ["document_routes"]

_PACKAGE: Final = Path(__file__).resolve().parents[2]
_IMAGES: Final = frozenset({".svg", ".png"})

# Raw HTML stays text: a document is prose, and what is generated may quote anything.
_MARKDOWN: Final = MarkdownIt("commonmark", {"html": False}).enable("table")


def _directory() -> Path:
    """Return where the documents are: inside the wheel, or beside the package in a checkout."""
    packaged = _PACKAGE / "_docs"
    return packaged if packaged.is_dir() else _PACKAGE.parent / "docs"


def _title(text: str, path: Path) -> str:
    first = next((line for line in text.splitlines() if line.startswith("# ")), "")
    return first.removeprefix("# ").strip() or path.stem


def _page(request: Request, title: str, body: str) -> Response:
    template = Template((STATIC / "demo" / "docs.html").read_text(encoding="utf-8"))
    content = template.substitute(
        title=html.escape(title),
        root=html.escape(str(request.scope.get("root_path", "")), quote=True),
        body=body.replace("<table>", '<div class="scroll" tabindex="0"><table>').replace(
            "</table>", "</table></div>"
        ),
    )
    return HTMLResponse(content, headers=DEMO_HEADERS)


# Plain functions: Starlette runs them in a thread, away from the sockets' event loop.


def _index(request: Request) -> Response:
    directory = _directory()
    items = []
    for path in sorted(directory.rglob("*.md")):
        name = path.relative_to(directory).as_posix()
        title = _title(path.read_text(encoding="utf-8"), path)
        items.append(f'<li><a href="{html.escape(name)}">{html.escape(title)}</a></li>')
    listed = f"<ul>{''.join(items)}</ul>" if items else "<p>This installation holds none.</p>"
    return _page(request, "Documents", f"<h1>Documents</h1>{listed}")


def _document(request: Request) -> Response:
    name = str(request.path_params["name"])
    directory = _directory().resolve()
    # A NUL in a path is a ValueError of the system call, not a file that is not there.
    path = directory / name.replace("\0", "")
    try:
        resolved = path.resolve()
        known = resolved.is_relative_to(directory) and resolved.is_file()
    except OSError:
        known = False
    if not known:
        raise HTTPException(404)
    if resolved.suffix in _IMAGES:
        return FileResponse(resolved, headers=DEMO_HEADERS)
    if resolved.suffix != ".md":
        raise HTTPException(404)
    text = resolved.read_text(encoding="utf-8")
    return _page(request, _title(text, resolved), _MARKDOWN.render(text))


def _to_index(request: Request) -> Response:
    return RedirectResponse(f"{request.scope.get('root_path', '')}/docs/")


def document_routes() -> list[BaseRoute]:
    """Return the routes of the documents' index, and of each document and its images."""
    return [
        Route("/docs", _to_index, methods=["GET"]),
        Route("/docs/", _index, methods=["GET"], name="docs"),
        Route("/docs/{name:path}", _document, methods=["GET"], name="document"),
    ]
