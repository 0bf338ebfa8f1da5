"""nchan: pub/sub in C, a module of nginx; no GraphQL and no database."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks.launch import Launch, LeftOutError
from benchmarks.machine import raise_file_limit

__all__ = ["launch"]

_CONFIGURATION: Final = Path(__file__).with_name("nginx.conf")
_MODULES: Final = (
    "/usr/lib/nginx/modules/ngx_nchan_module.so",
    "/usr/lib64/nginx/modules/ngx_nchan_module.so",
    "/usr/share/nginx/modules/ngx_nchan_module.so",
)
# nginx is often where only root's PATH looks.
_SEARCH_PATH: Final = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"])
_MAX_CONNECTIONS: Final = 65_536
"""nginx keeps some 500 bytes for each from its start."""


@contextmanager
def launch() -> Iterator[Launch]:
    """Write nginx's configuration for a free port, have nginx check it, and say how to start it.

    Raises:
        LeftOutError: there is no nginx, or no nchan that it takes.
    """
    nginx = shutil.which("nginx", path=_SEARCH_PATH)
    if nginx is None:
        raise LeftOutError("there is no nginx on this machine (Debian: nginx)")
    module = next(filter(os.path.exists, _MODULES), None)
    if module is None:
        raise LeftOutError("nginx has no module nchan on this machine (libnginx-mod-nchan)")
    port = _free_port()
    words = {
        "@MODULE@": module,
        "@CONNECTIONS@": str(min(raise_file_limit(), _MAX_CONNECTIONS)),
        "@PORT@": str(port),
    }
    text = _CONFIGURATION.read_text(encoding="utf-8")
    for word, value in words.items():
        text = text.replace(word, value)
    with tempfile.TemporaryDirectory(prefix="widgetwire-nchan-") as directory:
        configuration = Path(directory) / "nginx.conf"
        configuration.write_text(text, encoding="utf-8")
        command = [nginx, "-e", "stderr", "-p", directory, "-c", str(configuration)]
        checked = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
        if checked.returncode != 0:
            said = " ".join(checked.stderr.split())[:300]
            raise LeftOutError(f"nginx does not take nchan: {said}")
        yield Launch(command, port=port, workers_are_children=True)


def _free_port() -> int:
    """A port that was free a moment ago: nginx takes no port 0."""
    with socket.create_server(("127.0.0.1", 0)) as opened:
        return int(opened.getsockname()[1])
