"""GraphiQL at the GraphQL endpoint, and the page in its place when it was not built.

`build_graphiql.py`, at the top of the source tree, builds it while the package is installed.
"""

from typing import Final

from starlette.requests import Request
from starlette.responses import FileResponse, Response

from app.transports.pages.files import STATIC
from app.transports.pages.policy import DEMO_HEADERS, GRAPHIQL_HEADERS

__all__ = ["GRAPHIQL_FILES", "graphiql_is_built", "graphiql_page"]

GRAPHIQL_FILES: Final = STATIC / "graphiql"
"""Where the build puts the bundle."""

_MISSING_PAGE: Final = STATIC / "demo" / "graphiql-missing.html"


def graphiql_is_built() -> bool:
    """Tell whether this installation holds GraphiQL."""
    return (GRAPHIQL_FILES / "index.html").is_file()


async def graphiql_page(_request: Request) -> Response:
    """Answer a browser's GET of the GraphQL endpoint.

    Without the bundle the answer is 503 and a page that says how to build it.
    """
    if graphiql_is_built():
        return FileResponse(GRAPHIQL_FILES / "index.html", headers=GRAPHIQL_HEADERS)
    return FileResponse(_MISSING_PAGE, status_code=503, headers=DEMO_HEADERS)
