"""Programs of the JavaScript world that some tests need; never silently missing in CI."""

import os
from pathlib import Path
from typing import NoReturn

import pytest

from tests.npm import MissingProgramError, install, program

__all__ = ["installed_packages", "missing", "required_program"]


def required_program(*names: str) -> Path:
    """Return the path of the first of `names` that there is; skip, or in CI fail, without one."""
    try:
        return program(*names)
    except MissingProgramError as error:
        missing(str(error))


def missing(reason: str) -> NoReturn:
    """Skip the test for a reason; in CI, where everything is installed, fail it."""
    if os.environ.get("CI", "").lower() in {"true", "1"}:
        pytest.fail(reason)
    pytest.skip(reason)


def installed_packages(manifest: Path) -> Path:
    """Return a directory with the packages of `manifest` in node_modules, as `tests.npm.install`.

    Skips, or in CI fails, where they cannot be had.
    """
    try:
        return install(manifest)
    except MissingProgramError as error:
        missing(str(error))
