"""The pages' routes, as the composition root mounts them."""

from typing import Final

from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from app.transports.pages.documents import document_routes
from app.transports.pages.files import STATIC, HashedFiles, RevalidatedFiles
from app.transports.pages.graphiql import GRAPHIQL_FILES
from app.transports.pages.policy import DEMO_HEADERS

__all__ = ["page_routes"]

_DEMO_FILES: Final = STATIC / "demo"
_CONSOLE_FILES: Final = STATIC / "console"


async def _demo_page(_request: Request) -> Response:
    return FileResponse(_DEMO_FILES / "index.html", headers=DEMO_HEADERS)


async def _console_page(_request: Request) -> Response:
    return FileResponse(_CONSOLE_FILES / "index.html", headers=DEMO_HEADERS)


def _to_console(_request: Request) -> Response:
    # Relative, so that it stays below whatever prefix a proxy puts before it.
    return RedirectResponse("../admin")


def page_routes(enabled: bool, *, console: bool) -> list[BaseRoute]:
    """Return the routes of the demonstration page, the documents, the console and their files.

    GraphiQL's own page is no route: it is what the GraphQL endpoint answers a browser, see
    `app.transports.pages.graphiql.graphiql_page`.

    Args:
        enabled: whether the pages for whoever develops are there; else they are 404s.
        console: whether the console is.
    """
    routes: list[BaseRoute] = []
    if enabled:
        routes += [
            Route("/", _demo_page, methods=["GET"], name="demo"),
            *document_routes(),
            Mount("/graphiql/assets", HashedFiles(GRAPHIQL_FILES), name="graphiql-files"),
        ]
    if console:
        routes += [
            Route("/admin", _console_page, methods=["GET"], name="console"),
            Route("/admin/", _to_console, methods=["GET"]),
            Mount("/console", RevalidatedFiles(_CONSOLE_FILES), name="console-files"),
        ]
    if routes:
        # Their styles and the modules that they share.
        routes.append(Mount("/demo", RevalidatedFiles(_DEMO_FILES), name="demo-files"))
    return routes
