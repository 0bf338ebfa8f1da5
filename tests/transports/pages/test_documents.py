"""The documents as pages."""

import re
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

import app.transports.pages.published as published_module
from app.transports.pages.documents import document_routes

pytestmark = pytest.mark.anyio


@pytest.fixture
def documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of documents in the place of docs/."""
    monkeypatch.setattr(published_module, "_PACKAGE", tmp_path / "app")
    (tmp_path / "docs").mkdir()
    return tmp_path / "docs"


async def _get(path: str) -> httpx.Response:
    transport = httpx.ASGITransport(Starlette(routes=document_routes()))
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        return await client.get(path)


async def test_the_index_lists_every_document_by_its_title(documents: Path) -> None:
    """Folders included; other files are not documents."""
    (documents / "decisions").mkdir()
    (documents / "ONE.md").write_text("# The <first>\n")
    (documents / "decisions" / "0001-two.md").write_text("Text before\n\n# The second\n")
    (documents / "figure.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    index = (await _get("/docs/")).text
    listed = re.findall(r'<li><a href="(.*?)">(.*?)</a></li>', index)
    assert listed == [
        ("ONE.md", "The &lt;first&gt;"),
        ("decisions/0001-two.md", "The second"),
    ]


async def test_a_document_is_rendered_and_its_markup_is_not_trusted(documents: Path) -> None:
    """Raw HTML and script addresses stay text."""
    (documents / "A.md").write_text(
        "# Title & more\n\n| a | b |\n| - | - |\n| 1 | 2 |\n\n"
        "<script>alert(1)</script>\n\n[x](javascript:alert(1))\n\n`$title $5`\n"
    )
    page = (await _get("/docs/A.md")).text
    assert "<title>Title &amp; more · Widgetwire</title>" in page
    assert '<td data-label="a">1</td>' in page
    assert "<script>" not in page
    assert 'href="javascript' not in page
    # A dollar sign in a document is no placeholder of the page.
    assert "<code>$title $5</code>" in page


async def test_images_of_documents_are_served_and_other_files_are_not(documents: Path) -> None:
    """A plot in a document shows; a source beside it does not."""
    (documents / "figure.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (documents / "notes.txt").write_text("private")
    (documents / "out.md").symlink_to("/etc/hostname")
    assert (await _get("/docs/figure.svg")).headers["content-type"] == "image/svg+xml"
    assert (await _get("/docs/notes.txt")).status_code == 404
    assert (await _get("/docs/out.md")).status_code == 404


async def test_without_documents_the_index_says_so(documents: Path) -> None:
    """An installation may leave them out."""
    assert "holds none" in (await _get("/docs/")).text


@pytest.mark.parametrize(("path", "location"), [("/docs", "docs/"), ("/docs/more", "more/")])
async def test_without_a_slash_an_index_leads_to_itself(
    documents: Path, path: str, location: str
) -> None:
    """The links of an index are relative to it; a proxy may have put a prefix before it."""
    (documents / "more").mkdir()
    (documents / "more" / "A.md").write_text("# A\n")
    answer = await _get(path)
    assert answer.status_code == 307
    assert answer.headers["location"] == location
    assert ">A</a>" in (await _get(f"{path}/")).text


async def test_files_of_the_tree_are_there_beside_the_documents(documents: Path) -> None:
    """README, changelog and schema; nothing else of the top."""
    (documents.parent / "README.md").write_text("# The readme\n")
    (documents.parent / "schema.graphql").write_text("type Query { ä: Int }\n")
    (documents.parent / "SECRET.md").write_text("# Private\n")
    assert "The readme</h1>" in (await _get("/docs/README.md")).text
    schema = await _get("/docs/schema.graphql")
    assert schema.headers["content-type"] == "text/plain; charset=utf-8"
    assert schema.text == "type Query { ä: Int }\n"
    assert (await _get("/docs/SECRET.md")).status_code == 404


async def test_the_readme_is_the_entrance_and_the_contents_are_beside_each_page(
    documents: Path,
) -> None:
    """From a folder's page too, and below a proxy's prefix: links are relative."""
    (documents.parent / "README.md").write_text("# Start\n\n[A](docs/A.md) [B](docs/more/B.md)\n")
    (documents / "more").mkdir()
    (documents / "A.md").write_text("# First\n\n## Part\n")
    (documents / "more" / "B.md").write_text("# Second\n")
    entrance = (await _get("/docs/")).text
    assert '<h1 id="start">Start</h1>' in entrance
    assert '<a href="README.md" aria-current="page">Start</a>' in entrance
    first = (await _get("/docs/A.md")).text
    assert '<a href="A.md" aria-current="page">First</a><ol><li><a href="#part">Part' in first
    second = (await _get("/docs/more/B.md")).text
    assert '<a href="../more/B.md" aria-current="page">Second</a>' in second
    assert '<a href="../A.md">First</a>' in second
    assert 'action="../search"' in second


async def test_the_search_shows_sections_and_what_was_asked(documents: Path) -> None:
    (documents / "A.md").write_text("# First\n\n## Replays\n\nWhat is <replayed> & how\n")
    page = (await _get("/docs/search?q=replay%3Cb%3E")).text
    assert "No section has all of these words" in page
    assert 'value="replay&lt;b&gt;"' in page
    page = (await _get("/docs/search?q=replay")).text
    assert '<a href="A.md#replays">Replays</a> <small>First</small>' in page
    assert "What is &lt;replayed&gt; &amp; how" in page
    assert (await _get("/docs/search")).status_code == 200
