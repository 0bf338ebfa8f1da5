"""The table of errors against what clients are promised, row by row, on every transport."""

import importlib
import pkgutil
import re
from http import HTTPStatus
from pathlib import Path
from typing import Final

import pytest

import app
from app.errors import ErrorCode, WidgetwireError
from app.wire.close_codes import CloseCode
from app.wire.outcomes import OUTCOMES, outcome_of

ROOT: Final = Path(__file__).parents[2]

COME_BACK: Final = {1001, 1012, 1013, 4403, 4408}
FINAL: Final = {1009, 4400, 4401, 4406, 4409, 4429}
"""Close codes, as clients are promised them."""

# `extensions.code`, HTTP status, close code, temporary.
EXPECTED: Final = {
    "BadUserInput": ("BAD_USER_INPUT", 400, 4400, False),
    "BeyondBounds": ("BAD_USER_INPUT", 400, 4400, False),
    "DatabaseBusy": ("UNAVAILABLE", 503, 1013, True),
    "DatabaseLost": ("UNAVAILABLE", 503, 1013, True),
    "DatabaseRefuses": ("UNAVAILABLE", 503, 1013, True),
    "DatabaseTookTooLong": ("UNAVAILABLE", 503, 1013, True),
    "DeliveryFailed": ("UNAVAILABLE", 503, 1013, True),
    "Forbidden": ("FORBIDDEN", 403, 4401, False),
    "KeysWanted": ("UNAVAILABLE", 503, 1013, True),
    "PayloadTooLarge": ("PAYLOAD_TOO_LARGE", 413, 1009, False),
    "Rejected": ("REJECTED", 403, 4400, False),
    "RateLimited": ("RATE_LIMITED", 429, 4429, True),
    "RightWithdrawn": ("FORBIDDEN", 403, 4403, True),
    "ShuttingDown": ("UNAVAILABLE", 503, 1012, True),
    "SubscriberTooSlow": ("UNAVAILABLE", 503, 1013, True),
    "TokenExpired": ("UNAUTHENTICATED", 401, 4403, True),
    "Unauthenticated": ("UNAUTHENTICATED", 401, 4401, False),
    "Unavailable": ("UNAVAILABLE", 503, 1013, True),
    "UnknownCursor": ("UNKNOWN_CURSOR", 400, 4400, False),
    "WidgetwireError": ("INTERNAL_SERVER_ERROR", 500, 1011, False),
}


def every_error(above: type[WidgetwireError] = WidgetwireError) -> list[type[WidgetwireError]]:
    """Return the base and each class of the tree that `app` defines, wherever it stands."""
    below = [one for one in above.__subclasses__() if one.__module__.startswith("app.")]
    return [above, *(each for one in below for each in every_error(one))]


for _module in pkgutil.walk_packages(app.__path__, "app."):
    if not _module.name.endswith("__main__"):
        importlib.import_module(_module.name)

ERRORS: Final = every_error()


def made(kind: type[WidgetwireError]) -> WidgetwireError:
    """Return an instance, whatever the class wants to be made from."""
    return kind.__new__(kind)


def test_no_error_is_forgotten() -> None:
    """A new error fails here until somebody has decided what clients do about it."""
    assert {kind.__name__ for kind in ERRORS} == EXPECTED.keys()


@pytest.mark.parametrize("kind", ERRORS)
def test_each_row_is_what_clients_are_promised(kind: type[WidgetwireError]) -> None:
    outcome = outcome_of(made(kind))
    row = (kind.code.value, outcome.status, outcome.close, outcome.temporary)
    assert row == EXPECTED[kind.__name__]


@pytest.mark.parametrize("kind", ERRORS)
def test_a_close_code_sends_back_those_that_may_succeed_then(kind: type[WidgetwireError]) -> None:
    """But for RATE_LIMITED: one request may be repeated, a socket would overdo it again."""
    outcome = outcome_of(made(kind))
    assert outcome.close in COME_BACK | FINAL | {CloseCode.INTERNAL_ERROR}
    assert (outcome.close in COME_BACK) is (outcome.temporary and kind.__name__ != "RateLimited")


@pytest.mark.parametrize("kind", ERRORS)
def test_retry_after_goes_with_503_and_429(kind: type[WidgetwireError]) -> None:
    outcome = outcome_of(made(kind))
    assert ("retry-after" in outcome.headers) is (outcome.status in {429, 503})
    assert ("www-authenticate" in outcome.headers) is (outcome.status == 401)


def test_what_is_not_ours_is_our_mistake() -> None:
    outcome = outcome_of(ValueError("x"))
    assert (outcome.status, outcome.close) == (HTTPStatus.INTERNAL_SERVER_ERROR, 1011)
    assert not outcome.temporary


# The documents, and the client that we ship.


def table(document: str, heading: str) -> dict[int, str]:
    """Return the last cell of each row of the table below a heading, by the codes of the first."""
    section = (ROOT / "docs" / document).read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| ([\d, ]+) \|.*\| ?(.*?) ?\|$", section, re.MULTILINE)
    return {int(code): last for codes, last in rows for code in codes.split(", ")}


@pytest.mark.parametrize(
    ("document", "yes", "no"), [("GRAPHQL.md", "yes", "no"), ("PROTOCOL.md", "come back", "stay")]
)
def test_the_documents_tell_the_same_close_codes(document: str, yes: str, no: str) -> None:
    told = table(document, "Close codes")
    come_back = {code for code, last in told.items() if last.startswith(yes)}
    final = {code for code, last in told.items() if last.startswith(no)}
    assert come_back == COME_BACK
    # 4406 is about subprotocols, of which the legacy socket has none.
    assert final == FINAL - ({4406} if document == "PROTOCOL.md" else set())
    assert {outcome.close for outcome in OUTCOMES.values()} <= come_back | final | {1011}


def test_the_document_tells_each_status() -> None:
    text = (ROOT / "docs" / "GRAPHQL.md").read_text()
    statuses = {int(status) for status in re.findall(r"^\| (\d{3}) \|", text, re.MULTILINE)}
    assert {outcome.status for outcome in OUTCOMES.values()} <= statuses


def test_the_document_tells_each_code() -> None:
    text = (ROOT / "docs" / "GRAPHQL.md").read_text()
    assert {code.value for code in ErrorCode} <= set(re.findall(r"^\| `([A-Z_]+)`", text, re.M))


@pytest.mark.parametrize("script", ["player-api.js", "demo/graphql.js"])
def test_our_own_clients_stay_away_after_the_final_codes(script: str) -> None:
    text = (ROOT / "app" / "static" / script).read_text()
    listed = re.search(r"FINAL = new Set\(\[([\d, ]+)\]\)", text)
    assert listed is not None
    codes = {int(code) for code in listed[1].split(", ")}
    assert FINAL - {4406} <= codes
    assert not codes & COME_BACK
