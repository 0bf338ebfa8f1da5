"""Which files the pages under `/docs/` show, and under which paths.

The documents of `docs/` are at the top there, with a few files of the source tree's top beside
them. Documents link to each other by their paths in the source tree, as on GitHub.
"""

import posixpath
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import urlsplit

__all__ = ["page_link", "published_files"]

_PACKAGE: Final = Path(__file__).resolve().parents[2]

_BESIDE: Final = ("README.md", "CHANGELOG.md", "schema.graphql", "deploy")
"""Of the source tree's top. In the wheel they lie among the documents, see pyproject.toml."""

_SUFFIXES: Final = frozenset({".md", ".svg", ".png", ".graphql"})
"""All of `deploy/` is shown besides."""


def published_files() -> dict[str, Path]:
    """Return each file by its path below `/docs/`: of the wheel, or of a checkout."""
    packaged = _PACKAGE / "_docs"
    if packaged.is_dir():
        return _files_in(packaged, packaged.rglob("*"))
    tree = _PACKAGE.parent
    beside = (
        path
        for name in _BESIDE
        for path in ([tree / name] if (tree / name).is_file() else (tree / name).rglob("*"))
    )
    return _files_in(tree / "docs", (tree / "docs").rglob("*")) | _files_in(tree, beside)


def page_link(link: str, page: str) -> str:
    """Return what a link in a document is on the document's page.

    Args:
        link: an address, or a path relative to the document in the source tree; both may have
            a fragment.
        page: the document's path below `/docs/`.
    """
    parts = urlsplit(link)
    if parts.scheme or parts.netloc or not parts.path or parts.path.startswith("/"):
        return link
    document = page if PurePosixPath(page).parts[0] in _BESIDE else f"docs/{page}"
    linked = posixpath.normpath(posixpath.join(posixpath.dirname(document), parts.path))
    there = linked.removeprefix("docs/")
    path = posixpath.relpath(there, posixpath.dirname(page) or ".")
    slash = "/" if parts.path.endswith("/") else ""
    return parts._replace(path=path + slash).geturl()


def _files_in(directory: Path, paths: Iterable[Path]) -> dict[str, Path]:
    return {
        name: path
        for path in paths
        if _is_published(name := path.relative_to(directory).as_posix(), path)
    }


def _is_published(name: str, path: Path) -> bool:
    shown = path.suffix in _SUFFIXES or name.startswith("deploy/")
    return shown and path.is_file() and not path.is_symlink()
