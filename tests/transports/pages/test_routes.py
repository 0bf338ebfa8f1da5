"""The pages' routes: what is there, what is not, and the headers that guard it."""

from collections.abc import AsyncIterator
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

import app.transports.pages.graphiql as graphiql_module
from app.transports.pages.files import STATIC, HashedFiles
from app.transports.pages.graphiql import graphiql_page
from app.transports.pages.routes import page_routes

pytestmark = pytest.mark.anyio


def _client(enabled: bool = True, console: bool = True) -> httpx.AsyncClient:
    routes = [*page_routes(enabled, console=console), Route("/graphql", graphiql_page)]
    transport = httpx.ASGITransport(Starlette(routes=routes))
    return httpx.AsyncClient(transport=transport, base_url="http://service")


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """The pages, as a browser would ask for them."""
    async with _client() as opened:
        yield opened


class _Addresses(HTMLParser):
    """Collects what a page links or loads, and what it would run inline."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.inline: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.found += [value for key in ("href", "src") if (value := named.get(key))]
        self.inline += [key for key in named if key.startswith("on") or key == "style"]
        if tag == "style" or (tag == "script" and not named.get("src")):
            self.inline.append(tag)


@pytest.mark.parametrize(
    "page",
    ["demo/index.html", "demo/graphiql-missing.html", "demo/docs.html", "console/index.html"],
)
def test_pages_name_no_other_host_and_run_nothing_inline(page: str) -> None:
    """The policy would refuse both."""
    addresses = _Addresses()
    addresses.feed((STATIC / page).read_text())
    assert addresses.found
    assert not [found for found in addresses.found if "//" in found.replace("$root/", "/")]
    assert addresses.inline == []


@pytest.mark.parametrize("path", ["/", "/admin"])
async def test_everything_the_page_loads_is_served(client: httpx.AsyncClient, path: str) -> None:
    """A renamed file would leave a hole that no other test sees."""
    page = await client.get(path)
    assert page.status_code == 200
    addresses = _Addresses()
    addresses.feed(page.text)
    for address in addresses.found:
        if address.startswith(("demo/", "console/")):
            assert (await client.get(f"/{address}")).status_code == 200, address


@pytest.mark.parametrize("path", ["/", "/graphql", "/docs/", "/admin"])
async def test_pages_are_held_to_their_own_origin(client: httpx.AsyncClient, path: str) -> None:
    """Whatever a message holds, nothing of it can run, and no page can frame this one."""
    headers = (await client.get(path)).headers
    policy = dict(
        part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == "'self'"
    assert policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert headers["x-content-type-options"] == "nosniff"


async def test_files_are_revalidated_by_etag(client: httpx.AsyncClient) -> None:
    """An update is seen at the next visit, and costs nothing when there is none."""
    first = await client.get("/demo/demo.js")
    assert first.headers["cache-control"] == "no-cache"
    again = await client.get("/demo/demo.js", headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304


async def test_hashed_files_are_kept_for_a_year(tmp_path: Path) -> None:
    """Their name changes with their content."""
    (tmp_path / "page-ABC.js").write_text("1")
    (tmp_path / ".inputs").write_text("internal")
    transport = httpx.ASGITransport(HashedFiles(tmp_path))
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        found = await client.get("/page-ABC.js")
        assert found.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert found.headers["content-type"].startswith("text/javascript")


@pytest.mark.parametrize(
    "path",
    [
        "/demo/",
        "/console/",
        "/console/%2e%2e/demo/demo.js",
        "/admin/console.js",
        "/demo/.hidden",
        "/demo/missing.js",
        "/demo/%2e%2e/player-api.js",
        "/demo/a%00b",
        "/demo/" + "a" * 5000,
        "/graphiql/assets/.inputs",
        "/graphiql/assets/",
        "/docs/missing.md",
        "/docs/%2e%2e/pyproject.toml",
        "/docs/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "/docs//etc/passwd",
        "/docs/a%00b.md",
        "/docs/" + "a" * 5000,
    ],
)
async def test_what_is_not_there_is_404(client: httpx.AsyncClient, path: str) -> None:
    """Nothing outside the folders, nothing hidden, and no traceback for an odd name."""
    assert (await client.get(path)).status_code == 404


@pytest.mark.parametrize("path", ["/", "/demo/demo.js", "/docs/", "/graphiql/assets/x.js"])
async def test_switched_off_nothing_is_there(path: str) -> None:
    """WIDGETWIRE_GRAPHIQL=false."""
    async with _client(enabled=False, console=False) as client:
        assert (await client.get(path)).status_code == 404


@pytest.mark.parametrize("path", ["/admin", "/admin/", "/console/console.js"])
async def test_the_console_has_a_switch_of_its_own(path: str) -> None:
    """WIDGETWIRE_CONSOLE=false."""
    async with _client(console=False) as client:
        assert (await client.get(path)).status_code == 404


async def test_the_console_needs_no_other_page() -> None:
    """In production the pages for developers are off, and the console shares files with them."""
    async with _client(enabled=False) as client:
        assert (await client.get("/")).status_code == 404
        for path in ("/admin", "/console/console.js", "/demo/demo.css", "/demo/graphql.js"):
            assert (await client.get(path)).status_code == 200, path
        answer = await client.get("/admin/")
        assert answer.headers["location"] == "../admin"


async def test_without_the_bundle_a_page_says_how_to_build_it(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """npm was out of reach when the package was built: the service is whole all the same."""
    monkeypatch.setattr(graphiql_module, "GRAPHIQL_FILES", tmp_path / "never-built")
    answer = await client.get("/graphql")
    assert answer.status_code == 503
    assert answer.headers["content-type"].startswith("text/html")
    assert "python build_graphiql.py" in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]


async def test_with_the_bundle_the_page_comes_from_it(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Monaco's styles and workers are allowed there, and there only."""
    (tmp_path / "index.html").write_text("<!doctype html><title>GraphiQL</title>")
    monkeypatch.setattr(graphiql_module, "GRAPHIQL_FILES", tmp_path)
    answer = await client.get("/graphql")
    assert answer.status_code == 200
    assert "GraphiQL" in answer.text
    assert "worker-src 'self'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-cache"
