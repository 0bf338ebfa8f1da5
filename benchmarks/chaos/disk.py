"""A small disk of its own, which can be filled."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

__all__ = ["Disk", "disk"]

_SIZE: Final = "900m"
_PIECES_BYTES: Final = (1 << 20, 4096)


class Disk:
    """A directory on a file system.

    Args:
        root: the directory.
        small: whether the file system is its own, to be filled.
    """

    def __init__(self, root: Path, *, small: bool) -> None:
        self.root = root
        self.small = small
        self._filler = root / "filler"

    def fill(self) -> None:
        """Take all the space that is left."""
        with self._filler.open("ab", buffering=0) as filler:
            for piece in _PIECES_BYTES:
                with suppress(OSError):
                    while True:
                        filler.write(bytes(piece))

    def free(self) -> None:
        """Give the space back. Idempotent."""
        self._filler.unlink(missing_ok=True)


@contextmanager
def disk() -> Iterator[Disk]:
    """Mount a small disk, where this user may; else any directory, which is not filled."""
    # Not below a deep path: Postgres' socket path must be short.
    with tempfile.TemporaryDirectory(prefix="widgetwire-chaos-") as name:
        root = Path(name)
        root.chmod(0o711)
        command = ["mount", "-t", "tmpfs", "-o", f"size={_SIZE},mode=711", "tmpfs", name]
        small = (
            os.geteuid() == 0
            and subprocess.run(command, capture_output=True, check=False).returncode == 0
        )
        try:
            yield Disk(root, small=small)
        finally:
            if small:
                subprocess.run(["umount", "--lazy", name], check=True)
