"""The clients of docs/GRAPHQL.md and docs/JAVASCRIPT.md, as the documents print them."""

import re
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.clients.documented import DocumentedClient, documented_client
from tests.clients.publisher import Publisher, wait_for_connections
from tests.link import Link
from tests.served import Served

RECIPES = [
    ("docs/GRAPHQL.md", "messages.mjs"),
    ("docs/GRAPHQL.md", "apollo.mjs"),
    ("docs/GRAPHQL.md", "urql.mjs"),
    ("docs/GRAPHQL.md", "relay.mjs"),
    ("docs/GRAPHQL.md", "messages.py"),
    ("docs/JAVASCRIPT.md", "listen.mjs"),
]

EPILOGUES = {
    "relay.mjs": Path(__file__).with_name("relay-subscription.mjs").read_text(encoding="utf-8")
}


@pytest.fixture
def run(
    node_path: Path, client_packages: Path, tmp_path: Path
) -> Iterator[Callable[..., DocumentedClient]]:
    """Start the code of a document."""
    running: list[DocumentedClient] = []

    def start(
        document: str,
        name: str,
        url: str,
        epilogue: str | None = None,
        replaced: Mapping[str, str] | None = None,
    ) -> DocumentedClient:
        client = documented_client(
            document,
            name,
            url,
            tmp_path / f"{len(running)}-{name}",
            node_path,
            client_packages,
            epilogue=EPILOGUES.get(name, "") if epilogue is None else epilogue,
            replaced=replaced,
        )
        running.append(client)
        return client

    yield start
    for client in running:
        client.close()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def _expect_each_once(clients: dict[str, DocumentedClient], published: int) -> None:
    for name, client in clients.items():
        client.wait_for_number(published - 1)
        assert client.numbers == list(range(published)), f"{name}:\n{client.output[-2000:]}"


def test_each_client_starts_before_the_server_and_survives_its_restarts(
    serve: Callable[..., Served], run: Callable[..., DocumentedClient]
) -> None:
    """The documented set-ups died at the first restart of 5 s: a refused connection was final.

    They come back after an orderly end and after a SIGKILL, and print each message once.
    """
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    clients = {name: run(document, name, url) for document, name in RECIPES}
    counting = run("docs/GRAPHQL.md", "count.mjs", url)
    served = serve("--port", str(port))
    wait_for_connections(url, poll=len(RECIPES), quiz=0)
    counting.wait_for_output(rf"(?m)^{len(RECIPES)}$")
    counted = counting.output
    publisher = Publisher(url)
    for client in clients.values():
        client.wait_for_number(10)
    served.terminate()
    assert served.wait() == 0
    # Not for luck: this long, clients find nobody there.
    time.sleep(5)
    served = serve("--port", str(port))
    back = publisher.published + 10
    for client in clients.values():
        client.wait_for_number(back)
    counting.wait_for_output(re.escape(counted) + rf"(\d\n)*{len(RECIPES)}\n")
    served.kill()
    serve("--port", str(port))
    back = publisher.published + 10
    for client in clients.values():
        client.wait_for_number(back)
    _expect_each_once(clients, publisher.stop())


def test_each_client_survives_a_cut_in_the_middle_of_a_burst(
    serve: Callable[..., Served], run: Callable[..., DocumentedClient]
) -> None:
    """Apollo lost 10 to 12 messages over each reconnection, without a word.

    The connection breaks inside a frame. Before, while there is no server, they knock in vain.
    """
    links = {name: Link() for _, name in RECIPES}
    try:
        clients = {
            name: run(document, name, f"http://127.0.0.1:{links[name].port}")
            for document, name in RECIPES
        }
        for link in links.values():
            assert link.refused.wait(30)
        served = serve()
        for link in links.values():
            link.leads_to = int(served.url.rpartition(":")[2])
        wait_for_connections(served.url, poll=len(RECIPES), quiz=0)
        publisher = Publisher(served.url)
        for several in (1_000, 5_003):
            reached = publisher.published + 10
            for client in clients.values():
                client.wait_for_number(reached)
            for link in links.values():
                link.break_off_after(several)
            for link in links.values():
                assert link.broken_off.wait(30)
        reached = publisher.published + 10
        for client in clients.values():
            client.wait_for_number(reached)
        _expect_each_once(clients, publisher.stop())
    finally:
        for link in links.values():
            link.close()


def test_a_connection_that_dies_silently_is_noticed(
    serve: Callable[..., Served], run: Callable[..., DocumentedClient]
) -> None:
    """A laptop that changes its network: nothing is closed, and nothing comes any more."""
    served = serve()
    with Link() as link:
        link.leads_to = int(served.url.rpartition(":")[2])
        client = run(
            "docs/GRAPHQL.md",
            "messages.mjs",
            f"http://127.0.0.1:{link.port}",
            replaced={"10_000": "500", "5_000": "250"},
        )
        wait_for_connections(served.url, poll=1, quiz=0)
        publisher = Publisher(served.url)
        client.wait_for_number(10)
        link.fall_silent()
        client.wait_for_number(publisher.published + 10)
        _expect_each_once({"messages.mjs": client}, publisher.stop())


TWO_COMPONENTS = """
const channel = 'projectId: "demo", widgetId: "poll"';
let answers = 0;
const component = (fields) => {
  const seen = [];
  client.watchQuery({ query: gql(`{ ${fields} }`) }).subscribe(({ data, dataState }) => {
    if (dataState === "complete") seen.push(data);
  });
  return seen;
};
const until = async (holds) => {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 20));
};
const asked = globalThis.fetch;
globalThis.fetch = (place, request) => {
  // The package asks once for a signed client id.
  if (!request.body.includes("query Viewer")) answers += 1;
  return asked(place, request);
};

const total = component(`messages(${channel}) { totalCount }`);
await until(() => total.length);
const list = component(`messages(${channel}) { messages { id data } }`);
await until(() => list.length);
const count = component(`connectionCount(${channel}) { projectId widgetId count }`);
await until(() => count.length);
const cache = client.cache.extract();
console.log("fields", Object.keys(cache.ROOT_QUERY[Object.keys(cache.ROOT_QUERY)
  .find((key) => key.startsWith("messages("))]).sort().join(" "));
console.log("requests", answers);

const COUNT = gql(`subscription { connectionCount(${channel}) { projectId widgetId count } }`);
client.subscribe({ query: COUNT }).subscribe(() => {});
const other = client.subscribe({ query: MESSAGES, variables: { last: 0 } }).subscribe(() => {});
await until(() => count.at(-1).connectionCount.count >= 1);
console.log("requests after", answers);
"""


def test_two_apollo_components_keep_each_others_fields(
    serve: Callable[..., Served], run: Callable[..., DocumentedClient]
) -> None:
    """With equal arguments each took the other's fields out of the cache and asked again.

    A subscription to the count updates the query of the count.
    """
    client = run("docs/GRAPHQL.md", "apollo.mjs", serve().url, epilogue=TWO_COMPONENTS)
    client.wait_for_output(r"fields __typename messages totalCount\n")
    client.wait_for_output(r"requests 3\n")
    client.wait_for_output(r"requests after 3\n")


def test_what_the_javascript_document_does(
    shared_service: Served, run: Callable[..., DocumentedClient]
) -> None:
    looping = run("docs/JAVASCRIPT.md", "loop.mjs", shared_service.url)
    publishing = run("docs/JAVASCRIPT.md", "publish.mjs", shared_service.url)
    asking = run("docs/JAVASCRIPT.md", "token.mjs", shared_service.url)
    for said in ("online\n", "Harbour: 1\n", "votes: 1\n", "PAYLOAD_TOO_LARGE undefined\n"):
        publishing.wait_for_output(said)
    asking.wait_for_output("clientId: 'signed-")
    publisher = Publisher(shared_service.url)
    looping.wait_for_number(3)
    publisher.stop()
