"""Client tokens: what proves a client id, and that nothing else does."""

import base64
import json
import string
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.channel import checked_client_id
from app.domain.viewer import DEFAULT_PERMISSIONS, SIGNED_PREFIX, Viewer
from app.errors import TokenExpired, Unauthenticated, WidgetwireError
from app.services.client_ids import (
    CLIENT_TOKEN_SECONDS,
    MAX_CLIENT_TOKEN,
    ClientIds,
)
from app.transports.auth.authenticator import Authenticator
from app.transports.auth.keys import VerificationKey
from app.transports.auth.verification import Verification

SECRET = "a secret of thirty-two bytes, at least"
OTHER = "quite another secret of thirty-two bytes"
IDS = ClientIds([SECRET])
ID = IDS.new_id()
TOKEN = IDS.signed(ID).token

_ALPHABET = string.ascii_letters + string.digits + "-_."


class Clock:
    """A clock that stands where it is put."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def _parts(token: str) -> list[dict[str, Any]]:
    """Return header and claims of a token."""
    return [
        json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        for part in token.split(".")[:2]
    ]


def test_a_token_proves_the_id_it_was_made_for() -> None:
    assert IDS.verified(TOKEN) == IDS.verified(TOKEN) == ID
    assert checked_client_id("clientId", ID).startswith(SIGNED_PREFIX)
    assert len({IDS.new_id() for _ in range(100)}) == 100
    assert len(TOKEN) < MAX_CLIENT_TOKEN / 2


def test_a_token_says_what_it_is_for_when_it_was_issued_and_when_it_ends() -> None:
    clock = Clock()
    header, claims = _parts(ClientIds([SECRET], clock).signed(ID).token)
    assert header == {"alg": "HS256", "typ": "widgetwire-client+jwt"}
    assert claims == {"client_id": ID, "iat": 1_000_000, "exp": 1_000_000 + CLIENT_TOKEN_SECONDS}


def test_a_token_is_good_for_400_days_and_a_renewed_one_for_400_more() -> None:
    clock = Clock()
    ids = ClientIds([SECRET], clock)
    token = ids.signed(ID).token
    clock.now += CLIENT_TOKEN_SECONDS - 1
    renewed = ids.signed(ids.verified(token)).token
    clock.now += 1
    for _ in range(2):  # also the second time, when it is known
        with pytest.raises(TokenExpired, match="the client token has expired"):
            ids.verified(token)
    clock.now += CLIENT_TOKEN_SECONDS - 2
    assert ids.verified(renewed) == ID


def test_a_known_token_expires_too() -> None:
    clock = Clock()
    ids = ClientIds([SECRET], clock)
    token = ids.signed(ID).token
    assert ids.verified(token) == ID
    clock.now += CLIENT_TOKEN_SECONDS
    with pytest.raises(TokenExpired):
        ids.verified(token)


def test_the_first_secret_signs_and_all_verify() -> None:
    """So one can be replaced: first it joins, then it leads, then the old one goes."""
    for ids in (ClientIds([SECRET, OTHER]), ClientIds([OTHER, SECRET])):
        assert ids.verified(TOKEN) == ID
    assert ClientIds([OTHER]).verified(ClientIds([OTHER, SECRET]).signed(ID).token) == ID


def test_a_token_of_another_server_is_refused() -> None:
    with pytest.raises(Unauthenticated, match=r"does not match: another server signed it"):
        ClientIds([OTHER, OTHER[::-1]]).verified(TOKEN)


def test_a_token_of_a_user_proves_no_client_id() -> None:
    """Even with one secret for both."""
    claims = {"sub": "u", "client_id": ID, "iat": 1, "exp": 10**10}
    for header in ({}, {"typ": "JWT"}, {"typ": None}):
        user = jwt.encode(claims, SECRET, "HS256", headers=header)
        with pytest.raises(Unauthenticated, match="for another purpose"):
            IDS.verified(user)
    posing = jwt.encode(claims, SECRET, "HS256", headers={"typ": "widgetwire-client+jwt"})
    with pytest.raises(Unauthenticated, match="signature does not match"):
        IDS.verified(posing)


def test_a_client_token_is_no_token_of_a_user() -> None:
    authenticator = Authenticator(
        Verification([VerificationKey.from_secret(SECRET)]), client_ids=IDS
    )
    with pytest.raises(Unauthenticated, match="signature does not match"):
        authenticator.viewer(TOKEN)


@pytest.mark.parametrize("algorithm", ["none", "HS384", "RS256"])
def test_the_algorithm_is_ours_whatever_the_token_says(algorithm: str) -> None:
    header = json.dumps({"alg": algorithm, "typ": "widgetwire-client+jwt"}).encode()
    forged = ".".join(
        [base64.urlsafe_b64encode(header).decode().rstrip("="), *TOKEN.split(".")[1:]]
    )
    with pytest.raises(Unauthenticated, match="the client token is not one"):
        IDS.verified(forged)
    with pytest.raises(Unauthenticated, match="the client token is not one"):
        IDS.verified(forged.rpartition(".")[0] + ".")


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "null",
        pytest.param(ID, id="an id without its token"),
        "é" * 10,
        "a.b.c",
        "bnVsbA.bnVsbA.bnVsbA",
        "W10.W10.W10",
        f"{TOKEN}, {TOKEN}",
        "[" * MAX_CLIENT_TOKEN,
        base64.urlsafe_b64encode(b"[" * 370).decode() + ".e30.e30",
        "\ud800",
    ],
)
def test_rubbish_is_refused_in_words(token: str) -> None:
    with pytest.raises(Unauthenticated, match="the client token is not one") as raised:
        IDS.verified(token)
    assert type(raised.value) is Unauthenticated


def test_a_huge_token_is_refused_unread_and_not_repeated_in_the_log() -> None:
    with pytest.raises(Unauthenticated, match="has 1000000 characters; allowed are 512") as raised:
        IDS.verified("x" * 1_000_000)
    assert raised.value.reason == "the client token has more than 512 characters"


def test_claims_of_another_form_are_refused() -> None:
    jws = jwt.PyJWS()
    for claims in (b"", b"[]", b"{}", b'{"client_id": 1, "iat": 1, "exp": 1}', b"\xff"):
        token = jws.encode(claims, IDS._keys[0], "HS256", {"typ": "widgetwire-client+jwt"})
        with pytest.raises(Unauthenticated, match="the client token is not one"):
            IDS.verified(token)


def test_what_is_known_of_tokens_is_bounded() -> None:
    ids = ClientIds([SECRET])
    first = ids.signed("signed-first").token
    ids.verified(first)
    ids._verified |= {str(number): ("", 0) for number in range(4095)}
    ids.verified(TOKEN)
    assert len(ids._verified) == 4096
    assert first not in ids._verified


def test_a_client_is_offered_its_own_id_or_a_new_one_where_nothing_else_names_it() -> None:
    anybody = Viewer(None, DEFAULT_PERMISSIONS, anonymous=True)
    client = IDS.offered(anybody)
    assert client is not None
    assert IDS.verified(client.token) == client.id != ID
    for known in (
        Viewer(None, DEFAULT_PERMISSIONS, anonymous=True, client_id=ID),
        Viewer("anna", DEFAULT_PERMISSIONS, subject="u1", client_id=ID),
    ):
        offered = IDS.offered(known)
        assert offered is not None
        assert (offered.id, IDS.verified(offered.token)) == (ID, ID)
    assert IDS.offered(Viewer("anna", DEFAULT_PERMISSIONS, subject="u1")) is None
    assert IDS.offered(Viewer("anna", DEFAULT_PERMISSIONS)) is not None


@given(st.text() | st.text(_ALPHABET) | st.lists(st.text(_ALPHABET), max_size=4).map(".".join))
def test_no_text_proves_an_id(text: str) -> None:
    with pytest.raises(Unauthenticated):
        IDS.verified(text)


@given(st.data())
def test_a_token_that_was_changed_anywhere_proves_nothing(data: st.DataObject) -> None:
    """Also where a lenient decoder of base64 would read the same signature."""
    place = data.draw(st.integers(0, len(TOKEN)))
    kept = data.draw(st.integers(place, min(len(TOKEN), place + 2)))
    changed = TOKEN[:place] + data.draw(st.text(_ALPHABET + "=\n +/", max_size=2)) + TOKEN[kept:]
    if changed == TOKEN:
        return
    with pytest.raises(Unauthenticated):
        IDS.verified(changed)


@given(st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text()))
def test_no_header_breaks_the_parser(header: dict[str, Any]) -> None:
    part = base64.urlsafe_b64encode(json.dumps(header).encode()).decode().rstrip("=")
    try:
        IDS.verified(".".join([part, *TOKEN.split(".")[1:]]))
    except WidgetwireError as error:
        assert isinstance(error, Unauthenticated)  # noqa: PT017  nothing else may come
    else:
        raise AssertionError("a header that was not signed was taken")
