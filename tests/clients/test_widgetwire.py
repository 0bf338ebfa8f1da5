"""The npm package of clients/js against a real server."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.clients.script import Script
from tests.link import Link
from tests.served import Served

SECRET = "a secret of more than thirty-two bytes"


@pytest.fixture
def run(node_path: Path, client_packages: Path, tmp_path: Path) -> Iterator[Callable[..., Script]]:
    """Start a script of this directory."""
    running: list[Script] = []

    def start(name: str, url: str) -> Script:
        directory = tmp_path / name
        directory.mkdir()
        running.append(Script(name, url, node_path, client_packages, directory))
        return running[-1]

    yield start
    for script in running:
        script.close()


def _port(served: Served) -> int:
    return int(served.url.rpartition(":")[2])


def test_what_is_published_offline_or_through_cuts_comes_once_in_order(
    serve: Callable[..., Served], run: Callable[..., Script]
) -> None:
    """The connection breaks inside a frame; then the server is killed, and another takes over."""
    first, second = serve(wait=False), serve(wait=False)
    for served in (first, second):
        served.wait_until_ready()
    with Link() as link:
        script = run("widgetwire-offline", f"http://127.0.0.1:{link.port}")
        script.wait_for("QUEUED")
        assert link.refused.wait(30)
        link.leads_to = _port(first)
        script.wait_for("ONLINE")
        link.break_off_after(5_003)
        assert link.broken_off.wait(30)
        script.wait_for("RESTART")
        link.leads_to = _port(second)
        first.kill()
        script.wait_for("DONE")
        script.finish()


def test_votes_results_counts_and_retractions(
    shared_service: Served, run: Callable[..., Script]
) -> None:
    script = run("widgetwire-room", shared_service.url)
    script.wait_for("DONE")
    script.finish()


def test_tokens_are_replaced_before_they_end_and_bad_ones_refused(
    serve: Callable[..., Served], run: Callable[..., Script]
) -> None:
    script = run("widgetwire-tokens", serve(WIDGETWIRE_JWT_SECRET=SECRET).url)
    script.wait_for("DONE")
    script.finish()
