"""The console at `/admin` in a real browser, against a real server."""

import csv
import itertools
import json
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from playwright.sync_api import Locator, Page, WebSocketRoute, expect

from app.embedded.postgres import EmbeddedPostgres
from tests.browser.pages import Cable, Visitor
from tests.conftest import served_clone
from tests.served import Served

SECRET = "kq7Zt0XwP4mRy9LdB2sVh6NjC1fUa8Ge"
MARKUP = "<img src=x onerror=\"document.title='owned'\"><script>alert(1)</script>"
Visit = Callable[..., Visitor]

_numbers = itertools.count(1)


PUBLISH = """mutation ($project: ID!, $widget: ID!, $data: JSON!) {
    publish(projectId: $project, widgetId: $widget, data: $data) { id }
}"""
PUBLISH_TEN = "mutation ($project: ID!, {}) {{ {} }}".format(
    ", ".join(f"$n{n}: JSON!" for n in range(10)),
    " ".join(
        f'p{n}: publish(projectId: $project, widgetId: "chat", data: $n{n}) {{ id }}'
        for n in range(10)
    ),
)
SET_POLICY = """mutation ($project: ID!, $widget: ID!, $policy: ChannelPolicyInput!) {
    setChannelPolicy(projectId: $project, widgetId: $widget, policy: $policy) { writers }
}"""
POLICY = """query ($project: ID!) {
    channelPolicy(projectId: $project, widgetId: "chat") {
        slowModeSeconds blockedWords dataSchema closesAt
    }
}"""
COUNT = """query ($project: ID!) {
    messages(projectId: $project, widgetId: "chat") { totalCount }
}"""
BAN = """mutation ($project: ID!, $ban: BanInput!) {
    ban(projectId: $project, input: $ban) { id }
}"""
DOCUMENTS = {
    str(number): text
    for number, text in enumerate((PUBLISH, PUBLISH_TEN, SET_POLICY, POLICY, COUNT, BAN))
}


@pytest.fixture(scope="module")
def shared_service(
    postgres: EmbeddedPostgres,
    template_database: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Served]:
    """A strict one: in production, with the documents of these tests and of the console only."""
    known = tmp_path_factory.mktemp("documents") / "known.json"
    known.write_text(json.dumps(DOCUMENTS))
    environment = {
        "WIDGETWIRE_ENV": "production",
        "WIDGETWIRE_JWT_SECRET": SECRET,
        "WIDGETWIRE_DOCUMENTS": "known",
        "WIDGETWIRE_DOCUMENTS_FILE": str(known),
        # The tests publish as one person.
        "WIDGETWIRE_PUBLISHER_PUBLISHES_PER_SECOND": "0",
    }
    yield from served_clone(postgres, template_database, environment)


@pytest.fixture
def project() -> str:
    """This test's own: the server is shared."""
    return f"show-{next(_numbers)}"


def _token(*permissions: str, **claims: Any) -> str:
    granted = list(permissions) or ["publish", "subscribe", "search", "moderate"]
    return jwt.encode({"sub": "mia", "permissions": granted} | claims, SECRET, "HS256")


def _ask(served: Served, document: str, token: str | None = None, **variables: Any) -> Any:
    request = urllib.request.Request(
        f"{served.url}/graphql",
        json.dumps({"query": document, "variables": variables}).encode(),
        {"Content-Type": "application/json", "Authorization": f"Bearer {token or _token()}"},
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)


def _publish(
    served: Served, project: str, widget: str, data: Any, username: str | None = None
) -> Any:
    token = _token("publish", sub=username or "host", username=username)
    return _ask(served, PUBLISH, token, project=project, widget=widget, data=data)


def _publish_many(served: Served, project: str, numbers: Iterable[int]) -> None:
    """Tens of them, in this order."""
    left = list(numbers)
    while some := left[:10]:
        del left[:10]
        variables: dict[str, Any] = {f"n{place}": number for place, number in enumerate(some)}
        assert "errors" not in _ask(served, PUBLISH_TEN, project=project, **variables)


def _sign_in(
    visitor: Visitor, served: Served, place: str, token: str | None = None, keep: bool = False
) -> Page:
    page = visitor.context.new_page()
    page.goto(f"{served.url}/admin#/{place}")
    page.get_by_label("Token").fill(token or _token())
    if keep:
        page.get_by_label("Keep me signed in").check()
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Sign in")).to_have_count(0)
    return page


def _rows(page: Page) -> Locator:
    return page.locator(".row")


def test_only_whoever_may_moderate_signs_in_and_the_token_stays_where_it_should(
    shared_service: Served, visit: Visit, project: str
) -> None:
    visitor = visit(shared_service.url)
    page = visitor.context.new_page()
    page.goto(f"{shared_service.url}/admin")
    field, enter = page.get_by_label("Token"), page.get_by_role("button", name="Sign in")
    field.fill("nonsense")
    enter.click()
    expect(page.get_by_role("alert")).to_contain_text("(UNAUTHENTICATED)")
    field.fill(_token("publish", "search"))
    enter.click()
    expect(page.get_by_role("alert")).to_contain_text(
        "This token grants publish, search. The console needs the permission moderate or admin."
    )
    # A token of one project leads there.
    token = _token(projects=[project], username="Mia")
    field.fill(token)
    enter.click()
    expect(page.get_by_role("heading", name=project)).to_be_visible()
    expect(page.get_by_text("Mia · moderator")).to_be_visible()
    stored = "JSON.stringify([{...localStorage}, {...sessionStorage}, location.href])"
    assert token not in page.evaluate(stored)
    page.reload()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()

    page = _sign_in(visitor, shared_service, project, token, keep=True)
    page.reload()
    expect(page.get_by_role("heading", name=project)).to_be_visible()
    assert token not in page.evaluate("JSON.stringify([{...localStorage}, location.href])")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert token not in page.evaluate(stored)
    assert visitor.elsewhere == []


def test_the_channels_are_listed_with_what_goes_on_in_them(
    shared_service: Served, visit: Visit, project: str
) -> None:
    for widget in ("chat", "poll", "poll"):
        _publish(shared_service, project, widget, 1)
    visitor = visit(shared_service.url)
    page = _sign_in(visitor, shared_service, project)
    row = page.locator("tbody tr").first
    expect(row).to_contain_text("poll2")
    expect(page.locator("tbody tr")).to_have_count(2)
    # Counts follow at once, messages and their rate within seconds.
    watching = _sign_in(visitor, shared_service, f"{project}/poll/messages")
    expect(row.locator(".count-now")).to_have_text("1")
    _publish(shared_service, project, "chat", 2)
    expect(page.locator("tbody tr").first).to_contain_text("chat2", timeout=8_000)
    expect(page.locator("tbody tr").first.locator("td").nth(2)).not_to_have_text("0")
    watching.close()
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="chat")).to_be_visible()
    expect(_rows(page)).to_have_count(2)
    visitor.expect_calm()


def test_messages_arrive_live_as_text_and_are_retracted_by_keyboard(
    shared_service: Served, visit: Visit, project: str
) -> None:
    visitor = visit(shared_service.url)
    page = _sign_in(visitor, shared_service, f"{project}/chat/messages")
    expect(page.get_by_text("No message yet.")).to_be_visible()
    _publish(shared_service, project, "chat", {"text": MARKUP, MARKUP: MARKUP}, username=MARKUP)
    expect(_rows(page).first).to_contain_text(MARKUP)
    _publish(shared_service, project, "chat", {"text": "second"}, username="Ada")
    expect(_rows(page).first).to_contain_text("second")
    # Letters that are typed into a field are no shortcuts.
    page.get_by_role("button", name="Add filter").click()
    page.get_by_label("Field").press_sequentially("jxr?")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.get_by_role("button", name="Remove this filter").click()
    expect(_rows(page)).to_have_count(2)

    page.keyboard.press("j")
    expect(_rows(page).first).to_be_focused()
    page.keyboard.press("x")
    # The rows do not move under the hands of whoever is at work on them.
    _publish(shared_service, project, "chat", {"text": "third"})
    expect(page.get_by_role("button", name="Show 1 new message")).to_be_visible()
    expect(_rows(page)).to_have_count(2)
    page.keyboard.press("r")
    dialog = page.get_by_role("dialog", name="Retract 1 message?")
    dialog.get_by_label("Reason").fill("be kind")
    dialog.get_by_role("button", name="Retract").click()
    expect(page.locator("#toasts")).to_contain_text("1 message retracted.")
    expect(page.get_by_text("second")).to_have_count(0)
    page.keyboard.press("Escape")
    expect(_rows(page)).to_have_count(2)
    expect(_rows(page).first).to_contain_text("third")
    found = _ask(shared_service, COUNT, project=project)
    assert found["data"]["messages"]["totalCount"] == 2
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    assert page.locator("main img, main script").count() == 0
    assert page.title().startswith("chat")
    visitor.expect_calm()


def test_search_has_filters_json_and_older_pages(
    shared_service: Served, visit: Visit, project: str
) -> None:
    for number in range(60):
        _publish(shared_service, project, "chat", {"n": number, "text": "x" * 600})
    visitor = visit(shared_service.url)
    page = _sign_in(visitor, shared_service, f"{project}/chat/messages")
    expect(_rows(page)).to_have_count(50)
    page.get_by_role("button", name="Older messages").click()
    expect(_rows(page)).to_have_count(60)
    expect(page.get_by_role("button", name="Older messages")).to_be_hidden()
    # Long data is folded.
    assert len(_rows(page).first.inner_text()) < 400
    _rows(page).first.get_by_role("button", name="Show all").click()
    expect(_rows(page).first).to_contain_text("x" * 600)

    page.keyboard.press("Escape")
    page.keyboard.press("/")
    page.get_by_label("Field").fill("data.n")
    page.get_by_label("Operator").select_option("GTE")
    page.get_by_label("Value").fill("57")
    page.keyboard.press("Enter")
    expect(_rows(page)).to_have_count(3)
    # A search stays live.
    _publish(shared_service, project, "chat", {"n": 1})
    _publish(shared_service, project, "chat", {"n": 60})
    page.get_by_role("heading", name="chat").click()
    expect(_rows(page)).to_have_count(4)
    page.get_by_role("button", name="JSON").click()
    filters = [{"or": [{"field": "data.n", "operator": "EQ", "value": n} for n in (3, 5)]}]
    page.get_by_label("Filters as JSON").fill(json.dumps(filters))
    page.get_by_role("button", name="Search").click()
    expect(_rows(page)).to_have_count(2)
    page.get_by_label("Filters as JSON").fill('[{"field": "nothing", "operator": "EQ"}]')
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_role("search").get_by_role("alert")).to_contain_text("(BAD_USER_INPUT)")
    page.get_by_role("button", name="Clear").click()
    expect(_rows(page)).to_have_count(50)
    visitor.expect_calm()


def test_a_list_is_bounded_at_both_ends(shared_service: Served, visit: Visit, project: str) -> None:
    """300 rows: what comes pushes the oldest out, older pages push the newest out."""
    _publish_many(shared_service, project, range(320))
    visitor = visit(shared_service.url)
    page = _sign_in(visitor, shared_service, f"{project}/chat/messages")
    expect(_rows(page)).to_have_count(50)
    older = page.get_by_role("button", name="Older messages")
    for shown in (100, 150, 200, 250, 300):
        older.click()
        expect(_rows(page)).to_have_count(shown)
    expect(_rows(page).first).to_contain_text("319")
    older.click()
    expect(_rows(page).last).to_contain_text("0")
    expect(_rows(page).first).to_contain_text("299")
    expect(_rows(page)).to_have_count(300)
    _publish(shared_service, project, "chat", 320)
    page.get_by_role("button", name="Back to the newest, 1 new").click()
    expect(_rows(page).first).to_contain_text("320")
    expect(_rows(page)).to_have_count(50)

    page.keyboard.press("j")
    _publish_many(shared_service, project, range(1000, 1310))
    page.get_by_role("button", name="Show 310 new messages").click()
    expect(_rows(page)).to_have_count(300)
    expect(_rows(page).first).to_contain_text("1309")
    expect(_rows(page).last).to_contain_text("1010")
    visitor.expect_calm()


def test_held_messages_are_approved_and_rejected(
    shared_service: Served, visit: Visit, project: str
) -> None:
    _set_policy(shared_service, project, "questions", hold="UNTIL_APPROVED")
    for number in range(3):
        _publish(shared_service, project, "questions", {"question": f"number {number}"}, "Ada")
    visitor = visit(shared_service.url)
    page = _sign_in(visitor, shared_service, f"{project}/questions/review")
    expect(_rows(page)).to_have_count(3)
    _publish(shared_service, project, "questions", {"question": "number 3"}, "Bob")
    expect(_rows(page)).to_have_count(4)
    page.keyboard.press("j")
    page.keyboard.press("a")
    expect(page.locator("#toasts")).to_contain_text("1 message published.")
    expect(_rows(page)).to_have_count(3)
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Select all").click()
    page.locator(".bulk").get_by_role("button", name="Reject").click()
    page.get_by_role("dialog").get_by_role("button", name="Reject").click()
    expect(page.get_by_text("Nothing waits for review.")).to_be_visible()
    page.get_by_role("link", name="Messages").click()
    expect(_rows(page)).to_have_count(1)
    expect(_rows(page)).to_contain_text("number 0")
    visitor.expect_calm()


def test_a_person_is_banned_from_a_message_and_let_in_again(
    shared_service: Served, visit: Visit, project: str
) -> None:
    _publish(shared_service, project, "chat", "spam", username="Troll")
    visitor = visit(shared_service.url)
    page = _sign_in(visitor, shared_service, f"{project}/chat/messages")
    _rows(page).get_by_role("button", name="Ban Troll").click()
    dialog = page.get_by_role("dialog", name="Ban a person")
    expect(dialog.get_by_label("Name", exact=True)).to_have_value("Troll")
    dialog.get_by_label("How long").select_option("3600")
    dialog.get_by_label("Reason").fill("spam")
    dialog.get_by_role("button", name="Ban").click()
    expect(page.locator("#toasts")).to_contain_text("Troll is banned.")
    refused = _publish(shared_service, project, "chat", "more", username="Troll")
    assert refused["errors"][0]["extensions"]["code"] == "FORBIDDEN"

    page.goto(f"{shared_service.url}/admin#/{project}/~bans")
    expect(_rows(page)).to_contain_text("Troll")
    expect(_rows(page)).to_contain_text("muted")
    expect(_rows(page)).to_contain_text("spam")
    page.get_by_role("button", name="Lift the ban of Troll").click()
    page.get_by_role("dialog").get_by_role("button", name="Lift the ban").click()
    expect(page.get_by_text("Nobody is banned.")).to_be_visible()
    assert "errors" not in _publish(shared_service, project, "chat", "sorry", username="Troll")
    visitor.expect_calm()


def test_the_policy_is_edited_and_the_server_says_what_is_wrong_at_the_field(
    shared_service: Served, visit: Visit, project: str
) -> None:
    visitor = visit(shared_service.url)
    page = _sign_in(visitor, shared_service, f"{project}/chat/policy")
    slow, words = page.get_by_label("Slow mode"), page.get_by_label("Blocked words")
    save = page.get_by_role("button", name="Save")
    expect(slow).to_have_value("0")
    slow.fill("90000")
    save.click()
    wrong = page.locator("#wrong-slowModeSeconds")
    expect(wrong).to_have_text("slowModeSeconds is 90000; allowed: 0 to 86400 (BAD_USER_INPUT)")
    expect(slow).to_be_focused()
    slow.fill("5")
    words.fill("idiot\nshut up")
    page.get_by_label("JSON Schema").fill("{")
    save.click()
    expect(page.locator("#wrong-dataSchema")).to_contain_text("This is no JSON")
    page.get_by_label("JSON Schema").fill('{"type": "object"}')
    page.get_by_label("Closes at").fill("2040-01-02T03:04:05")
    save.click()
    expect(page.locator("#toasts")).to_contain_text("The policy is saved.")
    policy = _ask(shared_service, POLICY, project=project)["data"]["channelPolicy"]
    assert policy.pop("closesAt") // 86_400_000 in {25568, 25569, 25570}
    assert policy == {
        "slowModeSeconds": 5,
        "blockedWords": ["idiot", "shut up"],
        "dataSchema": {"type": "object"},
    }
    # What another moderator changes is shown, unless something is being typed.
    _set_policy(shared_service, project, "chat", slowModeSeconds=7)
    expect(slow).to_have_value("7")
    words.fill("mine")
    _set_policy(shared_service, project, "chat", slowModeSeconds=9)
    expect(page.get_by_text("Somebody else has changed the policy.")).to_be_visible()
    expect(words).to_have_value("mine")
    visitor.expect_calm()


def test_a_poll_of_any_field_is_live(shared_service: Served, visit: Visit, project: str) -> None:
    for choice, score in (("forest", 1), ("forest", 2), ("harbour", 9)):
        _publish(shared_service, project, "poll", {"choice": choice, "score": score})
    visitor = visit(shared_service.url)
    page = _sign_in(visitor, shared_service, f"{project}/poll/poll")
    bars = page.get_by_label("Values, the most frequent first").get_by_role("listitem")
    expect(bars).to_have_text(["forest2 · 67 %", "harbour1 · 33 %"])
    _publish(shared_service, project, "poll", {"choice": MARKUP, "score": 6})
    expect(bars).to_have_count(3)
    expect(bars.last).to_contain_text(MARKUP)
    page.get_by_label("Average of").fill("data.score")
    page.get_by_role("button", name="Show").click()
    expect(bars.first).to_have_text("forest2 · 50 % · ⌀ 1.5")
    page.get_by_label("Field", exact=True).first.fill("nothing")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_text("(BAD_USER_INPUT)")).to_be_visible()
    visitor.expect_calm()


def test_an_export_has_every_message_as_it_was_published_and_then_all_are_deleted(
    shared_service: Served, visit: Visit, project: str, tmp_path: Path
) -> None:
    """A page that parsed the numbers would round them."""
    large = 12345678901234567890123
    texts = ['a "quoted", text', "}]", 'x,"data":', "\\"]
    for text in texts:
        _publish(shared_service, project, "chat", {"n": large, "text": text}, username=text)
    visitor = visit(shared_service.url, accept_downloads=True)
    token = _token("search", "subscribe", "admin")
    page = _sign_in(visitor, shared_service, f"{project}/chat/data", token)

    def export(kind: str) -> Path:
        page.get_by_label("Format").select_option(kind)
        with page.expect_download() as download:
            page.get_by_role("button", name="Export").click()
        expect(page.get_by_text("4 messages exported.")).to_be_visible()
        assert download.value.suggested_filename == f"{project}-chat.{kind}"
        path = tmp_path / kind
        download.value.save_as(path)
        return path

    records = [json.loads(line) for line in export("jsonl").read_text().splitlines()]
    assert [record["data"] for record in records] == [{"n": large, "text": one} for one in texts]
    assert [record["username"] for record in records] == texts
    with export("csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = ["widget_id", "id", "client_id", "created", "username"]
    assert [{name: str(record[name]) for name in names} for record in records] == [
        {name: row[name] for name in names} for row in rows
    ]
    assert [json.loads(row["data"]) for row in rows] == [record["data"] for record in records]

    deleting = page.locator(".danger-zone")
    deleting.get_by_text("Filter messages").click()
    deleting.get_by_role("button", name="Add filter").click()
    deleting.get_by_label("Field").fill("data.text")
    deleting.get_by_label("Value").fill("none of them")
    page.get_by_role("button", name="Delete messages").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Delete 0 messages for good?")
    dialog.get_by_role("button", name="Cancel").click()
    deleting.get_by_role("button", name="Clear").click()
    page.get_by_role("button", name="Delete messages").click()
    dialog = page.get_by_role("dialog", name="Delete 4 messages for good?")
    delete = dialog.get_by_role("button", name="Delete permanently")
    delete.click()
    expect(dialog.get_by_role("alert")).to_contain_text("Type chat to confirm.")
    dialog.get_by_label("To confirm").fill("chat")
    delete.click()
    expect(page.locator("#toasts")).to_contain_text("4 messages deleted.")
    visitor.expect_calm()


def test_nothing_is_missed_while_the_connection_is_away(
    shared_service: Served, visit: Visit, project: str
) -> None:
    _publish(shared_service, project, "chat", "before")
    visitor = visit(shared_service.url)
    cable = Cable(visitor)
    page = _sign_in(visitor, shared_service, f"{project}/chat/messages")
    expect(_rows(page)).to_have_count(1)
    cable.pull()
    expect(page.locator("#link")).to_have_text("Offline. Reconnecting …")
    _publish(shared_service, project, "chat", "meanwhile")
    cable.put_back(page)
    expect(page.locator("#link")).to_have_text("Live")
    expect(_rows(page).first).to_contain_text("meanwhile")
    expect(_rows(page)).to_have_count(2)


def test_a_new_token_goes_on_in_place(shared_service: Served, visit: Visit, project: str) -> None:
    """On the open socket before the old one expires, and after the server has let it go."""
    visitor = visit(shared_service.url)
    sockets: list[WebSocketRoute] = []

    def connect(socket: WebSocketRoute) -> None:
        socket.connect_to_server()
        sockets.append(socket)

    visitor.context.route_web_socket("**/graphql", connect)
    soon = _token(exp=int(time.time()) + 40, username="Early")
    page = _sign_in(visitor, shared_service, f"{project}/chat/messages", soon)
    expect(page.get_by_text("No message yet.")).to_be_visible()
    expiring = page.locator("#expiring")
    expect(expiring).to_contain_text("Your token expires within a minute.")
    expiring.get_by_role("button", name="New token").click()
    dialog = page.get_by_role("dialog", name="New token")
    dialog.get_by_label("Token").fill(_token("search"))
    dialog.get_by_role("button", name="Go on").click()
    expect(dialog.get_by_role("alert")).to_contain_text("needs the permission moderate or admin")
    dialog.get_by_label("Token").fill(_token(username="Late"))
    dialog.get_by_role("button", name="Go on").click()
    expect(page.get_by_text("Late · moderator")).to_be_visible()
    expect(expiring).to_be_hidden()
    assert len(sockets) == 1

    sockets[0].close(code=4403, reason="the token has expired")
    expect(dialog).to_contain_text("the token has expired")
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    expect(dialog).to_be_visible()
    _publish(shared_service, project, "chat", "meanwhile")
    dialog.get_by_label("Token").fill(_token(username="Later"))
    dialog.get_by_role("button", name="Go on").click()
    expect(_rows(page)).to_contain_text("meanwhile")
    assert len(sockets) == 2


UNNAMED = """() => [...document.querySelectorAll("button, input, select, textarea, a, progress")]
    .filter((one) => one.checkVisibility())
    .filter((one) => !(one.ariaLabel || one.innerText?.trim() || one.labels?.[0]?.innerText))
    .map((one) => one.outerHTML)"""


def test_every_view_fits_a_phone_and_names_its_controls(
    shared_service: Served, visit: Visit, project: str, tmp_path: Path
) -> None:
    long = {"text": "w" * 3000, "k" * 300: {"deep": [1, 2, 3]}}
    _publish(shared_service, project, "chat", long, username="N" * 200)
    _publish(shared_service, project, "w" * 64, long)
    _set_policy(shared_service, project, "held", hold="UNTIL_APPROVED")
    _publish(shared_service, project, "held", long, username="N" * 200)
    ban = {"username": "N" * 200, "reason": "r" * 400, "mode": "SHADOW"}
    assert "errors" not in _ask(shared_service, BAN, project=project, ban=ban)
    visitor = visit(shared_service.url, viewport={"width": 390, "height": 844}, color_scheme="dark")
    token = _token("search", "subscribe", "admin")
    page = _sign_in(visitor, shared_service, "", token)
    for place, shown in {
        "": ".sign-in",
        project: "tbody tr",
        f"{project}/~bans": ".row",
        f"{project}/chat/messages": ".row",
        f"{project}/held/review": ".row",
        f"{project}/chat/poll": ".bars .bar",
        f"{project}/{'w' * 64}/policy": "fieldset:enabled",
        f"{project}/chat/data": "progress",
    }.items():
        page.goto(f"{shared_service.url}/admin#/{place}")
        page.locator(shown).first.wait_for(state="attached")
        assert page.evaluate("document.documentElement.scrollWidth") == 390, place
        assert page.evaluate(UNNAMED) == [], place
        page.screenshot(path=tmp_path / f"{place.replace('/', '-') or 'project'}.png")
    visitor.expect_calm()


def _set_policy(served: Served, project: str, widget: str, **policy: Any) -> None:
    answer = _ask(served, SET_POLICY, project=project, widget=widget, policy=policy)
    assert "errors" not in answer
