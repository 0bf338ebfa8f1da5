"""Rights: what the token grants, less what bans take away, as of now."""

import asyncio
from itertools import count, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.ban import Ban, BanMode, Identity, IdentityKind
from app.domain.channel import Channel
from app.domain.viewer import DEFAULT_PERMISSIONS, Permission, Viewer
from app.errors import Forbidden, Unauthenticated
from app.services.rights import Rights, present_ms
from tests.test_mirrored import ROOT

NAMES = ("a", "b")
PROJECTS = ("p", "q")
ANN = Viewer("Ann", DEFAULT_PERMISSIONS, subject="u1")
BOB = Viewer("Bob", DEFAULT_PERMISSIONS, subject="u2")
ANYBODY = Viewer(None, DEFAULT_PERMISSIONS, anonymous=True)
HERE, THERE = Channel("p", "w"), Channel("q", "w")
_ids = count(1)


class Clock:
    def __init__(self) -> None:
        self.now = 1_000

    def __call__(self) -> int:
        return self.now


def ban(
    kind: IdentityKind,
    name: str,
    mode: BanMode = BanMode.MUTE,
    until: int | None = None,
    project_id: str = "p",
) -> Ban:
    return Ban(str(next(_ids)), project_id, Identity(kind, name), mode, until)


def known(*bans: Ban, clock: Clock | None = None) -> Rights:
    rights = Rights(clock or Clock())
    for one in bans:
        rights.changed(one.key, one)
    return rights


def test_the_present_is_in_milliseconds() -> None:
    assert 1_700_000_000_000 < present_ms() < 10_000_000_000_000


def test_what_the_token_does_not_grant_is_refused_before_any_ban() -> None:
    rights = known(ban(IdentityKind.SUB, "u1", BanMode.KICK))
    with pytest.raises(Forbidden, match="permission 'moderate'"):
        rights.require(ANN, Permission.MODERATE, HERE)
    with pytest.raises(Unauthenticated):
        rights.require(Viewer(None, frozenset(), anonymous=True), Permission.SEARCH, HERE)


@pytest.mark.parametrize("one", [ban(IdentityKind.SUB, "u1"), ban(IdentityKind.USERNAME, "Ann")])
def test_a_ban_is_about_one_person_in_one_project(one: Ban) -> None:
    rights = known(one)
    with pytest.raises(Forbidden, match="you are muted in the project 'p' permanently"):
        rights.require(ANN, Permission.PUBLISH, HERE)
    rights.require(ANN, Permission.SUBSCRIBE, HERE)
    rights.require(ANN, Permission.PUBLISH, THERE)
    rights.require(BOB, Permission.PUBLISH, HERE)
    rights.require(ANYBODY, Permission.PUBLISH, HERE)
    rights.changed(one.key, None)
    rights.changed(one.key, None)
    rights.require(ANN, Permission.PUBLISH, HERE)


def test_a_name_of_one_kind_is_no_name_of_another() -> None:
    rights = known(ban(IdentityKind.USERNAME, "u1"), ban(IdentityKind.SUB, "Ann"))
    rights.require(ANN, Permission.PUBLISH, HERE)


def test_a_ban_ends_by_itself() -> None:
    clock = Clock()
    rights = known(ban(IdentityKind.SUB, "u1", BanMode.KICK, until=2_000), clock=clock)
    clock.now = 1_999
    assert rights.kicked_from(ANN, "p") is not None
    clock.now = 2_000
    assert rights.kicked_from(ANN, "p") is None
    rights.require(ANN, Permission.PUBLISH, HERE)


def test_only_a_shadow_ban_shadows() -> None:
    shadow = ban(IdentityKind.SUB, "u1", BanMode.SHADOW)
    rights = known(shadow)
    assert rights.shadows(ANN, HERE)
    assert not rights.shadows(ANN, THERE)
    assert not rights.shadows(BOB, HERE)
    rights.require(ANN, Permission.PUBLISH, HERE)
    # Whoever is muted as well is refused, and so may know.
    mute = ban(IdentityKind.USERNAME, "Ann")
    rights.changed(mute.key, mute)
    assert not rights.shadows(ANN, HERE)


names = st.sampled_from(NAMES)
bans = st.lists(
    st.builds(
        ban,
        st.sampled_from([IdentityKind.SUB, IdentityKind.USERNAME]),
        names,
        st.sampled_from(BanMode),
        st.none() | st.integers(0, 4),
        st.sampled_from(PROJECTS),
    ),
    max_size=8,
)
viewers = st.builds(
    lambda username, subject: Viewer(username, frozenset(Permission), subject=subject),
    st.none() | names,
    st.none() | names,
)


@given(bans, st.sets(st.integers(0, 7)), viewers, st.sampled_from(PROJECTS), st.integers(0, 4))
def test_rights_are_those_of_a_plain_list_of_bans(
    placed: list[Ban], lifted: set[int], viewer: Viewer, project_id: str, now: int
) -> None:
    clock = Clock()
    clock.now = now
    rights = Rights(clock)
    model: list[Ban] = []
    for place, one in enumerate(placed):
        model = [other for other in model if other.key != one.key]
        rights.changed(one.key, one)
        if place in lifted:
            rights.changed(one.key, None)
        else:
            model.append(one)
    about = [
        one
        for one in model
        if one.project_id == project_id
        and (
            (one.identity.kind is IdentityKind.SUB and one.identity.name == viewer.subject)
            or (one.identity.kind is IdentityKind.USERNAME and one.identity.name == viewer.username)
        )
        and (one.until is None or now < one.until)
    ]
    modes = {one.mode for one in about}
    refused = {
        permission for permission in Permission if refuses(rights, viewer, permission, project_id)
    }
    assert refused == {p for p in Permission if any(one.takes(p) for one in about)}
    assert rights.shadows(viewer, Channel(project_id, "w")) == (modes == {BanMode.SHADOW})
    assert (rights.kicked_from(viewer, project_id) is not None) == (BanMode.KICK in modes)


def refuses(rights: Rights, viewer: Viewer, permission: Permission, project_id: str) -> bool:
    try:
        rights.require_in_project(viewer, permission, project_id)
    except Forbidden:
        return True
    return False


class Connection:
    def __init__(self) -> None:
        self.told: list[str] = []

    def kicked(self, project_id: str) -> None:
        self.told.append(project_id)


def test_connections_of_the_person_are_told_of_a_kick() -> None:
    rights = Rights()
    anns, bobs, nobodys = Connection(), Connection(), Connection()
    for viewer, connection in ((ANN, anns), (BOB, bobs), (ANYBODY, nobodys)):
        rights.watch(viewer, connection)
    for mode in BanMode:
        one = ban(IdentityKind.USERNAME, "Ann", mode)
        rights.changed(one.key, one)
    assert (anns.told, bobs.told, nobodys.told) == (["p"], [], [])


def test_a_connection_that_is_gone_is_not_told() -> None:
    rights = Rights()
    first, second = Connection(), Connection()
    rights.watch(ANN, first)
    rights.watch(ANN, second)
    rights.unwatch(ANN, first)
    rights.unwatch(ANN, first)
    one = ban(IdentityKind.SUB, "u1", BanMode.KICK)
    rights.changed(one.key, one)
    assert (first.told, second.told) == ([], ["p"])


@pytest.mark.anyio
async def test_many_connections_of_one_person_are_told_in_turns() -> None:
    """A name that ten thousand share must not hold up everybody else."""
    rights = Rights()
    connections = [Connection() for _ in range(1_000)]
    for connection in connections:
        rights.watch(ANN, connection)
    for name, project_id in (("u1", "p"), ("u1", "q")):
        one = ban(IdentityKind.SUB, name, BanMode.KICK, project_id=project_id)
        rights.changed(one.key, one)
    told = [sum(len(connection.told) for connection in connections)]
    while told[-1] < 2_000:
        await asyncio.sleep(0)
        told.append(sum(len(connection.told) for connection in connections))
    assert max(after - before for before, after in pairwise(told)) <= 50
    assert {tuple(connection.told) for connection in connections} == {("p", "q")}


def test_every_service_asks_here() -> None:
    """A viewer alone knows what its token grants, and nothing of a ban."""
    asking = {
        str(path.relative_to(ROOT))
        for room in ("services", "schema", "transports")
        for path in (ROOT / "app" / room).rglob("*.py")
        if "viewer.require" in path.read_text(encoding="utf-8")
    }
    assert asking == {"app/services/rights.py"}
