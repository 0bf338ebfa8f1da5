"""The code that the documents show, run as it stands."""

import re
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final

__all__ = ["DocumentedClient", "code_block", "documented_client"]

_ROOT: Final = Path(__file__).parents[2]
_PATIENCE_SECONDS: Final = 40

# What a page brings along: the recipes name these and leave them to the reader.
_NODE_SHIMS: Final = """
globalThis.freshToken = async () => undefined;
globalThis.show = ({ data }) => console.log({ data });
globalThis.hide = (ids) => console.log("retracted", ids);
globalThis.clear = () => console.log("began anew");
"""
_PYTHON_SHIMS: Final = """
import builtins, runpy
builtins.fresh_token = lambda: None
builtins.show = lambda message: print({"data": message["data"]}, flush=True)
runpy.run_path("messages.py", run_name="__main__")
"""


def code_block(document: str, name: str) -> str:
    """Return the fenced block of a document whose info string ends with the file's `name`."""
    text = (_ROOT / document).read_text(encoding="utf-8")
    found = re.findall(rf"^```\w+ {re.escape(name)}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert len(found) == 1, f"{document} has {len(found)} blocks called {name}; expected one"
    return str(found[0])


class DocumentedClient:
    """A running recipe, and the numbers that it printed as the data of messages.

    Args:
        command: what runs it.
        directory: where; the test's own.
    """

    def __init__(self, command: list[str | Path], directory: Path) -> None:
        self.numbers: list[int] = []
        self._output = ""
        self._said = threading.Condition()
        self._ended = False
        self._process = subprocess.Popen(
            command,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def output(self) -> str:
        """All that it printed, what went wrong included."""
        with self._said:
            return self._output

    def wait_for_number(self, number: int) -> None:
        """Wait until it printed this number or a later one.

        Raises:
            AssertionError: it ended, or did not within 40 s.
        """
        with self._said:
            self._said.wait_for(
                lambda: self._ended or any(one >= number for one in self.numbers),
                _PATIENCE_SECONDS,
            )
            came = self.numbers[-3:]
            assert any(one >= number for one in self.numbers), (
                f"{number} did not come, the last were {came}; it printed:\n{self._output[-2000:]}"
            )

    def wait_for_output(self, pattern: str) -> None:
        """Wait until what it printed matches.

        Raises:
            AssertionError: it ended, or did not within 40 s.
        """
        with self._said:
            self._said.wait_for(
                lambda: self._ended or re.search(pattern, self._output) is not None,
                _PATIENCE_SECONDS,
            )
            assert re.search(pattern, self._output), f"no {pattern!r} in:\n{self._output[-2000:]}"

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._said:
                self._output += line
                if number := re.search(r"\bdata\W+(\d+)", line):
                    self.numbers.append(int(number[1]))
                self._said.notify_all()
        with self._said:
            self._ended = True
            self._said.notify_all()


def documented_client(
    document: str,
    name: str,
    url: str,
    directory: Path,
    node: Path,
    packages: Path,
    *,
    epilogue: str = "",
    replaced: Mapping[str, str] | None = None,
) -> DocumentedClient:
    """Run a block of a document against a server.

    Args:
        document: its path in the tree.
        name: the block's file name; one in JavaScript may import `./socket.mjs`.
        url: http://127.0.0.1:PORT, in the place of the document's address.
        directory: an own one, to be made.
        node: runs JavaScript.
        packages: has the clients in its node_modules.
        epilogue: a test's own code, after the block's.
        replaced: further texts and what stands in their place.
    """
    places = {
        "https://HOST": url,
        "wss://HOST": "ws" + url.removeprefix("http"),
        "ws://127.0.0.1:8000": "ws" + url.removeprefix("http"),
        **(replaced or {}),
    }
    directory.mkdir()

    def write(block: str, after: str = "") -> None:
        text = code_block(document, block)
        for old, new in places.items():
            text = text.replace(old, new)
        (directory / block).write_text(text + after, encoding="utf-8")

    write(name, epilogue)
    if name.endswith(".py"):
        (directory / "shims.py").write_text(_PYTHON_SHIMS, encoding="utf-8")
        return DocumentedClient([sys.executable, "-u", "shims.py"], directory)
    (directory / "node_modules").symlink_to(packages / "node_modules")
    (directory / "shims.mjs").write_text(_NODE_SHIMS, encoding="utf-8")
    if "./socket.mjs" in (directory / name).read_text(encoding="utf-8"):
        write("socket.mjs")
    return DocumentedClient([node, "--import", "./shims.mjs", name], directory)
