"""Static files of the pages, with the caching that their names allow."""

import os
import stat
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any, Final

from starlette.responses import Response
from starlette.staticfiles import StaticFiles

__all__ = ["STATIC", "HashedFiles", "RevalidatedFiles"]

STATIC: Final = Path(__file__).resolve().parents[2] / "static"
"""The folder `app/static`."""

_ONE_YEAR_SECONDS: Final = 31_536_000


class _GuardedFiles(StaticFiles):
    """Files that a browser takes for what they are called, never for what they look like."""

    cache_control: str

    def __init__(self, directory: Path) -> None:
        # A folder that was not built answers 404 rather than keep the service from starting.
        super().__init__(directory=directory, check_dir=False)

    async def check_config(self) -> None:
        """Accept a folder that is not there, see `__init__`."""

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        """Find a file; hidden ones, and anything but plain files, are not there."""
        if any(part.startswith(".") for part in Path(path).parts):
            return "", None
        full_path, found = super().lookup_path(path)
        if found is not None and not stat.S_ISREG(found.st_mode):
            return "", None
        return full_path, found

    def file_response(
        self,
        full_path: str | os.PathLike[str],
        stat_result: os.stat_result,
        scope: MutableMapping[str, Any],
        status_code: int = 200,
    ) -> Response:
        """Answer with the file, or with 304 to a browser that has it."""
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers["Cache-Control"] = self.cache_control
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response


class HashedFiles(_GuardedFiles):
    """Files named after their content: kept for a year without asking."""

    cache_control = f"public, max-age={_ONE_YEAR_SECONDS}, immutable"


class RevalidatedFiles(_GuardedFiles):
    """Files whose content may change under their name: kept, and asked for by ETag."""

    cache_control = "no-cache"
