"""What a ban takes away, whom it is about, and what a moderator may ask for."""

from typing import Any

import pytest

from app.domain.ban import (
    MAX_UNTIL,
    Ban,
    BanKey,
    BanMode,
    BanRequest,
    Identity,
    IdentityKind,
    identities,
    strictest,
)
from app.domain.viewer import DEFAULT_PERMISSIONS, Permission, Viewer
from app.errors import BadUserInput

NOW = 1_800_000_000_000
ANN = Identity(IdentityKind.USERNAME, "Ann")


def ban(mode: BanMode = BanMode.MUTE, until: int | None = None, reason: str | None = None) -> Ban:
    return Ban("id", "show", ANN, mode, until, reason)


def asked(**arguments: Any) -> BanRequest:
    given = {"username": None, "sub": None, "client_id": None, "until": None, "reason": None}
    return BanRequest.of(**{"mode": BanMode.MUTE, "now_ms": NOW, **given, **arguments})


def test_a_ban_is_of_one_person_in_one_project() -> None:
    assert ban().key == BanKey("show", ANN) == ban(BanMode.KICK, 5).key


@pytest.mark.parametrize(
    ("mode", "left"),
    [
        (BanMode.MUTE, {Permission.SUBSCRIBE, Permission.SEARCH}),
        (BanMode.SHADOW, {Permission.PUBLISH, Permission.SUBSCRIBE, Permission.SEARCH}),
        (BanMode.KICK, set()),
    ],
)
def test_each_mode_takes_away_what_it_says(mode: BanMode, left: set[Permission]) -> None:
    assert {one for one in Permission if not ban(mode).takes(one)} == left


def test_it_holds_until_its_time() -> None:
    assert ban().holds_at(MAX_UNTIL)
    assert ban(until=NOW).holds_at(NOW - 1)
    assert not ban(until=NOW).holds_at(NOW)


@pytest.mark.parametrize(
    ("told", "one"),
    [
        ("you are muted in the project 'show' permanently", ban()),
        (
            "you are banned in the project 'show' until 2027-01-15 08:00:00 UTC; reason: spam",
            ban(BanMode.KICK, NOW, "spam"),
        ),
        ("you are banned in the project 'show' until 9999-12-31 23:59:59 UTC", None),
    ],
)
def test_the_person_is_told_until_when_and_why(told: str, one: Ban | None) -> None:
    assert (one or ban(BanMode.KICK, MAX_UNTIL)).refusal() == told


def test_of_several_the_strictest_counts_then_the_longest() -> None:
    shadow, mute, kick = (ban(mode) for mode in (BanMode.SHADOW, BanMode.MUTE, BanMode.KICK))
    short, long = ban(until=NOW), ban(until=NOW + 1)
    assert strictest(()) is None
    assert strictest((mute, kick, shadow)) is kick
    assert strictest((shadow, mute)) is mute
    assert strictest((short, mute, long)) is mute
    assert strictest((long, short)) is long


def test_a_viewer_is_known_by_what_is_proven() -> None:
    anonymous = Viewer(None, DEFAULT_PERMISSIONS, anonymous=True)
    assert not list(identities(anonymous))
    known = Viewer("Ann", DEFAULT_PERMISSIONS, subject="u1", client_id="signed-c1")
    assert set(identities(known)) == {
        ANN,
        Identity(IdentityKind.SUB, "u1"),
        Identity(IdentityKind.CLIENT_ID, "signed-c1"),
    }


@pytest.mark.parametrize(
    "names",
    [{"username": "x" * 256}, {"sub": "auth0|é"}, {"client_id": "signed-c1"}],
)
def test_one_name_is_enough(names: dict[str, str]) -> None:
    request = asked(**names, until=NOW + 1, reason="x" * 500)
    assert request.identity.name in names.values()
    assert (request.until, request.reason) == (NOW + 1, "x" * 500)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            {},
            "exactly one of input.username, input.sub and input.clientId is required; "
            "got none of them",
        ),
        (
            {"username": "a", "client_id": "b"},
            "exactly one of .*; got input.username and input.clientId",
        ),
        ({"username": "", "sub": ""}, "got input.username and input.sub"),
        ({"username": ""}, "input.username is ''; allowed: 1 to 256 printable characters"),
        ({"sub": "x" * 257}, "input.sub is 'x+…; allowed: 1 to 256"),
        ({"sub": "a\nb"}, r"input.sub is 'a\\nb'; allowed"),
        ({"client_id": "c1"}, "input.clientId is 'c1'; expected an id that the server signed"),
        ({"client_id": "x" * 129}, "input.clientId is 'x+…; allowed: 1 to 128"),
        ({"client_id": "\ud800"}, "input.clientId is .*; allowed"),
        ({"sub": "a", "until": NOW}, f"input.until is {NOW}; allowed: milliseconds after now"),
        ({"sub": "a", "until": -1}, "input.until is -1; allowed"),
        ({"sub": "a", "until": MAX_UNTIL + 1}, f"up to {MAX_UNTIL}; null for a permanent ban"),
        ({"sub": "a", "reason": ""}, "input.reason is ''; allowed: 1 to 500 printable"),
        ({"sub": "a", "reason": "x" * 501}, "input.reason is 'x+…; allowed: 1 to 500"),
        ({"sub": "a", "reason": "\u202egnp"}, "input.reason is .*; allowed"),
    ],
)
def test_what_is_wrong_is_named(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(BadUserInput, match=told) as refused:
        asked(**arguments)
    refused.value.message.encode()
