"""A page with a widget in it, as the legacy documentation has it."""

import json
import urllib.request
from typing import Any, Final

from playwright.sync_api import BrowserContext, Page, Route

from tests.served import Served

__all__ = [
    "DOCUMENTED",
    "DOCUMENTED_PUBLISH",
    "DOCUMENTED_QUERY",
    "DOCUMENTED_SEARCH",
    "LISTEN",
    "Widget",
    "publish",
]

# Word for word from https://support.cinema8.com/portal/en/kb/articles/websocket-api
DOCUMENTED: Final = """
var socket = new c8PlayerApi.webSocket({ persistent: true });
socket.onOpen = function(){ console.log("Socket Con. Open!"); }
socket.onMessage = function(message){ console.log(message.data) }
socket.onActiveConnectionsChange = function(message){ console.log(message.data) }
socket.onClose = function(){ console.log("Socket Con. Closed!") }
socket.onError = function(err){ console.log("Socket Con. Error!", err) }
c8PlayerApi.on("widgetDestroy", function(){ socket.close(); });
"""
DOCUMENTED_PUBLISH: Final = 'socket.publish({ msg: "Hi", user: "John", });'
DOCUMENTED_QUERY: Final = """
var queryFilter = {
  "sortField": "created",
  "sortOrder": "asc",
  "offset": 0,
  "limit": 10,
  "filters": [
    { "field": "created", "operator": ">", "value": 1678724096803 },
    { "field": "data.score", "operator": ">", "value": 55 }
  ]
};
"""
DOCUMENTED_SEARCH: Final = """
socket.search({
  query: queryFilter,
  success: function(res){ console.log(res) },
  error: function(err){ console.log("Search failed!", err) }
});
"""
# What the page says is kept as JSON; an error as its code.
LISTEN: Final = """
window.said = [];
console.log = (...words) => said.push(JSON.stringify(words.map(
  (word) => word instanceof Error ? word.code : word)));
window.reported = [];
addEventListener("error", (event) => { reported.push(event.message); event.preventDefault(); });
addEventListener("unhandledrejection", (event) => reported.push(`unhandled: ${event.reason}`));
"""


class Widget:
    """A page with a widget in it."""

    own = "poll"
    """The widget of this test's pages where it names no other: they share a server."""

    def __init__(
        self,
        context: BrowserContext,
        server: str,
        *,
        code: str = DOCUMENTED,
        head: str = "",
        attributes: str = "",
        widget: str | None = None,
        origin: str | None = None,
    ) -> None:
        html = f"""<!doctype html>{head}
            <script src="{server}/c8/player-api.js" data-project="YVX3ZZD4"
                data-widget="{widget or self.own}" {attributes}></script>
            <script>{code}</script>"""
        address = f"{origin or server}/page.html"

        def answer(route: Route) -> None:
            route.fulfill(body=html, content_type="text/html")

        self.page: Page = context.new_page()
        self.page.route(address, answer)
        self.page.goto(address)

    def run(self, code: str) -> Any:
        """Run a script as the page's own would."""
        return self.page.evaluate(f"() => {{ {code} }}")

    def value(self, expression: str) -> Any:
        return self.page.evaluate(expression)

    def says(self, *words: Any, times: int = 1) -> None:
        """Wait until the page has said this so often."""
        text = json.dumps(list(words), separators=(",", ":"), ensure_ascii=False)
        self.page.wait_for_function(
            "([text, times]) => said.filter((one) => one === text).length >= times",
            arg=[text, times],
        )

    @property
    def said(self) -> list[list[Any]]:
        return [json.loads(text) for text in self.page.evaluate("said")]

    def heard(self) -> list[Any]:
        """Return the data of all messages; those of these tests are objects."""
        return [words[0] for words in self.said if isinstance(words[0], dict)]


def publish(server: Served, data: Any, widget: str | None = None) -> None:
    """Publish through GraphQL."""
    document = """mutation ($widget: ID!, $data: JSON!) {
        publish(projectId: "YVX3ZZD4", widgetId: $widget, data: $data) { id } }"""
    body = json.dumps(
        {"query": document, "variables": {"widget": widget or Widget.own, "data": data}}
    )
    request = urllib.request.Request(
        f"{server.url}/graphql", body.encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        assert "errors" not in json.load(response)
