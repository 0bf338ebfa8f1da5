"""A script that runs in Node beside a test."""

import re
import shutil
import subprocess
import threading
from pathlib import Path
from typing import Final

__all__ = ["Script"]

_HERE: Final = Path(__file__).parent
_TIMEOUT_SECONDS: Final = 60


class Script:
    """One running script of this directory.

    Args:
        name: of the script, without its ending.
        url: the server's address, its one argument.
        node: the program.
        packages: a directory with the clients in its node_modules.
        directory: the test's own, to run in.
    """

    def __init__(self, name: str, url: str, node: Path, packages: Path, directory: Path) -> None:
        # Node looks for packages beside the script, wherever it is run from.
        (directory / "node_modules").symlink_to(packages / "node_modules")
        for script in _HERE.glob("*.mjs"):
            shutil.copy(script, directory)
        self._process = subprocess.Popen(
            [node, f"{name}.mjs", url],
            cwd=directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._killer = threading.Timer(_TIMEOUT_SECONDS, self._process.kill)
        self._killer.start()
        self._output = ""

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Wait for a line of the script that matches; its end before that fails the test."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._output += line
            match = re.fullmatch(pattern, line.strip())
            if match:
                return match
        raise AssertionError(f"the script ended without {pattern!r}:\n{self._output}")

    def finish(self) -> None:
        """Wait for its end, which must be a good one."""
        assert self._process.stdout is not None
        self._output += self._process.stdout.read()
        code = self._process.wait()
        assert code == 0, f"the script failed with {code}:\n{self._output}"

    def close(self) -> None:
        """End it if it still runs."""
        self._killer.cancel()
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
