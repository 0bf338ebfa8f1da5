"""The pages of CHAT.md, POLL.md and QUIZ.md, pasted into files and opened by two visitors."""

import re
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from app.embedded.postgres import EmbeddedPostgres
from tests.browser.pages import Cable, Visitor
from tests.clients.documented import code_block
from tests.conftest import served_clone
from tests.served import Served

Visit = Callable[..., Visitor]


class _Quiet(SimpleHTTPRequestHandler):
    """What `python3 -m http.server` answers with, without its log."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, the name of the base
        """Say nothing."""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The origin of a static server, and its folder."""
    folder = tmp_path_factory.mktemp("pages")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://localhost:{server.server_port}", folder
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def shared_service(
    pages: tuple[str, Path], postgres: EmbeddedPostgres, template_database: str
) -> Iterator[Served]:
    """One that allows the pages' origin."""
    yield from served_clone(postgres, template_database, {"WIDGETWIRE_ALLOWED_ORIGINS": pages[0]})


@pytest.fixture
def opened(
    pages: tuple[str, Path], shared_service: Served, visit: Visit
) -> Callable[[str, Visitor | None], Page]:
    """Paste a document's page into a file, and open it as one more visitor."""
    origin, folder = pages

    def opens(name: str, visitor: Visitor | None = None) -> Page:
        text = code_block(f"docs/{name.upper()}.md", f"{name}.html")
        assert text.count('const server = "http://127.0.0.1:8000";') == 1
        (folder / f"{name}.html").write_text(
            text.replace("http://127.0.0.1:8000", shared_service.url), encoding="utf-8"
        )
        visitor = visitor or visit(origin, server=shared_service.url)
        page = visitor.context.new_page()
        page.goto(f"{origin}/{name}.html")
        return page

    return opens


def test_the_chat(
    opened: Callable[..., Page], pages: tuple[str, Path], shared_service: Served, visit: Visit
) -> None:
    visitor = visit(pages[0], server=shared_service.url)
    cable = Cable(visitor)
    ada, bob = opened("chat"), opened("chat", visitor)
    expect(ada.get_by_role("status")).to_have_text("2 here")

    def say(page: Page, name: str, text: str) -> None:
        page.get_by_label("Name").fill(name)
        page.get_by_label("Message", exact=True).fill(text)
        page.get_by_role("button", name="Send").click()

    say(ada, "Ada", "Hello <b>all</b>")
    expect(bob.get_by_role("listitem")).to_have_text(["Ada: Hello <b>all</b>"])
    expect(bob.get_by_role("button", name="Take back")).to_have_count(0)
    # Without a connection nothing is missed, and nothing comes twice.
    cable.pull()
    expect(bob.get_by_role("status")).to_have_text("Reconnecting")
    say(ada, "Ada", "A slip")
    expect(ada.get_by_role("listitem")).to_have_count(2)
    cable.put_back(bob)
    expect(bob.get_by_role("listitem")).to_have_text(["Ada: Hello <b>all</b>", "Ada: A slip"])
    ada.get_by_role("listitem").filter(has_text="A slip").get_by_role("button").click()
    expect(bob.get_by_role("listitem")).to_have_text(["Ada: Hello <b>all</b>"])
    # A client token of another server is given up.
    bob.evaluate("localStorage.clientToken = 'eyJhbGciOiJIUzI1NiJ9.e30.x'")
    bob.reload()
    expect(bob.get_by_role("listitem")).to_have_text(["Ada: Hello <b>all</b>"])
    say(bob, "Bob", "Hi")
    expect(ada.get_by_role("listitem").last).to_have_text("Bob: Hi")


def test_the_poll(opened: Callable[..., Page]) -> None:
    ada, bob = opened("poll"), opened("poll")
    for page in (ada, bob):
        expect(page.get_by_role("status")).to_contain_text("0 votes")
    ada.get_by_role("button", name="Forest").click()
    expect(bob.get_by_role("button", name="Forest")).to_contain_text("1")
    bob.get_by_role("button", name="Harbour").click()
    expect(ada.get_by_role("status")).to_contain_text("2 votes")
    ada.get_by_role("button", name="Harbour").click()
    expect(bob.get_by_role("button", name="Harbour")).to_contain_text("2")
    expect(bob.get_by_role("button", name="Forest")).to_contain_text("0")
    ada.reload()
    mine = ada.get_by_role("button", pressed=True)
    expect(mine).to_contain_text("Harbour")
    expect(ada.get_by_role("status")).to_contain_text("2 votes")


def test_the_quiz(opened: Callable[..., Page]) -> None:
    ada, bob = opened("quiz"), opened("quiz")

    def play(page: Page, name: str, answers: tuple[str, ...]) -> None:
        page.get_by_label("Name").fill(name)
        page.get_by_role("button", name="Start").click()
        for answer in answers:
            page.get_by_role("button", name=answer).click()
        expect(page.locator("section")).to_be_hidden()

    expect(ada.get_by_role("status")).to_have_text("Ready")
    expect(bob.get_by_role("status")).to_have_text("Ready")
    play(ada, "Ada", ("Santiago", "Kampala", "Bergen"))
    expect(ada.get_by_role("status")).to_contain_text("Wrong: you have")
    play(bob, "Bob", ("Santiago", "Nairobi", "Bergen"))
    for page in (ada, bob):
        rows = page.get_by_role("list", name="Leaderboard").get_by_role("listitem")
        expect(rows).to_have_text(
            [re.compile("Bob: 1...? points in"), re.compile("Ada: 9.. points in")]
        )
    # The first answer counts: playing again changes nothing. What is shown now may lack the last.
    bob.reload()
    rows = bob.get_by_role("list", name="Leaderboard").get_by_role("listitem")
    expect(rows).to_have_count(2)
    before = bob.get_by_role("list", name="Leaderboard").inner_text()
    ada.reload()
    expect(ada.get_by_role("status")).to_have_text("Ready")
    play(ada, "Ada", ("Santiago", "Nairobi", "Oslo"))
    assert bob.get_by_role("list", name="Leaderboard").inner_text() == before
