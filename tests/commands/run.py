"""A command, run as people run it: a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

__all__ = ["SECRET", "widgetwire"]

SECRET = "a secret of thirty-two bytes, at least"


def widgetwire(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run `widgetwire` with these settings alone, by their names without the prefix."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("WIDGETWIRE_")
    }
    return subprocess.run(
        [sys.executable, "-m", "app", *arguments],
        cwd=Path(__file__).parents[2],
        env=environment | {f"WIDGETWIRE_{name}": value for name, value in settings.items()},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
