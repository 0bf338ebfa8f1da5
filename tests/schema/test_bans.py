"""Bans in GraphQL: what comes in reaches the service, and what it says comes out."""

import json
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from app.domain.ban import Ban, BanMode, BanRequest, Identity, IdentityKind
from app.engine.execution import Executor
from app.schema import build_schema
from tests.turns import Turns

pytestmark = pytest.mark.anyio

NOW = 1_800_000_000_000
EXECUTOR = Executor.of(build_schema())
FIELDS = "id projectId username sub clientId until reason mode"
BAN = f'mutation ($input: BanInput!) {{ ban(projectId: "p", input: $input) {{ {FIELDS} }} }}'
LIST = f'{{ bans(projectId: "p") {{ {FIELDS} }} }}'


class Bans:
    """The service, as the resolvers see it."""

    def __init__(self, known: Sequence[Ban] = ()) -> None:
        self.known = known
        self.lifted: list[tuple[str, str]] = []

    def present_ms(self) -> int:
        return NOW

    async def ban(self, _viewer: object, project_id: str, request: BanRequest) -> Ban:
        return Ban("new", project_id, request.identity, request.mode, request.until, request.reason)

    async def unban(self, _viewer: object, project_id: str, ban_id: str) -> bool:
        self.lifted.append((project_id, ban_id))
        return True

    async def bans(self, _viewer: object, _project_id: str) -> Sequence[Ban]:
        return self.known


async def answer(bans: Bans, document: str, **variables: Any) -> Any:
    context = SimpleNamespace(viewer=None, services=SimpleNamespace(bans=bans))
    return json.loads(await EXECUTOR.execute(EXECUTOR.prepare(document), variables, context))


def shown(**fields: Any) -> dict[str, Any]:
    names = dict.fromkeys(("username", "sub", "clientId", "until", "reason"))
    return {"projectId": "p", "mode": "MUTE", **names, **fields}


@pytest.mark.parametrize(
    "given",
    [
        {"username": "Ann"},
        {"sub": "u1", "until": NOW + 1, "reason": "spam", "mode": "KICK"},
        {"clientId": "signed-x", "mode": "SHADOW"},
    ],
)
async def test_a_ban_is_answered_as_it_was_asked_for(given: dict[str, Any]) -> None:
    told = await answer(Bans(), BAN, input=given)
    assert told == {"data": {"ban": shown(id="new", **given)}}


@pytest.mark.parametrize(
    "given",
    [{}, {"sub": None}, {"sub": "a", "username": "b"}, {"sub": "a", "until": 1}, {"clientId": "x"}],
)
async def test_a_bad_ban_is_the_callers_mistake(given: dict[str, Any]) -> None:
    (error,) = (await answer(Bans(), BAN, input=given))["errors"]
    assert error["extensions"] == {"code": "BAD_USER_INPUT"}


async def test_unban_hands_on_the_id() -> None:
    bans = Bans()
    told = await answer(bans, 'mutation { unban(projectId: "p", id: "x") }')
    assert told == {"data": {"unban": True}}
    assert bans.lifted == [("p", "x")]
    (error,) = (await answer(bans, 'mutation { unban(projectId: "p p", id: "x") }'))["errors"]
    assert error["message"].startswith("projectId is 'p p'")


async def test_a_long_list_holds_up_nobody_else() -> None:
    bans = Bans(
        [
            Ban(str(number), "p", Identity(IdentityKind.SUB, f"u{number}"), BanMode.MUTE)
            for number in range(2_000)
        ]
    )
    await answer(bans, LIST)  # the document is prepared
    operation = EXECUTOR.prepare(LIST)
    context = SimpleNamespace(viewer=None, services=SimpleNamespace(bans=bans))
    with Turns() as turns:
        listed = json.loads(await EXECUTOR.execute(operation, {}, context))["data"]["bans"]
    assert listed == [shown(id=str(number), sub=f"u{number}") for number in range(2_000)]
    # All at once it took 60 ms, of ten thousand 300.
    assert turns.longest_seconds < 0.03
