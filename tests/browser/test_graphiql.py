"""GraphiQL in a real browser that reaches nothing but the service."""

from collections.abc import Callable
from pathlib import Path

import jwt
from playwright.sync_api import Page, expect

from app.transports.pages.graphiql import graphiql_is_built
from tests.browser.pages import Visitor
from tests.node import missing
from tests.served import Served

SECRET = "a secret of thirty-two bytes, at least"


def _open(visitor: Visitor, served: Served, tab: str) -> Page:
    page = visitor.context.new_page()
    page.goto(f"{served.url}/graphql")
    expect(page.locator(".graphiql-query-editor .view-line").first).to_be_visible(timeout=30_000)
    page.get_by_role("tab", name=tab, exact=True).click()
    # Its editor, and the schema that it completes from, are in.
    expect(page.locator(".graphiql-query-editor .view-lines")).to_contain_text(tab)
    return page


def _run(page: Page) -> None:
    page.get_by_role("button", name="Execute query").click()


def test_a_subscription_in_one_tab_shows_what_another_publishes(
    shared_service: Served, visit: Callable[..., Visitor], tmp_path: Path
) -> None:
    """The examples run as they stand, sockets and workers included, with no other host there."""
    if not graphiql_is_built():
        missing("GraphiQL is not built: python build_graphiql.py")
    visitor = visit(shared_service.url, viewport={"width": 1280, "height": 800})

    counting = _open(visitor, shared_service, "Connected")
    _run(counting)
    expect(counting.locator(".graphiql-response")).to_contain_text('"count": 0')

    subscribed = _open(visitor, shared_service, "Messages")
    _run(subscribed)
    expect(subscribed.get_by_role("button", name="Stop query")).to_be_visible()
    # The subscription has begun when the service counts it.
    expect(counting.locator(".graphiql-response")).to_contain_text('"count": 1')

    publishing = _open(visitor, shared_service, "Publish")
    _run(publishing)
    expect(publishing.locator(".graphiql-response")).to_contain_text("Hello from GraphiQL")
    expect(subscribed.locator(".graphiql-response")).to_contain_text("Hello from GraphiQL")
    subscribed.screenshot(path=tmp_path / "graphiql.png")

    subscribed.get_by_role("button", name="Stop query").click()
    expect(counting.locator(".graphiql-response")).to_contain_text('"count": 0')
    visitor.expect_calm()


def test_every_example_is_answered_without_an_error(
    shared_service: Served, visit: Callable[..., Visitor]
) -> None:
    """A newcomer who clicks through the tabs sees data in each."""
    if not graphiql_is_built():
        missing("GraphiQL is not built: python build_graphiql.py")
    visitor = visit(shared_service.url)
    for tab in ("Publish", "Search", "Groups", "LiveMessages", "Connected"):
        page = _open(visitor, shared_service, tab)
        _run(page)
        response = page.locator(".graphiql-response")
        expect(response).to_contain_text('"data"')
        expect(response).not_to_contain_text('"errors"')
        page.close()
    visitor.expect_calm()


def test_a_token_in_the_headers_reaches_operations_and_subscriptions(
    serve: Callable[..., Served], visit: Callable[..., Visitor]
) -> None:
    """Without it nothing runs where anonymous viewers are refused; a bad one is said to be bad."""
    if not graphiql_is_built():
        missing("GraphiQL is not built: python build_graphiql.py")
    served = serve(WIDGETWIRE_JWT_SECRET="k" * 32, WIDGETWIRE_ANONYMOUS="allow")
    visitor = visit(served.url)
    page = _open(visitor, served, "Connected")
    page.locator(".graphiql-editor-tool .view-lines").last.click()
    page.keyboard.insert_text('{"Authorization": "Bearer not.a.token"}')
    _run(page)
    expect(page.locator(".graphiql-response")).to_contain_text("4401")
    assert visitor.elsewhere == []


def test_a_token_at_the_top_makes_all_tabs_its_user_s(
    serve: Callable[..., Served], visit: Callable[..., Visitor]
) -> None:
    """Operations and subscriptions alike; the page says who that is, and what is wrong with it."""
    if not graphiql_is_built():
        missing("GraphiQL is not built: python build_graphiql.py")
    served = serve(WIDGETWIRE_JWT_SECRET=SECRET, WIDGETWIRE_ANONYMOUS="deny")
    visitor = visit(served.url)
    page = _open(visitor, served, "Publish")
    said = page.locator(".as-user output")
    expect(said).to_have_text("anonymous")

    page.get_by_label("As user").fill("not.a.token")
    page.get_by_role("button", name="Use", exact=True).click()
    expect(said).to_contain_text("not a valid JSON Web Token")

    token = jwt.encode({"sub": "1", "username": "Zoé", "projects": ["demo"]}, SECRET)
    page.get_by_label("As user").fill(token)
    page.get_by_role("button", name="Use", exact=True).click()
    expect(said).to_have_text("Zoé: publish, subscribe, search in demo")
    _run(page)
    expect(page.locator(".graphiql-response")).to_contain_text('"username": "Zoé"')
    page.get_by_role("tab", name="Connected", exact=True).click()
    expect(page.locator(".graphiql-query-editor .view-lines")).to_contain_text("Connected")
    _run(page)
    expect(page.locator(".graphiql-response")).to_contain_text('"count": 0')
    assert token not in page.evaluate("JSON.stringify({ ...localStorage, ...sessionStorage })")
