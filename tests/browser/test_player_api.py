"""The legacy documentation's own code, in a real browser against a real server."""

import itertools
import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jwt
import pytest
from playwright.sync_api import Browser, BrowserContext, WebSocketRoute

from tests.browser.widget import (
    DOCUMENTED,
    DOCUMENTED_PUBLISH,
    DOCUMENTED_QUERY,
    DOCUMENTED_SEARCH,
    LISTEN,
    Widget,
    publish,
)
from tests.served import Served

SECRET = "a secret of more than thirty-two bytes"
Serve = Callable[..., Served]
_numbers = itertools.count(1)


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    Widget.own = f"poll-{next(_numbers)}"
    context = browser.new_context()
    context.set_default_timeout(15_000)
    context.add_init_script(LISTEN)
    yield context
    context.close()


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


def _answered(context: BrowserContext, answer: Callable[[dict[str, Any]], Any]) -> None:
    """Answer the pages' sockets in place of the server, which a policy would have to be set on.

    Args:
        context: whose pages.
        answer: what to send for a call besides its type and `ref`; `open` is answered already.
    """

    def receive(socket: WebSocketRoute, text: str | bytes) -> None:
        frame = json.loads(text)
        if frame["type"] == "open":
            opened = {"type": "open", "client_id": "c", "username": None, "connections": 1}
            socket.send(json.dumps({**opened, "after": "@0"}))
            socket.send(json.dumps({"type": "policy", "policy": {"writers": "NOBODY"}}))
        else:
            socket.send(json.dumps({"ref": frame["ref"], **answer(frame)}))

    context.route_web_socket(
        re.compile("/c8/"), lambda socket: socket.on_message(partial(receive, socket))
    )


def test_a_refusal_says_when_to_call_again(shared_service: Served, context: BrowserContext) -> None:
    refused = {"type": "error", "code": "UNAVAILABLE", "message": "m", "retryAfterMs": 1500}
    _answered(context, lambda _: refused)
    widget = Widget(context, shared_service.url)
    said = "socket.search({}).catch((error) => [error.code, error.message, error.retryAfterMs])"
    assert widget.value(said) == ["UNAVAILABLE", "m", 1500]


def test_what_a_closed_channel_refuses_of_a_queue_is_told_each_by_each(
    shared_service: Served, context: BrowserContext
) -> None:
    """The page that uses no promises hears of it too, and gets no unhandled rejection."""

    def answer(call: dict[str, Any]) -> dict[str, Any]:
        if call["data"]["n"] < 3:
            return {"type": "error", "code": "REJECTED", "message": f"no {call['data']['n']}"}
        return {"type": "ack", "message": {"id": "i", "data": call["data"]}}

    _answered(context, answer)
    widget = Widget(
        context,
        shared_service.url,
        code=DOCUMENTED
        + """
        socket.onError = (error) => console.log("told", error.message, error.closeCode ?? 0);
        socket.onPolicyChange = (message) => console.log(message.data);
        socket.publish({ n: 0 });
        socket.publish({ n: 1 });
        socket.publish({ n: 2 }).catch((error) => console.log("awaited", error.message));
        socket.publish({ n: 3 }).then((record) => console.log("stored", record.data.n));""",
    )
    widget.says({"writers": "NOBODY"})
    widget.says("told", "no 0", 0)
    widget.says("told", "no 1", 0)
    widget.says("awaited", "no 2")
    widget.says("stored", 3)
    widget.run("socket.publish(undefined); socket.close(); socket.publish({ n: 4 });")
    widget.says("told", "undefined is not JSON", 0)
    widget.says("told", "the socket is closed", 0)
    assert widget.value("socket.publish({}).catch((error) => error.code)") == "CLOSED"
    assert widget.value("(async () => { try { await socket.publish({}); } catch { return 1; } })()")
    told = [words for words in widget.said if words[0] == "told"]
    assert len(told) == 4, "what was awaited is not told twice"
    assert widget.value("reported") == []
    widget.run("socket.onError = null; socket.publish({});")
    widget.page.wait_for_function("reported.length")
    assert "the socket is closed" in widget.value("reported")[0]


def test_a_vote_is_changed_and_a_message_taken_back(
    shared_service: Served, context: BrowserContext, browser: Browser
) -> None:
    code = (
        DOCUMENTED
        + """
        socket.onRetract = ({ data, reason }) => console.log("gone", data, reason ?? null);
        var vote = (choice) => socket.publish({ choice }, { id: "vote", onRepeat: "REPLACE" });"""
    )
    voter = Widget(context, shared_service.url, code=code)
    voter.says("Socket Con. Open!")
    elsewhere = browser.new_context()
    elsewhere.add_init_script(LISTEN)
    other = Widget(elsewhere, shared_service.url, code=code)
    other.says("Socket Con. Open!")
    first = voter.value("vote('left')")
    second = voter.value("vote('right')")
    other.value("vote('left')")
    for widget in (voter, other):
        widget.says("gone", [first["id"]], None)
    choices = "socket.search({}).then(({ resultSet }) => resultSet.map(({ data }) => data.choice))"
    assert other.value(choices) == ["right", "left"]

    assert other.value(f"socket.retract(['{second['id']}']).catch((e) => e.code)") == "FORBIDDEN"
    again = f"socket.retract(['{second['id']}'], 'a slip')"
    assert voter.value(again) == 1
    assert voter.value(again) == 0
    for widget in (voter, other):
        widget.says("gone", [second["id"]], "a slip")
    assert other.value(choices) == ["left"]
    refused = "socket.publish(1, { id: 'x', onRepeat: 'AGAIN' }).catch((error) => error.code)"
    assert voter.value(refused) == "BAD_USER_INPUT"
    assert voter.value("socket.retract().catch((error) => error.name)") == "TypeError"
    assert voter.value("reported") == other.value("reported") == []
    elsewhere.close()


TWO_WIDGETS = """
    var socket = new c8PlayerApi.webSocket({ persistent: true });
    var other = new c8PlayerApi.webSocket({ widget: "other" });
    for (const one of [socket, other]) one.onError = (error) => console.log(error);
    var ids = () => Promise.all([socket.publish(1), other.publish(2)])
        .then((records) => [...new Set(records.map((record) => record.client_id))]);"""


def test_a_visitor_is_one_client_in_all_widgets_and_at_each_visit(
    shared_service: Served, context: BrowserContext
) -> None:
    first = Widget(context, shared_service.url, code=TWO_WIDGETS)
    (client,) = first.value("ids()")
    assert client.startswith("signed-")
    first.page.reload()
    assert first.value("ids()") == [client]
    # Another secret, or too old: somebody new, and the page notices nothing.
    (place,) = first.value("Object.keys(localStorage)")
    assert place.endswith("/c8/YVX3ZZD4/")
    first.value(f"localStorage.setItem('{place}', 'of another server')")
    first.page.reload()
    (new,) = first.value("ids()")
    assert new.startswith("signed-")
    assert new != client
    assert first.said == []
    assert Widget(context, shared_service.url, code=TWO_WIDGETS).value("ids()") == [new]


def test_a_frame_that_may_store_nothing_is_one_client_for_as_long_as_it_lives(
    shared_service: Served, context: BrowserContext
) -> None:
    context.add_init_script(
        "Object.defineProperty(window, 'localStorage', {"
        " get() { throw new DOMException('sandboxed', 'SecurityError'); } });"
    )
    widget = Widget(context, shared_service.url, code=TWO_WIDGETS)
    (client,) = widget.value("ids()")
    widget.run("dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }));")
    widget.run("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }));")
    assert widget.value("ids()") == [client]
    assert widget.said == []


def test_a_misspelt_search_is_refused(shared_service: Served, context: BrowserContext) -> None:
    widget = Widget(context, shared_service.url)
    said = "socket.search({ %s: { limit: 1 } }).catch((error) => error.message)"
    assert widget.value(said % "quary") == 'search has no "quary"; it has query'
    said = "socket.search({ query: { filter: [] } }).catch((error) => error.message)"
    assert "did you mean 'filters'" in widget.value(said)


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
    # It goes on as somebody else, on the same socket; a token that is refused changes nothing.
    other = jwt.encode({"username": "ben"}, SECRET, "HS256")
    assert good.value(f'socket.authenticate("{other}")') == "ben"
    code = 'socket.authenticate("rubbish").catch((error) => error.code)'
    assert good.value(code) == "UNAUTHENTICATED"
    assert good.value("socket.username") == "ben"
    assert good.value("socket.publish({}).then((record) => record.username)") == "ben"
    assert ["Socket Con. Closed!"] not in good.said
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
