"""The documents of the source tree as pages under `/docs/`, at hand without internet.

Their links are relative: they work under whatever path prefix a proxy puts before them.
"""

import html
from pathlib import Path
from string import Template
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from app.transports.pages.files import STATIC
from app.transports.pages.markdown import rendered
from app.transports.pages.policy import DEMO_HEADERS
from app.transports.pages.published import published_files

__all__ = ["document_routes"]

_MEDIA_TYPES: Final = {".svg": "image/svg+xml", ".png": "image/png"}


def _title(path: Path) -> str:
    if path.suffix != ".md":
        return path.name
    lines = path.read_text(encoding="utf-8").splitlines()
    first = next((line for line in lines if line.startswith("# ")), "")
    return first.removeprefix("# ").strip() or path.stem


def _page(name: str, title: str, body: str) -> Response:
    template = Template((STATIC / "demo" / "docs.html").read_text(encoding="utf-8"))
    content = template.substitute(
        title=html.escape(title),
        root="/".join([".."] * (1 + name.count("/"))),
        body=body,
    )
    return HTMLResponse(content, headers=DEMO_HEADERS)


# Plain functions: Starlette runs them in a thread, away from the sockets' event loop.


def _document(request: Request) -> Response:
    name = str(request.path_params["name"])
    files = published_files()
    path = files.get(name)
    if path is None:
        return _index(name, files)
    if path.suffix == ".md":
        body = rendered(path.read_text(encoding="utf-8"), name)
        return _page(name, _title(path), body)
    media_type = _MEDIA_TYPES.get(path.suffix, "text/plain; charset=utf-8")
    return FileResponse(path, media_type=media_type, headers=DEMO_HEADERS)


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
            items.append(f'<li><a href="{link}">{html.escape(_title(path))}</a></li>')
    if name and not items:
        raise HTTPException(404)
    listed = f"<ul>{''.join(items)}</ul>" if items else "<p>This installation holds none.</p>"
    return _page(name, "Documents", f"<h1>Documents</h1>{listed}")


def _to_index(_request: Request) -> Response:
    return RedirectResponse("docs/")


def document_routes() -> list[BaseRoute]:
    """Return the routes of the documents' indexes, and of each document and its images."""
    return [
        Route("/docs", _to_index, methods=["GET"]),
        Route("/docs/{name:path}", _document, methods=["GET"], name="document"),
    ]
