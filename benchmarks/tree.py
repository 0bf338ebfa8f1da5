"""The checkout whose server is measured: this one, or an older one beside it."""

import os
import subprocess
from pathlib import Path
from typing import Final

__all__ = ["TREE", "commit"]

TREE: Final = Path(os.environ.get("BENCHMARK_TREE") or Path(__file__).parents[1])
"""BENCHMARK_TREE, or the checkout that this file is in."""

_SECONDS: Final = 10


def commit() -> str:
    """Which commit that is, `+` after it where files differ; nothing where git cannot tell."""
    try:
        said = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=7", "--exclude=*"],
            cwd=TREE,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return said.stdout.strip()
