"""The legacy widgets of README.md and MIGRATING.md, in a page as they stand."""

import itertools
from collections.abc import Callable
from functools import partial

import jwt
from playwright.sync_api import Page, Route

from tests.browser.pages import Visitor
from tests.documents.blocks import block
from tests.served import Served

SECRET = "a secret of more than thirty-two bytes"
_numbers = itertools.count(1)


def _answer(body: str, route: Route) -> None:
    route.fulfill(body=body, content_type="text/html")


def _open(visitor: Visitor, served: Served, markup: str, token: str = "") -> Page:
    page = visitor.context.new_page()
    address = f"{served.url}/documented-{next(_numbers)}"
    page.route(address, partial(_answer, markup))
    page.route(f"{served.url}/widget-token", partial(_answer, token))
    page.goto(address)
    return page


def test_the_widget_of_the_readme(shared_service: Served, visit: Callable[..., Visitor]) -> None:
    """`legacy.html`: it hears what it publishes, and finds it."""
    visitor = visit(shared_service.url)
    said: list[str] = []
    visitor.context.on("console", lambda message: said.append(message.text))
    markup = block("README.md", "legacy.html").replace("http://127.0.0.1:8000", shared_service.url)
    page = _open(visitor, shared_service, markup)
    while not any("Zoe" in text for text in said):
        page.wait_for_event("console")
    visitor.expect_calm()


def test_the_widgets_of_the_guide(
    serve: Callable[..., Served], visit: Callable[..., Visitor]
) -> None:
    """MIGRATING: `script` and `vote`: one vote; `token-option`, `token-tag`: the name."""
    served = serve(WIDGETWIRE_JWT_SECRET=SECRET)
    token = jwt.encode({"sub": "7", "username": "Ada"}, SECRET, "HS256")
    markup = block("docs/MIGRATING.md", "script").replace("https://HOST", served.url)
    visitor = visit(served.url)
    page = _open(visitor, served, markup, token)
    page.add_script_tag(content=block("docs/MIGRATING.md", "vote"))
    page.evaluate("vote('left')")
    record = page.evaluate("vote('right')")
    assert record["data"] == {"choice": "right"}
    everything = "new Promise((success, error) => socket.search({ query: {}, success, error }))"
    assert page.evaluate(everything)["totalRecords"] == 1

    page.evaluate(f"own = {block('docs/MIGRATING.md', 'token-option')}")
    published = "own.publish(1).then((record) => record.username)"
    assert page.evaluate(published) == "Ada"
    tag = block("docs/MIGRATING.md", "token-tag").replace("https://HOST", served.url)
    page = _open(visitor, served, tag.replace("TOKEN", token))
    published = "new c8PlayerApi.webSocket().publish(1).then((record) => record.username)"
    assert page.evaluate(published) == "Ada"
    visitor.expect_calm()
