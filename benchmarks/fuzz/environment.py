"""Where schemathesis is installed: beside ours, it wants an older jsonschema-rs than we do."""

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

__all__ = ["python"]

_REQUIREMENT: Final = "schemathesis>=4.32,<5"
_INSTALL_SECONDS: Final = 300


def python() -> Path:
    """Return the Python of an environment with schemathesis; made once, in the user's cache.

    Raises:
        CalledProcessError: pip cannot install it; it says why.
    """
    asked = hashlib.sha256(f"{_REQUIREMENT} {sys.executable} {sys.version}".encode())
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    place = cache / "widgetwire-fuzz" / asked.hexdigest()[:16]
    program = place / "bin" / "python"
    ready = place / "ready"
    if not ready.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", place], check=True)
        subprocess.run(
            [program, "-m", "pip", "install", "-qq", _REQUIREMENT],
            timeout=_INSTALL_SECONDS,
            check=True,
            cwd=tempfile.gettempdir(),
        )
        ready.touch()
    return program
