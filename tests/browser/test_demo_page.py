"""The page at `/` in a real browser: what one window does, the other shows."""

import itertools
import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from playwright.sync_api import Locator, Page, expect

from app.embedded.postgres import EmbeddedPostgres
from tests.browser.pages import Cable, Visitor
from tests.conftest import served_clone
from tests.served import Served

SECRET = "a secret of more than thirty-two bytes"
Visit = Callable[..., Visitor]

_numbers = itertools.count(1)
MARKUP = "<img src=x onerror=\"document.title='owned'\"><script>alert(1)</script>"


@pytest.fixture(scope="module")
def shared_service(postgres: EmbeddedPostgres, template_database: str) -> Iterator[Served]:
    """One that knows moderators."""
    yield from served_clone(postgres, template_database, {"WIDGETWIRE_JWT_SECRET": SECRET})


@pytest.fixture
def project() -> str:
    """This test's own: the server is shared."""
    return f"test-{next(_numbers)}"


def _open(visitor: Visitor, served: Served, project: str, count: int = 1) -> Page:
    page = visitor.context.new_page()
    page.goto(f"{served.url}/?project={project}")
    expect(page.locator("#count")).to_have_text(str(count))
    return page


def _say(page: Page, name: str, text: str) -> None:
    page.get_by_label("Name").fill(name)
    page.get_by_label("Message", exact=True).fill(text)
    page.get_by_label("Message", exact=True).press("Enter")


def _moderate(served: Served, document: str, **variables: Any) -> None:
    """Run a mutation with a token that may."""
    token = jwt.encode({"sub": "host", "permissions": ["moderate"]}, SECRET, "HS256")
    request = urllib.request.Request(
        f"{served.url}/graphql",
        json.dumps({"query": document, "variables": variables}).encode(),
        {"Content-Type": "application/json", "Authorization": f"Bearer {token}"},
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        assert "errors" not in json.load(response)


def _set_policy(served: Served, project: str, widget: str, **policy: Any) -> None:
    _moderate(
        served,
        """mutation ($project: ID!, $widget: ID!, $policy: ChannelPolicyInput!) {
            setChannelPolicy(projectId: $project, widgetId: $widget, policy: $policy) { writers }
        }""",
        project=project,
        widget=widget,
        policy=policy,
    )


def _bar(page: Page, choice: str) -> Locator:
    return page.get_by_role("button", name=f"Vote for {choice}")


def test_two_windows_chat_vote_play_and_count_each_other(
    shared_service: Served, visit: Visit, project: str, tmp_path: Path
) -> None:
    """The whole page, between two people, with no other host in reach."""
    ada = visit(shared_service.url, viewport={"width": 1280, "height": 900})
    bob = visit(shared_service.url, viewport={"width": 360, "height": 780})
    first = _open(ada, shared_service, project)
    second = _open(bob, shared_service, project, count=2)
    expect(first.locator("#count")).to_have_text("2")

    _say(first, "Ada", "Is anyone there?")
    expect(second.get_by_role("log")).to_contain_text("Is anyone there?")
    _say(second, "Bob", MARKUP)
    expect(first.get_by_role("log")).to_contain_text(MARKUP)

    _bar(first, "Into the forest").click()
    expect(_bar(second, "Into the forest")).to_have_text("Into the forest1 · 100 %")
    # By keyboard, as everything here.
    _bar(second, "Up the mountain").press("Enter")
    expect(_bar(first, "Up the mountain")).to_have_text("Up the mountain1 · 50 %")
    expect(first.get_by_text("2 votes. You can change yours.", exact=True)).to_be_visible()

    # One vote a person: the other one takes its place.
    _bar(second, "Into the forest").click()
    expect(_bar(first, "Into the forest")).to_have_text("Into the forest2 · 100 %")
    expect(_bar(first, "Up the mountain")).to_have_text("Up the mountain0 · 0 %")
    expect(second.get_by_text("2 votes. You can change yours.", exact=True)).to_be_visible()
    expect(_bar(second, "Into the forest")).to_have_attribute("aria-pressed", "true")
    expect(_bar(second, "Up the mountain")).to_have_attribute("aria-pressed", "false")

    # One row a player, with the best score.
    rolled = []
    for _ in range(3):
        second.get_by_role("button", name="Roll").click()
        expect(second.locator(".play output")).to_contain_text("You rolled")
        rolled.append(int(second.locator(".play output").inner_text().split()[-1]))
        second.locator(".play output").evaluate("output => (output.textContent = '')")
    expect(first.locator(".ranks li")).to_have_text([f"BBob{max(rolled)}"])

    first.screenshot(path=tmp_path / "wide.png", full_page=True)
    second.screenshot(path=tmp_path / "phone.png", full_page=True)
    # Nothing is cut off or scrolls sideways on a phone.
    assert second.evaluate("document.documentElement.scrollWidth") == 360
    assert first.title() == "Widgetwire"
    second.close()
    expect(first.locator("#count")).to_have_text("1")
    # Who comes later sees what was said, in order, and what was one's own vote.
    third = _open(bob, shared_service, project, count=2)
    expect(_bar(third, "Into the forest")).to_have_attribute("aria-pressed", "true")
    expect(third.get_by_role("log").get_by_role("listitem")).to_have_count(2)
    expect(third.get_by_role("log").get_by_role("listitem").first).to_contain_text(
        "Is anyone there?"
    )
    ada.expect_calm()
    bob.expect_calm()


def test_the_address_names_the_channel_and_another_hears_nothing(
    shared_service: Served, visit: Visit, project: str
) -> None:
    """Project and widget are in the query, where the form puts them."""
    visitor = visit(shared_service.url)
    other = _open(visitor, shared_service, project)
    page = _open(visitor, shared_service, project, count=2)
    page.get_by_label("Project").fill("YVX3ZZD4")
    page.get_by_label("Widget", exact=True).fill("stage")
    page.get_by_role("button", name="Open").click()
    page.wait_for_url("**/?project=YVX3ZZD4&widget=stage")
    expect(page.locator("#count")).to_have_text("1")
    _say(page, "Ada", "Only here")
    expect(page.get_by_role("log")).to_contain_text("Only here")
    expect(page.get_by_text("YVX3ZZD4/stage-poll")).to_be_visible()
    _say(other, "Bob", "Elsewhere")
    expect(other.get_by_role("log")).to_contain_text("Elsewhere")
    expect(other.get_by_role("log")).not_to_contain_text("Only here")
    visitor.expect_calm()


def test_each_widget_shows_the_code_it_runs_and_copies_it(
    shared_service: Served, visit: Visit, project: str
) -> None:
    """The code on show is the file that runs, so it cannot be out of date."""
    visitor = visit(shared_service.url, permissions=["clipboard-read", "clipboard-write"])
    page = _open(visitor, shared_service, project)
    for name in ("chat", "poll", "leaderboard", "connected"):
        panel = page.locator(f"[data-panel={name}]")
        panel.get_by_text("The code of this widget").click()
        source = visitor.context.request.get(f"{shared_service.url}/demo/{name}.js").text()
        expect(panel.get_by_label(f"{name}.js", exact=True)).to_have_text(source)
        copy = panel.get_by_role("button", name=f"Copy {name}.js")
        copy.click()
        expect(copy).to_have_text("Copied")
        assert page.evaluate("navigator.clipboard.readText()") == source
    tag = page.locator("[data-panel=chat]").get_by_label("in the page", exact=True)
    expect(tag).to_contain_text(f'<script src="{shared_service.url}/c8/player-api.js"')
    visitor.expect_calm()


def test_what_one_said_can_be_taken_back_by_oneself_only(
    shared_service: Served, visit: Visit, project: str
) -> None:
    """Another window of the same person may too; the log keeps the keyboard's place."""
    ada, bob = visit(shared_service.url), visit(shared_service.url)
    first = _open(ada, shared_service, project)
    second = _open(bob, shared_service, project, count=2)
    _say(first, "Ada", "A slip")
    _say(second, "Ada", "Not hers, for all the name says")
    for page in (first, second):
        expect(page.get_by_role("log").get_by_role("listitem")).to_have_count(2)
    expect(second.get_by_role("button", name="Retract “A slip”")).to_have_count(0)
    expect(second.get_by_role("button", name="Retract")).to_have_count(1)
    again = _open(ada, shared_service, project, count=3)
    again.get_by_role("button", name="Retract “A slip”").press("Enter")
    for page in (first, second, again):
        expect(page.get_by_role("log")).not_to_contain_text("A slip")
        expect(page.get_by_role("log")).to_contain_text("Not hers")
    expect(again.get_by_role("log")).to_be_focused()
    ada.expect_calm()
    bob.expect_calm()


def test_offline_what_one_does_waits_and_all_says_so(
    shared_service: Served, visit: Visit, project: str, tmp_path: Path
) -> None:
    """A vote was lost, its error stood there for 250 ms, and the counter stayed green."""
    visitor = visit(shared_service.url, viewport={"width": 390, "height": 844}, color_scheme="dark")
    cable = Cable(visitor)
    page = _open(visitor, shared_service, project)
    count = page.locator("[data-panel=connected]")
    live = count.locator(".pulse").evaluate("dot => getComputedStyle(dot).backgroundColor")
    cable.pull()
    for name in ("connected", "chat", "poll", "leaderboard"):
        state = page.locator(f"[data-panel={name}] .state")
        expect(state).to_have_text("Offline. Reconnecting …")
    dot = count.locator(".pulse")
    assert dot.evaluate("dot => getComputedStyle(dot).animationName") == "none"
    assert dot.evaluate("dot => getComputedStyle(dot).backgroundColor") != live
    _bar(page, "Into the forest").click()
    _bar(page, "Up the mountain").click()
    expect(page.locator("[data-panel=poll] .state")).to_contain_text("Your vote will be sent when")
    expect(_bar(page, "Up the mountain")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Roll").click()
    expect(page.locator("[data-panel=leaderboard] .state")).to_contain_text("Your roll will be")
    _say(page, "Ada", "Said in a tunnel")
    expect(page.locator(".outbox")).to_contain_text("Said in a tunnel")
    page.screenshot(path=tmp_path / "offline.png", full_page=True)
    cable.put_back(page)
    expect(page.get_by_role("log")).to_contain_text("Said in a tunnel")
    expect(page.locator(".outbox li")).to_have_count(0)
    expect(_bar(page, "Up the mountain")).to_have_text("Up the mountain1 · 100 %")
    expect(page.get_by_text("1 vote. You can change yours.", exact=True)).to_be_visible()
    expect(page.locator(".ranks li")).to_have_count(1)
    for name in ("connected", "chat", "poll", "leaderboard"):
        expect(page.locator(f"[data-panel={name}] .state")).to_be_hidden()


def test_a_closed_channel_says_so_and_its_buttons_are_off(
    shared_service: Served, visit: Visit, project: str
) -> None:
    visitor = visit(shared_service.url)
    cable = Cable(visitor)
    # This device's clock is an hour ahead: the server's decides.
    now = int(time.time() * 1000)
    visitor.context.clock.set_system_time((now + 3_600_000) / 1000)
    page = _open(visitor, shared_service, project)
    poll = page.locator("[data-panel=poll]")
    _bar(page, "Into the forest").click()
    expect(poll.get_by_text("1 vote. You can change yours.")).to_be_visible()
    _set_policy(shared_service, project, "chat-poll", writers="NOBODY")
    expect(poll.locator(".state")).to_have_text("Closed by the host.")
    expect(_bar(page, "Up the mountain")).to_be_disabled()
    expect(page.get_by_role("button", name="Send")).to_be_enabled()
    _set_policy(shared_service, project, "chat", slowModeSeconds=30)
    expect(page.locator(".chat .state")).to_have_text("Slow mode: one every 30 s.")
    _set_policy(shared_service, project, "chat", slowModeSeconds=None)
    expect(page.locator(".chat .state")).to_be_hidden()
    _set_policy(
        shared_service, project, "chat-poll", writers=None, opensAt=now - 1, closesAt=now + 600_000
    )
    expect(poll.locator(".state")).to_be_hidden()
    expect(_bar(page, "Up the mountain")).to_be_enabled()

    # Closed meanwhile: what was done offline is refused, and nothing typed is lost.
    cable.pull()
    expect(poll.locator(".state")).to_have_text("Offline. Reconnecting …")
    _bar(page, "Up the mountain").click()
    for said in ("One", "Two"):
        _say(page, "Ada", said)
    for widget in ("chat", "chat-poll"):
        _set_policy(shared_service, project, widget, closesAt=now)
    cable.put_back(page)
    expect(poll.locator(".state")).to_contain_text("Closed since")
    expect(_bar(page, "Into the forest")).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".outbox li")).to_have_count(2)
    for item in page.locator(".outbox li").all():
        expect(item).to_contain_text("Not sent:")
    _set_policy(shared_service, project, "chat", closesAt=None)
    expect(page.get_by_role("button", name="Send", exact=True)).to_be_enabled()
    page.locator(".outbox li").filter(has_text="Two").get_by_text("Send again").click()
    page.locator(".outbox li").filter(has_text="One").get_by_text("Discard").click()
    expect(page.get_by_role("log").get_by_role("listitem")).to_have_count(1)
    expect(page.get_by_role("log")).to_contain_text("Two")
    expect(page.locator(".outbox li")).to_have_count(0)


def test_a_refusal_is_said_where_it_happened(
    serve: Callable[..., Served], visit: Visit, project: str
) -> None:
    """A viewer who may only read sees why, and keeps what was typed."""
    served = serve(WIDGETWIRE_ANONYMOUS="read")
    visitor = visit(served.url)
    page = _open(visitor, served, project)
    _say(page, "Ada", "Let me in")
    expect(page.locator(".chat .state")).to_contain_text("publish")
    expect(page.locator(".outbox")).to_contain_text("Let me in")
    _bar(page, "Into the forest").click()
    expect(page.locator("[data-panel=poll] .state")).to_contain_text("publish")
    expect(_bar(page, "Into the forest")).to_have_attribute("aria-pressed", "false")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(
    shared_service: Served, visit: Visit, project: str, scheme: str
) -> None:
    """WCAG 2.2 AA: a contrast of at least 4.5 to 1, in both colour schemes."""
    visitor = visit(shared_service.url, color_scheme=scheme)
    page = _open(visitor, shared_service, project)
    pairs = {
        "text": ("page", "card", "bar", "bar-leads"),
        "soft": ("page", "card"),
        "accent": ("page", "card"),
        "wrong": ("card",),
        "on-accent": ("accent",),
        "t-comment": ("code",),
        "t-string": ("code",),
        "t-word": ("code",),
        "t-number": ("code",),
    }
    for above, grounds in pairs.items():
        for ground in grounds:
            colours = [_colour(page, name) for name in (above, ground)]
            assert _contrast(*colours) >= 4.5, f"--{above} on --{ground}"


def _colour(page: Page, name: str) -> tuple[float, float, float]:
    value = page.evaluate(
        "name => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`)", name
    )
    digits = str(value).strip().removeprefix("#")
    return tuple(int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4))  # type: ignore[return-value]


def _contrast(one: tuple[float, float, float], other: tuple[float, float, float]) -> float:
    # https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio
    def luminance(colour: tuple[float, float, float]) -> float:
        red, green, blue = (
            part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour
        )
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)
