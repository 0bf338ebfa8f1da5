"""The legacy documentation's own code, in a real browser against a real server."""

import itertools
import json
import re
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jwt
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, WebSocketRoute

from tests.served import Served

SECRET = "a secret of more than thirty-two bytes"
Serve = Callable[..., Served]
_numbers = itertools.count(1)

# Word for word from https://support.cinema8.com/portal/en/kb/articles/websocket-api
DOCUMENTED = """
var socket = new c8PlayerApi.webSocket({ persistent: true });
socket.onOpen = function(){ console.log("Socket Con. Open!"); }
socket.onMessage = function(message){ console.log(message.data) }
socket.onActiveConnectionsChange = function(message){ console.log(message.data) }
socket.onClose = function(){ console.log("Socket Con. Closed!") }
socket.onError = function(err){ console.log("Socket Con. Error!", err) }
c8PlayerApi.on("widgetDestroy", function(){ socket.close(); });
"""
DOCUMENTED_PUBLISH = 'socket.publish({ msg: "Hi", user: "John", });'
DOCUMENTED_QUERY = """
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
DOCUMENTED_SEARCH = """
socket.search({
  query: queryFilter,
  success: function(res){ console.log(res) },
  error: function(err){ console.log("Search failed!", err) }
});
"""
# What the page says is kept as JSON; an error as its code.
LISTEN = """
window.said = [];
console.log = (...words) => said.push(JSON.stringify(words.map(
  (word) => word instanceof Error ? word.code : word)));
window.reported = [];
addEventListener("error", (event) => { reported.push(event.message); event.preventDefault(); });
"""


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    Widget.own = f"poll-{next(_numbers)}"
    context = browser.new_context()
    context.set_default_timeout(15_000)
    context.add_init_script(LISTEN)
    yield context
    context.close()


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


def test_the_documentations_snippets_in_two_pages(
    shared_service: Served, context: BrowserContext
) -> None:
    one = Widget(context, shared_service.url)
    one.says("Socket Con. Open!")
    one.says(1)
    two = Widget(context, shared_service.url)
    two.says("Socket Con. Open!")
    for widget in (one, two):
        widget.says(2)
    one.run(DOCUMENTED_PUBLISH)
    for widget in (one, two):
        widget.says({"msg": "Hi", "user": "John"})
    for score, liked in ((40, True), (60, True), (70, False)):
        two.run(f"socket.publish({{ score: {score}, liked: {str(liked).lower()} }});")
    one.says({"score": 70, "liked": False})

    one.run(DOCUMENTED_QUERY + DOCUMENTED_SEARCH)
    one.page.wait_for_function("said.some((text) => text.includes('totalRecords'))")
    found = one.said[-1][0]
    assert found["totalRecords"] == 2
    assert [record["data"]["score"] for record in found["resultSet"]] == [60, 70]
    assert set(found["resultSet"][0]) == {"id", "client_id", "created", "data", "username"}

    two.run(
        DOCUMENTED_QUERY + 'queryFilter.groupBy = "data.liked"; delete queryFilter.filters;'
        'queryFilter.filters = [{ field: "data.liked", operator: "exists", value: true }];'
        + DOCUMENTED_SEARCH
    )
    two.says(
        {
            "totalRecords": 2,
            "resultSet": [{"key": True, "count": 2}, {"key": False, "count": 1}],
        }
    )
    one.run(DOCUMENTED_QUERY + 'queryFilter.filters[0].operator = "near";' + DOCUMENTED_SEARCH)
    one.says("Search failed!", "BAD_USER_INPUT")

    two.run('c8PlayerApi.emit("widgetDestroy");')
    two.says("Socket Con. Closed!")
    one.says(1, times=2)
    assert ["Socket Con. Closed!"] not in one.said
    assert not any("Error" in str(words) for words in one.said + two.said)


def test_a_killed_server_is_resumed_by_both_pages(serve: Serve, context: BrowserContext) -> None:
    server = serve()
    port = server.url.rpartition(":")[2]
    one = Widget(context, server.url)
    two = Widget(context, server.url)
    silent = Widget(context, server.url, widget="silent")
    for widget in (one, two, silent):
        widget.says("Socket Con. Open!")
    one.run("socket.publish({ n: 1 });")
    two.says({"n": 1})
    server.kill()
    for widget in (one, two, silent):
        widget.says("Socket Con. Error!", "UNAVAILABLE")
        widget.says("Socket Con. Closed!")
    # Published while there is nobody to take it, and right after the start.
    one.run("socket.publish({ n: 2 }).then((record) => console.log('stored', record.data.n));")
    server = serve("--port", port)
    publish(server, {"n": 3})
    publish(server, {"n": 3}, widget="silent")
    for widget in (one, two, silent):
        widget.says("Socket Con. Open!", times=2)
        widget.says({"n": 3})
    one.says("stored", 2)
    two.run("socket.publish({ n: 4 });")
    for widget in (one, two):
        widget.says({"n": 2})
        widget.says({"n": 4})
    assert sorted(data["n"] for data in one.heard()) == [1, 2, 3, 4]
    assert one.heard() == two.heard(), "both see one order"
    assert silent.heard() == [{"n": 3}], "missed before anything was heard, delivered all the same"
    for widget in (one, two, silent):
        order = [words[0] for words in widget.said if str(words[0]).startswith("Socket Con.")]
        assert order == [f"Socket Con. {word}" for word in ("Open!", "Error!", "Closed!", "Open!")]


def test_publishes_in_flight_when_the_server_dies_are_stored_once(
    serve: Serve, context: BrowserContext
) -> None:
    server = serve()
    port = server.url.rpartition(":")[2]
    widget = Widget(context, server.url)
    widget.says("Socket Con. Open!")
    widget.run("""
        window.stored = 0;
        for (let n = 0; n < 300; n++) socket.publish({ n }).then(() => stored++);""")
    widget.page.wait_for_function("stored > 10")
    server.kill()
    serve("--port", port)
    widget.page.wait_for_function("stored === 300")
    widget.page.wait_for_function("said.filter((text) => text.startsWith('[{')).length >= 300")
    numbers = [data["n"] for data in widget.heard()]
    assert sorted(numbers) == list(range(300))
    total = widget.value("socket.search({ query: { limit: 1 } }).then((res) => res.totalRecords)")
    assert total == 300


def test_a_restart_is_no_error(serve: Serve, context: BrowserContext) -> None:
    server = serve()
    port = server.url.rpartition(":")[2]
    widget = Widget(context, server.url)
    widget.says("Socket Con. Open!")
    widget.run("socket.onClose = (event) => console.log(event);")
    server.terminate()
    server.wait()
    widget.says({"code": 1012, "reason": "restarting", "willReconnect": True})
    serve("--port", port)
    widget.says("Socket Con. Open!", times=2)
    assert not any("Error" in str(words) for words in widget.said)


def test_calls_before_open_are_queued_and_handlers_may_come_later(
    shared_service: Served, context: BrowserContext
) -> None:
    widget = Widget(
        context,
        shared_service.url,
        code="""
            var socket = new c8PlayerApi.webSocket({ persistent: true });
            socket.publish({ n: 1 }).then((record) => console.log(record.data, record.username));
            socket.search({ success: (res) => console.log(res.totalRecords >= 0) });
            setTimeout(() => { socket.onMessage = (message) => console.log(message.data); });""",
    )
    widget.says({"n": 1}, None)
    widget.says({"n": 1})
    widget.says(True)


def test_what_a_socket_publishes_is_stored_only_when_it_is_persistent(
    shared_service: Served, context: BrowserContext
) -> None:
    widget = Widget(context, shared_service.url)
    data = widget.value("""(async () => {
        const fleeting = new c8PlayerApi.webSocket();
        const heard = new Promise((resolve) => { fleeting.onMessage = resolve; });
        await fleeting.publish({ kept: false });
        await heard;
        await socket.publish({ kept: true });
        const found = await fleeting.search({ query: {} });
        return found.resultSet.map((record) => record.data);
    })()""")
    assert data == [{"kept": True}]
    assert widget.heard() == [{"kept": False}, {"kept": True}]


def test_a_mistake_in_a_handler_is_reported_and_breaks_nothing(
    shared_service: Served, context: BrowserContext
) -> None:
    widget = Widget(
        context,
        shared_service.url,
        code=DOCUMENTED
        + """
        socket.onOpen = () => { throw new Error("in onOpen"); };
        socket.onActiveConnectionsChange = () => { missing(); };""",
    )
    widget.run("socket.publish({ n: 1 });")
    widget.says({"n": 1})
    reported = widget.value("reported")
    assert any("in onOpen" in text for text in reported)
    assert any("missing is not defined" in text for text in reported)


def test_refusals_reject_the_promise_and_leave_the_socket_open(
    shared_service: Served, context: BrowserContext
) -> None:
    widget = Widget(context, shared_service.url)
    codes = widget.value("""Promise.all([
        socket.publish("x".repeat(70000)),
        socket.publish("x".repeat(2000000)),
        socket.publish("\\u0000"),
        socket.publish("half an emoji \\ud83d"),
        socket.publish(undefined),
        socket.publish(1n),
        socket.search({ query: { limit: -1 } }),
    ].map((call) => call.then(() => "done", (error) => error.code ?? error.name)))""")
    assert codes == [
        "PAYLOAD_TOO_LARGE",
        "PAYLOAD_TOO_LARGE",
        "BAD_USER_INPUT",
        "BAD_USER_INPUT",
        "TypeError",
        "TypeError",
        "BAD_USER_INPUT",
    ]
    assert widget.value("socket.publish({}).then((record) => record.data)") == {}


def test_a_refusal_says_when_to_call_again(shared_service: Served, context: BrowserContext) -> None:
    def answer(socket: WebSocketRoute, text: str | bytes) -> None:
        frame = json.loads(text)
        if frame["type"] == "open":
            opened = {"type": "open", "client_id": "c", "username": None, "connections": 1}
            socket.send(json.dumps({**opened, "after": "@0"}))
        else:
            refused = {"type": "error", "ref": frame["ref"], "code": "UNAVAILABLE", "message": "m"}
            socket.send(json.dumps({**refused, "retryAfterMs": 1500}))

    context.route_web_socket(
        re.compile("/c8/"), lambda socket: socket.on_message(partial(answer, socket))
    )
    widget = Widget(context, shared_service.url)
    said = "socket.search({}).catch((error) => [error.code, error.message, error.retryAfterMs])"
    assert widget.value(said) == ["UNAVAILABLE", "m", 1500]


def test_what_is_published_is_data_never_markup_or_code(
    shared_service: Served, context: BrowserContext
) -> None:
    widget = Widget(context, shared_service.url)
    text = (
        "</script><script>alert(1)</script><img src=x onerror=alert(1)> \u2028 \U0001f600 \\u0041"
    )
    assert widget.page.evaluate(
        "(text) => socket.publish({ [text]: text }).then((record) => record.data)", text
    ) == {text: text}


def test_a_players_own_api_is_extended(shared_service: Served, context: BrowserContext) -> None:
    head = """<script>
        window.theirs = {};
        window.c8PlayerApi = {
            play() { return "playing"; },
            on(event, handler) { (theirs[event] ??= []).push(handler); },
            emit(event, ...words) { for (const handler of theirs[event]) handler(...words); },
        };
        window.player = c8PlayerApi;
        c8PlayerApi.on("widgetDestroy", () => console.log("theirs"));
        window.before = new Set(Object.getOwnPropertyNames(window));</script>"""
    widget = Widget(context, shared_service.url, head=head)
    widget.says("Socket Con. Open!")
    assert widget.value("c8PlayerApi === player && c8PlayerApi.play()") == "playing"
    widget.run("""
        c8PlayerApi.on("pause", (at) => console.log("pause", at));
        c8PlayerApi.on("widgetDestroy", () => console.log("ours"));
        c8PlayerApi.emit("pause", 7);
        c8PlayerApi.emit("widgetDestroy");
        c8PlayerApi.emit("widgetDestroy");""")
    widget.says("pause", 7)
    widget.says("Socket Con. Closed!")
    assert widget.said.count(["ours"]) == 1
    assert widget.said.count(["theirs"]) == 2
    added = widget.value("Object.getOwnPropertyNames(window).filter((name) => !before.has(name))")
    assert set(added) <= {"socket", "before"}


def test_the_script_adds_one_global(shared_service: Served, context: BrowserContext) -> None:
    widget = Widget(
        context,
        shared_service.url,
        head="<script>var before; before = Object.getOwnPropertyNames(window);</script>",
        code="var after = Object.getOwnPropertyNames(window);",
    )
    added = widget.value("after.filter((name) => !before.includes(name))")
    assert set(added) == {"c8PlayerApi", "after"}


def test_several_widgets_in_one_page(shared_service: Served, context: BrowserContext) -> None:
    code = f"""
        var poll = new c8PlayerApi.webSocket();
        poll.onMessage = (message) => console.log("poll", message.data);
        </script>
        <script src="{shared_service.url}/c8/player-api.js" data-project="YVX3ZZD4"
            data-widget="chat"></script>
        <script>
        var chat = new c8PlayerApi.webSocket();
        chat.onMessage = (message) => console.log("chat", message.data);
        var other = new c8PlayerApi.webSocket({{ project: "other", client_id: "me" }});
        other.onMessage = (message) => console.log("other", message.client_id);
        for (const socket of [poll, chat, other]) socket.publish("x");"""
    widget = Widget(context, shared_service.url, code=code)
    widget.says("poll", "x")
    widget.says("chat", "x")
    widget.says("other", "me")
    assert len(widget.said) == 3


def test_a_hidden_page_closes_and_comes_back_from_the_cache(
    shared_service: Served, context: BrowserContext
) -> None:
    one = Widget(context, shared_service.url)
    one.says(1)
    two = Widget(context, shared_service.url)
    two.says("Socket Con. Open!")
    one.says(2)
    two.run("dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }));")
    two.says("Socket Con. Closed!")
    one.says(1, times=2)
    one.run("socket.publish({ missed: true });")
    one.says({"missed": True})
    two.run("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }));")
    two.says("Socket Con. Open!", times=2)
    two.says({"missed": True})
    assert two.heard() == [{"missed": True}]
    one.says(2, times=2)
    two.page.goto("about:blank")
    one.says(1, times=3)


def test_a_token_names_the_user_and_a_bad_one_is_final(
    serve: Serve, context: BrowserContext
) -> None:
    server = serve(WIDGETWIRE_JWT_SECRET=SECRET)
    token = jwt.encode({"username": "ann"}, SECRET, "HS256")
    good = Widget(context, server.url, attributes=f'data-auth-token="{token}"')
    assert good.value("socket.publish({}).then((record) => record.username)") == "ann"
    bad = Widget(
        context,
        server.url,
        attributes='data-auth-token="rubbish"',
        code=DOCUMENTED
        + """
        socket.onClose = (event) => console.log(event.code, event.willReconnect);
        socket.publish({}).catch((error) => console.log("rejected", error.code));""",
    )
    bad.says("Socket Con. Error!", "UNAUTHENTICATED")
    bad.says(4401, False)
    bad.says("rejected", "UNAUTHENTICATED")
    again = "socket.publish({}).catch((error) => error.code)"
    assert bad.value(again) == "CLOSED"


def test_an_expired_token_is_fetched_anew(serve: Serve, context: BrowserContext) -> None:
    server = serve(WIDGETWIRE_JWT_SECRET=SECRET)
    old = jwt.encode({"username": "ann", "exp": 1}, SECRET, "HS256")
    new = jwt.encode({"username": "ann"}, SECRET, "HS256")
    widget = Widget(
        context,
        server.url,
        code=f"""
        var tokens = ["{old}", "{new}"];
        var socket = new c8PlayerApi.webSocket({{ token: async () => tokens.shift() }});
        socket.onError = (error) => console.log(error.code, error.closeCode);
        socket.onOpen = () => console.log(socket.username);""",
    )
    widget.says("UNAUTHENTICATED", 4403)
    widget.says("ann")


def test_a_video_page_of_another_origin_embeds_it(serve: Serve, context: BrowserContext) -> None:
    server = serve(WIDGETWIRE_ALLOWED_ORIGINS="http://videos.example")
    allowed = Widget(
        context, server.url, origin="http://videos.example", attributes="crossorigin=anonymous"
    )
    assert allowed.value("socket.publish({ n: 1 }).then((record) => record.data)") == {"n": 1}
    foreign = Widget(context, server.url, origin="http://evil.example")
    foreign.says("Socket Con. Error!", "UNAVAILABLE")
    assert allowed.heard() == [{"n": 1}]


def test_a_page_without_a_widget_says_what_is_missing(
    shared_service: Served, context: BrowserContext
) -> None:
    widget = Widget(context, shared_service.url)
    said = widget.value("""(() => {
        try { new c8PlayerApi.webSocket({ widget: "a b" }); }
        catch (error) { return error.message; }
    })()""")
    assert 'widget is "a b"' in said
    assert "data-widget" in said
