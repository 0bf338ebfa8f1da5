"""The GraphQL clients that web developers use, against a real server."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.clients.script import Script
from tests.served import Served


@pytest.fixture
def run(node_path: Path, npm_packages: Path, tmp_path: Path) -> Iterator[Callable[..., Script]]:
    """Start a script of this directory."""
    running: list[Script] = []

    def start(name: str, url: str) -> Script:
        directory = tmp_path / name
        directory.mkdir()
        script = Script(name, url, node_path, npm_packages, directory)
        running.append(script)
        return script

    yield start
    for script in running:
        script.close()


@pytest.mark.parametrize("client", ["apollo", "urql"])
def test_a_client_publishes_searches_and_subscribes(
    client: str, shared_service: Served, run: Callable[..., Script]
) -> None:
    script = run(client, shared_service.url)
    script.wait_for("DONE")
    script.finish()


def test_clients_send_the_id_of_a_document_in_place_of_its_text(
    shared_service: Served, run: Callable[..., Script]
) -> None:
    script = run("known-documents", shared_service.url)
    script.wait_for("DONE")
    script.finish()


@pytest.mark.parametrize("end", ["terminate", "kill"])
def test_each_client_comes_back_after_a_restart(
    end: str, serve: Callable[..., Served], run: Callable[..., Script]
) -> None:
    served = serve()
    clients = ["graphql-ws", "graphql-sse", "subscriptions-transport-ws"]
    scripts = [run(client, served.url) for client in clients]
    for script in scripts:
        script.wait_for("RESTART")
    if end == "kill":
        served.kill()
    else:
        served.terminate()
        assert served.wait() == 0
    serve("--port", served.url.rpartition(":")[2])
    for script in scripts:
        script.wait_for("DONE")
        script.finish()


def test_the_server_follows_graphql_over_http(
    shared_service: Served, run: Callable[..., Script]
) -> None:
    script = run("audits", shared_service.url)
    passed = script.wait_for(r"PASSED (\d+) OF (\d+)")
    script.finish()
    assert passed.groups() == ("61", "61")
