"""Static files: plain ones of their folder only, with the caching that their names allow."""

from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from app.transports.pages.files import HashedFiles, RevalidatedFiles

pytestmark = pytest.mark.anyio


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one file, and what must not be served beside it."""
    (tmp_path / "page.js").write_text("1")
    (tmp_path / ".hidden").write_text("secret")
    (tmp_path / "below").mkdir()
    return tmp_path


def client(files: HashedFiles | RevalidatedFiles) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(Starlette(routes=[Mount("/files", files)]))
    return httpx.AsyncClient(transport=transport, base_url="http://service/files")


@pytest.mark.parametrize(
    ("kind", "caching"),
    [(HashedFiles, "public, max-age=31536000, immutable"), (RevalidatedFiles, "no-cache")],
)
async def test_a_file_says_how_long_it_may_be_kept(
    folder: Path, kind: type[HashedFiles] | type[RevalidatedFiles], caching: str
) -> None:
    async with client(kind(folder)) as opened:
        found = await opened.get("/page.js")
        assert (found.status_code, found.text) == (200, "1")
        assert found.headers["cache-control"] == caching
        assert found.headers["x-content-type-options"] == "nosniff"
        again = await opened.get("/page.js", headers={"If-None-Match": found.headers["etag"]})
        assert (again.status_code, again.headers["cache-control"]) == (304, caching)


@pytest.mark.parametrize("path", ["/.hidden", "/below", "/below/", "/missing", "/"])
async def test_anything_else_is_not_there(folder: Path, path: str) -> None:
    async with client(RevalidatedFiles(folder)) as opened:
        assert (await opened.get(path)).status_code == 404


async def test_a_folder_that_was_never_built_is_empty(tmp_path: Path) -> None:
    async with client(HashedFiles(tmp_path / "missing")) as opened:
        assert (await opened.get("/page.js")).status_code == 404
