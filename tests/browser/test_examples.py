"""The examples of clients/js and its React hooks in a real browser, on an origin of their own."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from app.embedded.postgres import EmbeddedPostgres
from tests.browser.examples import Example, free_ports
from tests.browser.pages import Cable, Visitor
from tests.clients.documented import code_block
from tests.conftest import served_clone
from tests.served import Served

Visit = Callable[..., Visitor]
Start = Callable[..., Example]


@pytest.fixture(scope="module")
def ports() -> list[int]:
    """Where the examples are served, one each: the end of one frees its port a moment later."""
    return free_ports(4)


@pytest.fixture(scope="module")
def shared_service(
    ports: list[int], postgres: EmbeddedPostgres, template_database: str
) -> Iterator[Served]:
    """One that lets the examples in."""
    allowed = {"WIDGETWIRE_ALLOWED_ORIGINS": ",".join(f"http://localhost:{port}" for port in ports)}
    yield from served_clone(postgres, template_database, allowed)


@pytest.fixture
def start(
    node_path: Path, js_package: Path, ports: list[int], shared_service: Served
) -> Iterator[Start]:
    """Serve an example by its name."""
    running: list[Example] = []

    def serve(name: str) -> Example:
        running.append(Example(node_path, js_package, name, ports.pop(), shared_service.url))
        return running[-1]

    yield serve
    for example in running:
        example.close()


def _visitor(visit: Visit, example: Example, served: Served) -> Visitor:
    return visit(example.url, server=served.url)


def _open(visitor: Visitor, example: Example) -> Page:
    page = visitor.context.new_page()
    page.goto(example.url)
    return page


def _say(page: Page, text: str) -> None:
    page.get_by_label("Message").fill(text)
    page.get_by_label("Message").press("Enter")


def test_the_chat_shows_what_another_window_says_and_takes_back(
    start: Start, shared_service: Served, visit: Visit
) -> None:
    example = start("react-chat")
    ada, bob = (_visitor(visit, example, shared_service) for _ in range(2))
    here = _open(ada, example)
    expect(here.get_by_role("status")).to_have_text("1 here")
    cable = Cable(bob)
    there = _open(bob, example)
    expect(here.get_by_role("status")).to_have_text("2 here")
    _say(here, "Hello")
    expect(there.get_by_text("Hello")).to_be_visible()

    # What is said without a connection is sent when it is back.
    cable.pull()
    expect(there.get_by_role("status")).not_to_contain_text("here")
    _say(there, "From afar")
    expect(there.get_by_role("status")).to_contain_text("1 waiting to be sent")
    _say(here, "Meanwhile")
    cable.put_back(there)
    for page in (here, there):
        expect(page.locator("li span")).to_have_text(["Hello", "Meanwhile", "From afar"])

    here.get_by_role("button", name="Delete").nth(2).click()
    expect(here.get_by_role("alert")).to_contain_text("retract")
    here.get_by_role("button", name="Delete").nth(0).click()
    for page in (here, there):
        expect(page.locator("li span")).to_have_text(["Meanwhile", "From afar"])
    ada.expect_calm()


def test_the_poll_counts_one_vote_a_visitor(
    start: Start, shared_service: Served, visit: Visit
) -> None:
    example = start("poll-vanilla")
    ada, bob = (_visitor(visit, example, shared_service) for _ in range(2))
    here, there = _open(ada, example), _open(bob, example)
    there.get_by_role("button", name="Forest").click()
    here.get_by_role("button", name="Forest").click()
    expect(here.get_by_role("button", name="Forest")).to_have_text("Forest2")
    here.get_by_role("button", name="Harbour").click()
    for page in (here, there):
        expect(page.get_by_role("button")).to_have_text(["Forest1", "Harbour1", "Mountain0"])
    # The same visitor comes again.
    again = _open(ada, example)
    again.get_by_role("button", name="Mountain").click()
    expect(there.get_by_role("button")).to_have_text(["Forest1", "Harbour0", "Mountain1"])
    ada.expect_calm()
    bob.expect_calm()


def test_the_hooks_share_subscriptions_and_leave_nothing_open(
    start: Start, js_package: Path, shared_service: Served, visit: Visit
) -> None:
    """React's StrictMode mounts each component twice."""
    place = js_package / "examples" / "hooks"
    shutil.copytree(js_package / "examples" / "react-chat", place, dirs_exist_ok=True)
    shutil.copy(Path(__file__).with_name("hooks.jsx"), place / "main.jsx")
    example = start("hooks")
    visitor = _visitor(visit, example, shared_service)
    cable = Cable(visitor)
    page = _open(visitor, example)
    expect(page.locator("#count")).to_have_text("1")
    expect(page.locator("#first")).to_have_text("")
    assert 'id="first">loading<' in page.evaluate("onServer")
    assert 'id="status">idle<' in page.evaluate("onServer")
    assert page.evaluate("socketsOnServer") == 0
    # Two lists, one subscription; a result; a count.
    assert page.evaluate("[wire.sockets, wire.opened, wire.open.size]") == [1, 3, 3]

    page.evaluate("(async () => { for (let n = 0; n < 7; n++) await publish({n, kind: 'a'}) })()")
    for name in ("#first", "#second"):
        expect(page.locator(name)).to_have_text("2 3 4 5 6")
    expect(page.locator("#live")).to_have_text("a 7")

    # One that comes later sees at once what the others see; one that goes takes nothing along.
    page.evaluate("setShown(['first', 'third'])")
    expect(page.locator("#third")).to_have_text("2 3 4 5 6")
    assert page.evaluate("wire.opened") == 3

    cable.pull()
    expect(page.locator("#status")).to_have_text("offline")
    page.evaluate("void publish({n: 7, kind: 'b'})")
    cable.put_back(page)
    expect(page.locator("#first")).to_have_text("3 4 5 6 7")
    expect(page.locator("#live")).to_have_text("a 7, b 1")

    page.evaluate("setShown([])")
    page.wait_for_function("wire.open.size === 0")
    page.wait_for_function("client.status.state === 'idle'")
    visitor.expect_calm()


def test_the_component_that_the_document_shows(
    start: Start, js_package: Path, shared_service: Served, visit: Visit
) -> None:
    place = js_package / "examples" / "documented"
    shutil.copytree(js_package / "examples" / "react-chat", place, dirs_exist_ok=True)
    block = code_block("docs/JAVASCRIPT.md", "chat.jsx")
    (place / "chat.jsx").write_text(block, encoding="utf-8")
    example = start("documented")
    visitor = _visitor(visit, example, shared_service)
    page = _open(visitor, example)
    expect(page.get_by_role("status")).to_have_text("1 here")
    _say(page, "As documented")
    expect(page.get_by_text("As documented")).to_be_visible()
    visitor.expect_calm()
