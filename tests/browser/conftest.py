"""One browser for each module, and profiles that end with their test."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser.pages import Visitor, chromium


@pytest.fixture(scope="module")
def browser(chromium_path: Path) -> Iterator[Browser]:
    """A headless Chromium."""
    with chromium(chromium_path) as opened:
        yield opened


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Visitor]]:
    """Be one more person: `visit(origin, viewport={…})`, see `Visitor`."""
    visitors: list[Visitor] = []

    def visitor(origin: str, *, server: str | None = None, **options: object) -> Visitor:
        visitors.append(Visitor(browser, origin, server=server, **options))
        return visitors[-1]

    yield visitor
    for one in visitors:
        one.context.close()
