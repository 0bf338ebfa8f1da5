"""Pages of a real Chromium that reach one origin and no other."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from playwright.sync_api import (
    Browser,
    BrowserContext,
    Page,
    Route,
    WebSocketRoute,
    sync_playwright,
)

__all__ = ["Cable", "Visitor", "chromium"]

_FLAGS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # A page that a test itself answers counts as a page of the internet.
    "--disable-features=LocalNetworkAccessChecks",
)


class Visitor:
    """One person's browser profile.

    Args:
        browser: the Chromium it lives in.
        origin: `http://host:port`; requests to anywhere else are aborted and remembered.
        server: another origin that its pages may reach.
        options: of Playwright's `new_context`.
    """

    def __init__(
        self, browser: Browser, origin: str, *, server: str | None = None, **options: object
    ) -> None:
        self.context: BrowserContext = browser.new_context(**options)  # type: ignore[arg-type]
        self.elsewhere: list[str] = []
        """Addresses of other hosts that a page asked for."""
        self.problems: list[str] = []
        """Errors on the console (a refused policy is one) and uncaught exceptions."""
        self._places = ("data:", "blob:", f"{origin}/", f"{server or origin}/")
        self.context.route("**/*", self._route)
        self.context.on(
            "console",
            lambda message: self.problems.append(message.text) if message.type == "error" else None,
        )
        self.context.on("weberror", lambda error: self.problems.append(str(error.error)))

    def _route(self, route: Route) -> None:
        address = route.request.url
        if address.startswith(self._places):
            route.continue_()
        else:
            self.elsewhere.append(address)
            route.abort()

    def expect_calm(self) -> None:
        """Assert that no other host was asked for anything, and that nothing went wrong."""
        assert self.elsewhere == []
        assert self.problems == []


class Cable:
    """What connects a visitor's sockets with the service; a test pulls it and puts it back.

    Args:
        visitor: makes no page before.
    """

    def __init__(self, visitor: Visitor) -> None:
        self._plugged = True
        self._connected: list[WebSocketRoute] = []
        visitor.context.route_web_socket(re.compile(".*"), self._route)

    def pull(self) -> None:
        """Close all sockets as a restart does, and let no new one through."""
        self._plugged = False
        for socket in self._connected:
            socket.close(code=1012, reason="pulled")
        self._connected.clear()

    def put_back(self, page: Page) -> None:
        """Let sockets through, and have a page try at once."""
        self._plugged = True
        page.evaluate("dispatchEvent(new Event('online'))")

    def _route(self, socket: WebSocketRoute) -> None:
        if self._plugged:
            socket.connect_to_server()
            self._connected.append(socket)
        else:
            socket.close(code=1012, reason="pulled")


@contextmanager
def chromium(executable: Path) -> Iterator[Browser]:
    """Run a headless browser."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=list(_FLAGS))
        try:
            yield browser
        finally:
            browser.close()
