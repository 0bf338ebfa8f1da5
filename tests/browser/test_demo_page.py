"""The page at `/` in a real browser: what one window does, the other shows."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.pages import Visitor
from tests.served import Served

Visit = Callable[..., Visitor]

_numbers = itertools.count(1)
MARKUP = "<img src=x onerror=\"document.title='owned'\"><script>alert(1)</script>"


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
    expect(first.get_by_text("2 votes", exact=True)).to_be_visible()

    second.get_by_role("button", name="Roll").click()
    expect(first.locator(".ranks li")).to_have_count(1)
    expect(first.locator(".ranks li")).to_contain_text("Bob")

    first.screenshot(path=tmp_path / "wide.png", full_page=True)
    second.screenshot(path=tmp_path / "phone.png", full_page=True)
    # Nothing is cut off or scrolls sideways on a phone.
    assert second.evaluate("document.documentElement.scrollWidth") == 360
    assert first.title() == "Widgetwire"
    second.close()
    expect(first.locator("#count")).to_have_text("1")
    # Who comes later sees what was said, in order.
    third = _open(bob, shared_service, project, count=2)
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


def test_a_refusal_is_said_where_it_happened(
    serve: Callable[..., Served], visit: Visit, project: str
) -> None:
    """A viewer who may only read sees why, and keeps what was typed."""
    served = serve(WIDGETWIRE_ANONYMOUS="read")
    visitor = visit(served.url)
    page = _open(visitor, served, project)
    _say(page, "Ada", "Let me in")
    expect(page.locator(".chat .state")).to_contain_text("publish")
    expect(page.get_by_label("Message", exact=True)).to_have_value("Let me in")
    _bar(page, "Into the forest").click()
    expect(page.locator("[data-panel=poll] .state")).to_contain_text("publish")


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
