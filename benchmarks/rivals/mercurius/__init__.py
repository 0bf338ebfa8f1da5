"""Mercurius: GraphQL of Node, on Fastify."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks.launch import Launch, LeftOutError
from tests.npm import MissingProgramError, install, program

__all__ = ["launch"]

_HERE: Final = Path(__file__).parent


@contextmanager
def launch() -> Iterator[Launch]:
    """Install its packages in the user's cache, once, and say how to start it.

    Raises:
        LeftOutError: there is no Node, or npm cannot install them.
    """
    try:
        node, packages = program("node"), install(_HERE / "package.json")
    except MissingProgramError as error:
        raise LeftOutError(str(error)) from error
    # Node looks for packages beside the program, and the tree holds none.
    with tempfile.TemporaryDirectory(prefix="widgetwire-mercurius-") as directory:
        (Path(directory) / "node_modules").symlink_to(packages / "node_modules")
        server = shutil.copy(_HERE / "server.mjs", Path(directory) / "server.mjs")
        yield Launch([str(node), str(server)], {"NODE_ENV": "production"})
