"""The commands of README.md and docs/, run by a shell as they stand.

The documents: README, AUTHENTICATION, CHAT, POLL, QUIZ, GRAPHQL, JAVASCRIPT, LIVE_SHOW, CONSOLE,
OPERATIONS, SECURITY, UPGRADING. Only the server's address and the static server's port are others.
"""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx
import pytest

from tests.documents.blocks import all_blocks, block
from tests.node import required_program

SECRET: Final = "a secret of more than thirty-two bytes"
READY: Final = re.compile(r"widgetwire is ready on http://127\.0\.0\.1:\d+")
_TIMEOUT_SECONDS: Final = 60

Shell = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def shell(tmp_path: Path, database_url: str) -> Shell:
    """Start a script in a directory that has `widgetwire` on its path."""
    required_program("curl")
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "widgetwire").write_text(f'#!/bin/sh\nexec {sys.executable} -m app "$@"\n')
    (programs / "widgetwire").chmod(0o755)
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith("WIDGETWIRE_")
    }

    def start(script: str, url: str = "", **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", script.replace("http://127.0.0.1:8000", url)],
            cwd=tmp_path,
            env=inherited
            | {
                "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
                "PYTHONPATH": str(Path(__file__).parents[2]),
                "PYTHONUNBUFFERED": "1",
                "WIDGETWIRE_DATABASE_URL": database_url,
                "WIDGETWIRE_JWT_SECRET": SECRET,
                "WIDGETWIRE_PORT": "0",
            }
            | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    return start


def ended(process: subprocess.Popen[str]) -> str:
    """Wait for a script that must succeed, and return what it printed."""
    said, _ = process.communicate(timeout=_TIMEOUT_SECONDS)
    assert process.returncode == 0, said
    return said


def line_of(process: subprocess.Popen[str], pattern: re.Pattern[str]) -> str:
    """Return the first line that matches, while the script runs on."""
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if pattern.search(line):
            return line
    raise AssertionError(f"it ended without {pattern.pattern!r}:\n{said}")


def end(process: subprocess.Popen[str]) -> None:
    """Stop a script that runs on, as Ctrl+C does."""
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=_TIMEOUT_SECONDS)


@contextmanager
def running(process: subprocess.Popen[str]) -> Iterator[str]:
    """Yield the address that a server prints, and stop it."""
    try:
        yield line_of(process, READY).split()[-1]
    finally:
        end(process)


def lines(*names: str) -> list[str]:
    """Return each command of the blocks of these names, once."""
    blocks = [one.text for one in all_blocks() if one.language == "sh" and one.name in names]
    return sorted({line for text in blocks for line in text.splitlines()})


def test_the_servers_commands_are_these() -> None:
    """Each is run below; the same command in several documents is one."""
    assert lines("serve", "pages") == sorted([ALLOWING, PAGES, READING, SERVING])


SERVING: Final = "widgetwire serve"
ALLOWING: Final = "WIDGETWIRE_ALLOWED_ORIGINS=http://localhost:3000 widgetwire serve"
READING: Final = "WIDGETWIRE_ANONYMOUS=read widgetwire serve"
PAGES: Final = "python3 -m http.server 3000"


def test_pages_are_served_to_a_server_that_a_new_version_replaces(shell: Shell) -> None:
    """CHAT, POLL, QUIZ, JAVASCRIPT: serve, pages. UPGRADING: takeover."""
    pages = shell(PAGES.replace("3000", "--bind 127.0.0.1 0"))
    try:
        line_of(pages, re.compile("Serving HTTP on"))
    finally:
        end(pages)
    old = shell(ALLOWING)
    url = line_of(old, READY).split()[-1]
    answer = httpx.get(f"{url}/healthz/live", headers={"origin": "http://localhost:3000"})
    assert answer.headers["access-control-allow-origin"] == "http://localhost:3000"
    command = block("docs/UPGRADING.md", "takeover").replace("/opt/widgetwire-new/bin/", "")
    with running(shell(command, WIDGETWIRE_PORT=url.rpartition(":")[2])) as same:
        assert same == url
        ended(old)


def _take_the_first_steps(shell: Shell, url: str) -> None:
    # Each is sent the newest messages too, should one be published before it listens.
    listening = {
        pattern: shell(block(path, name).replace(channel, f"{channel}, last: 9"), url)
        for path, name, channel, pattern in (
            ("README.md", "subscribe", 'widgetId: "quiz"', "Eve"),
            ("docs/GRAPHQL.md", "stream", 'widgetId: "poll"', '"answer":"B"'),
        )
    }
    published = ended(shell(block("README.md", "publish"), url)).splitlines()
    data = [json.loads(line)["data"]["publish"]["data"] for line in published]
    assert [one["player"] for one in data] == ["Ada", "Bob", "Eve"]
    ended(shell(block("docs/GRAPHQL.md", "publish"), url))
    for pattern, process in listening.items():
        line_of(process, re.compile(pattern))
        end(process)
    found = json.loads(ended(shell(block("README.md", "search"), url)))["data"]
    assert [one["data"]["player"] for one in found["best"]["messages"]] == ["Eve", "Ada"]
    counts = {group["key"]: group["count"] for group in found["liked"]["groups"]}
    assert counts == {True: 2, False: 1}


def test_the_first_steps_and_the_operators_commands(shell: Shell, tmp_path: Path) -> None:
    """README: subscribe, publish, search. GRAPHQL: publish, stream.

    OPERATIONS: serve, move, indexes, backup. SECURITY: erase.
    """
    with running(shell(SERVING)) as url:
        _take_the_first_steps(shell, url)
        ended(shell(block("docs/OPERATIONS.md", "move")))
        assert len((tmp_path / "show.jsonl").read_text().splitlines()) == 4
        assert len((tmp_path / "show.csv").read_text().splitlines()) == 5
        assert "data.user" in ended(shell(block("docs/OPERATIONS.md", "indexes")))
        ended(shell(block("docs/SECURITY.md", "erase")))
    counted = ended(shell(block("docs/OPERATIONS.md", "backup")))
    assert re.search(r"^ +12$", counted, re.MULTILINE), counted


def test_tokens(shell: Shell) -> None:
    """AUTHENTICATION: secret, serve, token, viewer. LIVE_SHOW, CONSOLE: token."""
    document = "docs/AUTHENTICATION.md"
    secret = ended(shell(block(document, "secret") + 'echo "$WIDGETWIRE_JWT_SECRET"')).strip()
    assert len(secret) >= 32
    with running(shell(READING, WIDGETWIRE_JWT_SECRET=secret)) as url:
        answer = ended(shell(block(document, "viewer"), url, WIDGETWIRE_JWT_SECRET=secret))
    viewer = json.loads(answer)["data"]["viewer"]
    assert (viewer["sub"], viewer["username"], viewer["projects"]) == ("42", "Ada", ["demo"])
    assert block("docs/CONSOLE.md", "token") == block("docs/LIVE_SHOW.md", "token")
    both = block(document, "token") + block("docs/LIVE_SHOW.md", "token")
    assert [line.count(".") for line in ended(shell(both)).splitlines()] == [2, 2]
