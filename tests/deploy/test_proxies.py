"""The files of `deploy/` in a real nginx and Caddy, in front of a real service."""

import datetime
import ipaddress
import json
import ssl
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urldefrag

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from playwright.sync_api import Page, expect
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from app.transports.pages.graphiql import graphiql_is_built
from tests.browser.pages import Visitor, chromium
from tests.deploy.proxies import Proxy, caddy, nginx
from tests.node import required_program
from tests.served import Served

VARIANTS = [
    ("nginx.conf", ""),
    ("nginx-tls.conf", ""),
    ("nginx-prefix.conf", "/widgetwire"),
    ("Caddyfile", ""),
    ("Caddyfile-prefix", "/widgetwire"),
]

PUBLISH = """
    mutation { publish(projectId: "demo", widgetId: "poll", data: {answer: "B"}) { data } }
"""
SUBSCRIBE = 'subscription { messages(projectId: "demo", widgetId: "poll", last: 1) { data } }'


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a certificate for 127.0.0.1 that nobody but these tests trusts."""
    directory = tmp_path_factory.mktemp("certificates")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (directory / "fullchain.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (directory / "privkey.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return directory


@pytest.fixture
def trust(certificates: Path) -> ssl.SSLContext:
    """What a client of the TLS variant needs."""
    return ssl.create_default_context(cafile=str(certificates / "fullchain.pem"))


@pytest.fixture
def place(certificates: Path, tmp_path: Path) -> Path:
    """A folder for a proxy, with a certificate."""
    for pem in certificates.iterdir():
        (tmp_path / pem.name).write_bytes(pem.read_bytes())
    return tmp_path


@pytest.fixture
def proxied(shared_service: Served, place: Path) -> Callable[[str], Proxy]:
    """Return what runs the proxy of a file of `deploy/` in front of the service."""

    def start(name: str) -> Proxy:
        port = int(shared_service.url.rpartition(":")[2])
        if name.startswith("Caddy"):
            return caddy(required_program("caddy"), name, port, place)
        return nginx(_nginx(), name, port, place)[0]

    return start


def _nginx() -> Path:
    # A user's PATH may lack the folder where Debian has it.
    return required_program("nginx", "/usr/sbin/nginx")


@pytest.mark.parametrize(("name", "prefix"), VARIANTS)
def test_every_transport_goes_through(
    name: str,
    prefix: str,
    proxied: Callable[[str], Proxy],
    trust: ssl.SSLContext,
) -> None:
    """The example answered each WebSocket of a page with 403 on any port but 443.

    It passed on `$host`, which has no port, so that no page was of the service's own origin.
    """
    with proxied(name) as proxy, httpx.Client(base_url=proxy.url, verify=trust) as client:
        page_origin = Origin(proxy.url)

        def opened(path: str, origin: Origin, protocol: str | None) -> ClientConnection:
            return connect(
                "ws" + f"{proxy.url}{prefix}{path}".removeprefix("http"),
                origin=origin,
                subprotocols=[Subprotocol(protocol)] if protocol else None,
                ssl=trust if proxy.url.startswith("https") else None,
                proxy=None,
            )

        def publish() -> httpx.Response:
            return client.post(f"{prefix}/graphql", json={"query": PUBLISH})

        assert publish().json()["data"]["publish"] == {"data": {"answer": "B"}}
        assert client.get(f"{prefix}/healthz/ready").status_code == 200
        for path in ("/metrics", "/%6detrics", "//metrics", "/metrics?a=b", "/docs/../metrics"):
            assert client.get(f"{proxy.url}{prefix}{path}").status_code == 404
        # A stream is passed on as it comes: the next publish waits for the first event.
        accept = {"accept": "text/event-stream"}
        path = f"{prefix}/graphql"
        with client.stream("GET", path, params={"query": SUBSCRIBE}, headers=accept) as stream:
            events = (line for line in stream.iter_lines() if line.startswith("data: {"))
            for _ in range(2):
                assert json.loads(next(events)[6:])["data"]["messages"]["data"] == {"answer": "B"}
                publish()

        with opened("/graphql", page_origin, "graphql-transport-ws") as socket:
            socket.send(json.dumps({"type": "connection_init"}))
            assert json.loads(socket.recv(10))["type"] == "connection_ack"
            subscribe = {"id": "1", "type": "subscribe", "payload": {"query": SUBSCRIBE}}
            socket.send(json.dumps(subscribe))
            assert json.loads(socket.recv(10))["type"] == "next"
            publish()
            assert json.loads(socket.recv(10))["type"] == "next"

        with opened("/c8/demo/poll", page_origin, None) as socket:
            socket.send(json.dumps({"type": "open"}))
            assert json.loads(socket.recv(10))["type"] == "open"

        stranger = Origin("https://stranger.example")
        with pytest.raises(InvalidStatus, match="403"):
            opened("/graphql", stranger, "graphql-transport-ws")
        # Larger than a request may be: the service's own answer comes through.
        too_long = client.post(f"{prefix}/graphql", content=b" " * 1_100_000)
        assert too_long.status_code in {413, 415}
        assert too_long.json()["errors"]


@pytest.mark.parametrize(("name", "prefix"), [VARIANTS[0], VARIANTS[2], VARIANTS[4]])
def test_the_pages_work_and_none_leaves_its_prefix(
    name: str,
    prefix: str,
    proxied: Callable[[str], Proxy],
    chromium_path: Path,
) -> None:
    """Under a path prefix each link of the documents led to another server's pages."""
    with proxied(name) as proxy, chromium(chromium_path) as browser:
        # Whatever is asked for outside the prefix is refused, and remembered.
        home = f"{proxy.url}{prefix}"
        visitor = Visitor(browser, home, ignore_https_errors=True)
        answered: list[tuple[int, str]] = []
        visitor.context.on(
            "response", lambda response: answered.append((response.status, response.url))
        )
        page = visitor.context.new_page()

        page.goto(f"{home}/")
        expect(page.locator("#count")).to_have_text("1")
        page.get_by_label("Message", exact=True).fill("Through the proxy")
        page.get_by_label("Message", exact=True).press("Enter")
        expect(page.get_by_role("log")).to_contain_text("Through the proxy")
        links = _links(page)

        for path in ("docs", "docs/README.md", "docs/decisions", "docs/ARCHITECTURE.md"):
            page.goto(f"{home}/{path}")
            expect(page.locator("main h1")).to_be_visible()
            links |= _links(page)

        page.goto(f"{home}/admin/")
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        links |= _links(page)

        # Its requests and its socket go the same way under every variant, and it loads slowly.
        if prefix and graphiql_is_built():
            page.goto(f"{home}/graphql")
            editor = page.locator(".graphiql-query-editor")
            expect(editor.locator(".view-line").first).to_be_visible(timeout=30_000)
            page.get_by_role("tab", name="Connected", exact=True).click()
            expect(editor.locator(".view-lines")).to_contain_text("Connected")
            page.get_by_role("button", name="Execute query").click()
            expect(page.locator(".graphiql-response")).to_contain_text('"count": 0')
            links |= _links(page)

        here = {link for link in links if link.startswith(f"{proxy.url}/")}
        assert len(here) > 15
        for link in here:
            assert link.startswith(f"{home}/")
            accept = {"accept": "text/html"}
            assert visitor.context.request.get(link, headers=accept).status == 200, link
        assert [answer for answer in answered if answer[0] >= 400] == []
        visitor.expect_calm()


def _links(page: Page) -> set[str]:
    found = page.locator("a[href]").evaluate_all("links => links.map(({ href }) => href)")
    return {urldefrag(str(link)).url for link in found}


def test_plain_http_is_sent_to_tls(shared_service: Served, place: Path) -> None:
    """The method and the path stay."""
    port = int(shared_service.url.rpartition(":")[2])
    proxy, redirecting_port = nginx(_nginx(), "nginx-tls.conf", port, place)
    with proxy:
        answer = httpx.get(f"http://127.0.0.1:{redirecting_port}/docs/?a=b")
        assert answer.status_code == 308
        assert answer.headers["location"] == "https://127.0.0.1/docs/?a=b"


@pytest.mark.parametrize("name", ["nginx-prefix.conf", "Caddyfile-prefix"])
def test_the_prefix_without_its_slash_leads_there(
    name: str, proxied: Callable[[str], Proxy], trust: ssl.SSLContext
) -> None:
    """On the port that was asked, too."""
    with proxied(name) as proxy:
        answer = httpx.get(f"{proxy.url}/widgetwire", verify=trust)
        assert answer.headers["location"] == "/widgetwire/"
