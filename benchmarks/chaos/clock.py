"""The system clock as some processes see it, set back and forward while they run.

Only the time of day changes (`clock.c`, loaded before all else); the clocks that durations are
measured with go on, as they do where an operator or NTP sets the clock of a machine. Debian's
libfaketime cannot be used: with it, `time.sleep` of Python fails.
"""

import shutil
import struct
import subprocess
from pathlib import Path
from typing import Final

__all__ = ["Clock", "clock_library"]

_SOURCE: Final = Path(__file__).with_name("clock.c")


def clock_library(directory: Path) -> Path | None:
    """Compile what sets the clock; None: there is no C compiler on this machine."""
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    library = directory / "clock.so"
    command = [compiler, "-shared", "-fPIC", "-O2", "-o", str(library), str(_SOURCE), "-ldl"]
    subprocess.run(command, check=True)
    library.chmod(0o755)
    return library


class Clock:
    """A clock that is set back and forward.

    Args:
        library: as `clock_library` returns it.
        file: where its offset is written, for all processes with this clock.
    """

    def __init__(self, library: Path, file: Path) -> None:
        self._file = file
        self.environment: Final = {"LD_PRELOAD": str(library), "CHAOS_CLOCK": str(file)}
        """Of the processes that shall have this clock."""
        file.write_bytes(struct.pack("q", 0))
        file.chmod(0o644)

    def set(self, seconds: int) -> None:
        """Let it be off by so many seconds, from now on."""
        with self._file.open("r+b", buffering=0) as file:
            file.write(struct.pack("q", seconds))
