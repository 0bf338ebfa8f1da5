"""A running nginx with one of the files of `deploy/`."""

import os
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

__all__ = ["Nginx"]

_DEPLOY: Final = Path(__file__).parents[2] / "deploy"
_START_TIMEOUT_SECONDS: Final = 15
_USER: Final = "user root;" if os.geteuid() == 0 else ""
_MAIN: Final = """
{user}
daemon off;
pid {directory}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    include {directory}/deployed.conf;
}}
"""


class Nginx:
    """nginx on ports of its own in front of a service.

    Args:
        program: nginx.
        name: of the file in `deploy/`.
        service_port: in the place of 8000.
        directory: the test's own; has `fullchain.pem` and `privkey.pem` for TLS.
    """

    def __init__(self, program: Path, name: str, service_port: int, directory: Path) -> None:
        self.port, self.redirecting_port = _free_ports()
        text = (_DEPLOY / name).read_text(encoding="utf-8")
        tls = " ssl " in text
        for old, new in {
            "server 127.0.0.1:8000;": f"server 127.0.0.1:{service_port};",
            "listen 443 ": f"listen 127.0.0.1:{self.port} ",
            "listen 80;": f"listen 127.0.0.1:{self.redirecting_port if tls else self.port};",
            "/etc/ssl/widgetwire/": f"{directory}/",
        }.items():
            text = text.replace(old, new)
        (directory / "deployed.conf").write_text(text, encoding="utf-8")
        main = directory / "nginx.conf"
        main.write_text(_MAIN.format(directory=directory, user=_USER), encoding="utf-8")
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        """Without a path."""
        self._log = (directory / "error.log").open("w+")
        self._process = subprocess.Popen(
            [program, "-e", "stderr", "-p", directory, "-c", main],
            stdin=subprocess.DEVNULL,
            stderr=self._log,
        )

    def __enter__(self) -> Self:
        deadline = time.monotonic() + _START_TIMEOUT_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except ConnectionRefusedError:
                time.sleep(0.02)
            else:
                return self
        self._end()
        raise AssertionError(f"nginx did not start:\n{self._said()}")

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._end()
        self._log.close()

    def _end(self) -> None:
        self._process.terminate()
        self._process.wait(10)

    def _said(self) -> str:
        self._log.seek(0)
        return self._log.read()


def _free_ports() -> tuple[int, int]:
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as other,
    ):
        return one.getsockname()[1], other.getsockname()[1]
