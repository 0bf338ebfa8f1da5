"""Which files are shown under `/docs/`, and that every link of every one of them works."""

import tomllib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urldefrag, urljoin, urlsplit

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

import app.transports.pages.published as published_module
from app.transports.pages.graphiql import graphiql_page
from app.transports.pages.published import page_link, published_files
from app.transports.pages.routes import page_routes

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("link", "page", "expected"),
    [
        ("docs/GRAPHQL.md", "README.md", "GRAPHQL.md"),
        ("docs/decisions/", "README.md", "decisions/"),
        ("schema.graphql", "README.md", "schema.graphql"),
        ("../README.md", "MIGRATING.md", "README.md"),
        ("../deploy/nginx.conf", "OPERATIONS.md", "deploy/nginx.conf"),
        ("0002-b.md", "decisions/0001-a.md", "0002-b.md"),
        ("../GLOSSARY.md#words", "decisions/0001-a.md", "../GLOSSARY.md#words"),
        ("../../README.md", "decisions/0001-a.md", "../README.md"),
        ("#words", "GLOSSARY.md", "#words"),
        ("https://example.com/docs/a", "README.md", "https://example.com/docs/a"),
        ("mailto:a@example.com", "README.md", "mailto:a@example.com"),
        ("/graphql", "README.md", "/graphql"),
    ],
)
def test_a_link_of_the_tree_becomes_one_of_the_pages(link: str, page: str, expected: str) -> None:
    """`docs/` is the top of the pages; other hosts, fragments and absolute paths stay."""
    assert page_link(link, page) == expected


def test_the_wheel_holds_the_same_files() -> None:
    """In the wheel the files of the tree's top are in the folder of the documents."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    included = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert included["docs"] == "app/_docs"
    for name in published_module._BESIDE:
        assert included[name] == f"app/_docs/{name}"
        assert (ROOT / name).exists()


def test_an_installed_package_finds_them_in_its_own_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file outside the package is looked at."""
    (tmp_path / "README.md").write_text("# Of somebody else\n")
    packaged = tmp_path / "app" / "_docs"
    (packaged / "decisions").mkdir(parents=True)
    (packaged / "README.md").write_text("# Ours\n")
    (packaged / "decisions" / "0001-a.md").write_text("# A\n")
    monkeypatch.setattr(published_module, "_PACKAGE", tmp_path / "app")
    assert published_files() == {
        "README.md": packaged / "README.md",
        "decisions/0001-a.md": packaged / "decisions" / "0001-a.md",
    }


class _Page(HTMLParser):
    """The links and the ids of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.feed(text)

    def handle_starttag(self, _tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.links += [value for key in ("href", "src") if (value := named.get(key))]
        self.ids |= {value for value in [named.get("id")] if value}


def _pages() -> Iterator[str]:
    yield ""
    yield from {name.rpartition("/")[0] + "/" for name in published_files() if "/" in name}
    yield from (name for name in published_files() if name.endswith(".md"))


@pytest.mark.parametrize("name", sorted(_pages()))
async def test_every_link_of_every_page_works(name: str) -> None:
    """Whoever reads the documents on the server gets to each place that they name.

    Links are relative, so that they work under a path prefix too.
    """
    routes = [*page_routes(enabled=True, console=True), Route("/graphql", graphiql_page)]
    transport = httpx.ASGITransport(Starlette(routes=routes))
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        here = f"http://service/docs/{name}"
        page = _Page((await client.get(here)).text)
        assert page.links
        for link in page.links:
            if urlsplit(link).scheme:
                continue
            assert not link.startswith("/"), link
            address, fragment = urldefrag(urljoin(here, link))
            answer = await client.get(address)
            # GraphiQL may not be built here; its address is right all the same.
            assert answer.status_code == 200 or address.endswith("/graphql"), link
            if fragment:
                assert fragment in _Page(answer.text).ids, link
