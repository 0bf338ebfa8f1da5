"""Bans in GraphQL: a project's moderators place, lift and list them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from enum import Enum
from typing import Annotated, Final, cast

import strawberry
from strawberry import UNSET

from app.domain.ban import Ban, BanMode, BanRequest, IdentityKind
from app.domain.channel import checked_project_id
from app.schema.arguments import ProjectId, given
from app.schema.scalars import Timestamp
from app.schema.types import Info

__all__ = ["BanMutations", "BanQueries"]

_IN_A_TURN: Final = 100
_UNTIL = "When the ban ends; null: never."
_MODE = "What the person can no longer do."


@strawberry.enum(name="BanMode", description="What a banned person can no longer do.")
class BanModeType(Enum):
    """The modes, by the domain's names."""

    MUTE = strawberry.enum_value(
        BanMode.MUTE.value,
        description="Publishing, retracting and moderating fail with FORBIDDEN. Reading still "
        "works.",
    )
    SHADOW = strawberry.enum_value(
        BanMode.SHADOW.value,
        description="Publishing seems to succeed, but the message is not stored and only the "
        "publisher's own connection gets it. Moderating fails with FORBIDDEN.",
    )
    KICK = strawberry.enum_value(
        BanMode.KICK.value,
        description="Every operation fails with FORBIDDEN. Open subscriptions and legacy "
        "sockets are closed.",
    )


@strawberry.input(
    name="BanInput", description="The person to ban: exactly one of username, sub and clientId."
)
class BanInput:
    """The wire form of a `BanRequest`."""

    username: str | None = strawberry.field(
        default=UNSET, description="The claim in the person's token: 1 to 256 printable characters."
    )
    sub: str | None = strawberry.field(
        default=UNSET, description="The claim in the person's token: 1 to 256 printable characters."
    )
    client_id: strawberry.ID | None = strawberry.field(
        default=UNSET, description="A client id that the server signed."
    )
    until: Timestamp | None = strawberry.field(default=UNSET, description=_UNTIL)
    reason: str | None = strawberry.field(
        default=UNSET, description="Shown to the person: 1 to 500 printable characters."
    )
    mode: BanModeType = strawberry.field(default=BanModeType.MUTE, description=_MODE)


@strawberry.type(name="Ban", description="A person banned from a project.")
class BanType:
    """Made from a `Ban`."""

    id: strawberry.ID = strawberry.field(description="Pass it to unban.")
    project_id: strawberry.ID = strawberry.field(description="The project.")
    username: str | None = strawberry.field(
        description="The claim in the person's token; null: the ban uses another field."
    )
    sub: str | None = strawberry.field(
        description="The claim in the person's token; null: the ban uses another field."
    )
    client_id: strawberry.ID | None = strawberry.field(
        description="A client id that the server signed; null: the ban uses another field."
    )
    until: Timestamp | None = strawberry.field(description=_UNTIL)
    reason: str | None = strawberry.field(description="Shown to the person; null: no reason.")
    mode: BanModeType = strawberry.field(description=_MODE)


@strawberry.type
class BanQueries:
    """The part of the root of queries that is about bans."""

    @strawberry.field(
        description="The active bans of a project, newest first. Requires the permission moderate."
    )
    async def bans(self, info: Info, project_id: ProjectId) -> list[BanType]:
        context = info.context
        bans = await context.services.bans.bans(context.viewer, _checked(project_id))
        return cast("list[BanType]", _shown_in_turns(bans))


@strawberry.type
class BanMutations:
    """The part of the root of mutations that is about bans."""

    @strawberry.mutation(
        description="Ban a person from all channels of a project. Replaces an earlier ban of "
        "the same person and its id. Takes effect everywhere within a second. At "
        "most 10,000 bans per project. Requires the permission moderate."
    )
    async def ban(
        self,
        info: Info,
        project_id: ProjectId,
        input: Annotated[  # noqa: A002  the contract's name
            BanInput,
            strawberry.argument(description="The person, the mode, the end and the reason."),
        ],
    ) -> BanType:
        bans = info.context.services.bans
        request = BanRequest.of(
            username=given(input.username),
            sub=given(input.sub),
            client_id=given(input.client_id),
            mode=BanMode[input.mode.name],
            until=given(input.until),
            reason=given(input.reason),
            now_ms=bans.present_ms(),
        )
        return _shown(await bans.ban(info.context.viewer, _checked(project_id), request))

    @strawberry.mutation(
        description="Remove a ban. Returns false if the project has no active ban with this "
        "id. Requires the permission moderate."
    )
    async def unban(
        self,
        info: Info,
        project_id: ProjectId,
        id: Annotated[  # noqa: A002  the contract's name
            strawberry.ID, strawberry.argument(description="The id that ban returned.")
        ],
    ) -> bool:
        bans = info.context.services.bans
        return await bans.unban(info.context.viewer, _checked(project_id), id)


def _checked(project_id: strawberry.ID) -> str:
    return checked_project_id(project_id)


async def _shown_in_turns(bans: Sequence[Ban]) -> AsyncIterator[BanType]:
    # The engine takes 30 µs for each: ten thousand of them would hold up everybody else.
    for place, ban in enumerate(bans):
        if place % _IN_A_TURN == _IN_A_TURN - 1:
            await asyncio.sleep(0)
        yield _shown(ban)


def _shown(ban: Ban) -> BanType:
    kind, name = ban.identity
    return BanType(
        id=strawberry.ID(ban.id),
        project_id=strawberry.ID(ban.project_id),
        username=name if kind is IdentityKind.USERNAME else None,
        sub=name if kind is IdentityKind.SUB else None,
        client_id=strawberry.ID(name) if kind is IdentityKind.CLIENT_ID else None,
        until=None if ban.until is None else Timestamp(ban.until),
        reason=ban.reason,
        mode=BanModeType[ban.mode.name],
    )
