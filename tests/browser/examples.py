"""An example of `clients/js` as its one command serves it."""

import os
import re
import socket
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Final

__all__ = ["Example", "free_ports"]

_ON: Final = re.compile(r"is on (http://localhost:\d+),")


class Example:
    """One running example.

    Args:
        node: runs it.
        package: the compiled package, which has the examples.
        name: its folder.
        port: where it is served.
        server: the address of Widgetwire, which must let the example's origin in.
    """

    def __init__(self, node: Path, package: Path, name: str, port: int, server: str) -> None:
        self._process = subprocess.Popen(
            [node, "examples/start.mjs", name],
            cwd=package,
            env=os.environ | {"PORT": str(port), "SERVER": server},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        said = ""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said += line
            if found := _ON.search(said):
                self.url = found[1]
                """http://localhost:PORT"""
                return
        self.close()
        raise AssertionError(f"{name} did not start:\n{said}")

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


def free_ports(count: int) -> list[int]:
    """Return ports that nobody uses now, each another."""
    with ExitStack() as opened:
        return [
            int(opened.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1])
            for _ in range(count)
        ]
