"""Running proxies, each with one of the files of `deploy/`."""

import os
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

__all__ = ["Proxy", "caddy", "nginx"]

_DEPLOY: Final = Path(__file__).parents[2] / "deploy"
_START_TIMEOUT_SECONDS: Final = 15
_USER: Final = "user root;" if os.geteuid() == 0 else ""
_NGINX: Final = """
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
_CADDY: Final = """
{{
	admin off
	grace_period 1s
	auto_https disable_redirects
	skip_install_trust
	storage file_system {directory}/storage
}}

"""


class Proxy:
    """A proxy on a port of its own.

    Args:
        command: with its arguments.
        url: without a path.
        port: that it will listen on.
        directory: the test's own.
    """

    def __init__(self, command: Sequence[str | Path], url: str, port: int, directory: Path) -> None:
        self.url = url
        """Without a path."""
        self._port = port
        self._log = (directory / "error.log").open("w+")
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            env=os.environ | {"HOME": str(directory)},
        )

    def __enter__(self) -> Self:
        deadline = time.monotonic() + _START_TIMEOUT_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self._port), 1).close()
            except ConnectionRefusedError:
                time.sleep(0.02)
            else:
                return self
        self._end()
        raise AssertionError(f"the proxy did not start:\n{self._said()}")

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


def nginx(program: Path, name: str, service_port: int, directory: Path) -> tuple[Proxy, int]:
    """Start nginx in front of a service; return it, and the port that redirects to TLS.

    Args:
        program: nginx.
        name: of the file in `deploy/`.
        service_port: in the place of 8000.
        directory: the test's own; has `fullchain.pem` and `privkey.pem` for TLS.
    """
    port, redirecting_port = _free_ports()
    text = (_DEPLOY / name).read_text(encoding="utf-8")
    tls = " ssl " in text
    for old, new in {
        "server 127.0.0.1:8000;": f"server 127.0.0.1:{service_port};",
        "listen 443 ": f"listen 127.0.0.1:{port} ",
        "listen 80;": f"listen 127.0.0.1:{redirecting_port if tls else port};",
        "/etc/ssl/widgetwire/": f"{directory}/",
    }.items():
        text = text.replace(old, new)
    (directory / "deployed.conf").write_text(text, encoding="utf-8")
    main = directory / "nginx.conf"
    main.write_text(_NGINX.format(directory=directory, user=_USER), encoding="utf-8")
    url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
    command: list[str | Path] = [program, "-e", "stderr", "-p", directory, "-c", main]
    return Proxy(command, url, port, directory), redirecting_port


def caddy(program: Path, name: str, service_port: int, directory: Path) -> Proxy:
    """Start Caddy in front of a service, with the test's certificate and not one of its own.

    Args: as `nginx`.
    """
    port, _ = _free_ports()
    text = (_DEPLOY / name).read_text(encoding="utf-8")
    tls = f"https://127.0.0.1:{port} {{\n\ttls {directory}/fullchain.pem {directory}/privkey.pem\n"
    text = text.replace("live.example.com {\n", tls).replace(":8000 {", f":{service_port} {{")
    main = directory / "Caddyfile"
    main.write_text(_CADDY.format(directory=directory) + text, encoding="utf-8")
    command: list[str | Path] = [program, "run", "--config", main, "--adapter", "caddyfile"]
    return Proxy(command, f"https://127.0.0.1:{port}", port, directory)


def _free_ports() -> tuple[int, int]:
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as other,
    ):
        return one.getsockname()[1], other.getsockname()[1]
