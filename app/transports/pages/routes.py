"""The pages' routes, as the composition root mounts them."""

from typing import Final

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from app.transports.pages.documents import document_routes
from app.transports.pages.files import STATIC, HashedFiles, RevalidatedFiles
from app.transports.pages.graphiql import GRAPHIQL_FILES
from app.transports.pages.policy import DEMO_HEADERS

__all__ = ["page_routes"]

_DEMO_FILES: Final = STATIC / "demo"


async def _demo_page(_request: Request) -> Response:
    return FileResponse(_DEMO_FILES / "index.html", headers=DEMO_HEADERS)


def page_routes(enabled: bool) -> list[BaseRoute]:
    """Return the routes of the demonstration page, the documents and GraphiQL's files.

    GraphiQL's own page is no route: it is what the GraphQL endpoint answers a browser, see
    `app.transports.pages.graphiql.graphiql_page`.

    Args:
        enabled: without it there are no routes, and 404s.
    """
    if not enabled:
        return []
    return [
        Route("/", _demo_page, methods=["GET"], name="demo"),
        *document_routes(),
        Mount("/demo", RevalidatedFiles(_DEMO_FILES), name="demo-files"),
        Mount("/graphiql/assets", HashedFiles(GRAPHIQL_FILES), name="graphiql-files"),
    ]
