"""The ban: one person, one project, until a time. What it takes away, and whom it is about.

A person is known by what is proven: a token's `sub` and username, a client id that the server
signed. A ban names one of them, and is about whoever comes with it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, NamedTuple

from app.domain.channel import checked_client_id
from app.domain.viewer import SIGNED_PREFIX, Permission, Viewer
from app.errors import BadUserInput, shown

__all__ = [
    "MAX_UNTIL",
    "Ban",
    "BanKey",
    "BanMode",
    "BanRequest",
    "Identity",
    "IdentityKind",
    "identities",
    "strictest",
]

_MAX_NAME: Final = 256
"""Longest `sub` or username of a token, in characters."""
_MAX_REASON: Final = 500
MAX_UNTIL: Final = 253_402_300_799_999
"""The last millisecond of the year 9999: errors write it as a date."""


class BanMode(StrEnum):
    """What a ban takes away."""

    MUTE = "MUTE"
    """Publishing, and everything else that changes something. Reading goes on."""
    SHADOW = "SHADOW"
    """Publishing is answered as ever, and nobody else is given the message."""
    KICK = "KICK"
    """Everything: open subscriptions and legacy sockets end."""


class IdentityKind(StrEnum):
    """What a person is known by; the values are the arguments' names."""

    USERNAME = "username"
    SUB = "sub"
    CLIENT_ID = "clientId"


class Identity(NamedTuple):
    """One thing that a person is known by."""

    kind: IdentityKind
    name: str


class BanKey(NamedTuple):
    """What there is one ban of at the most: a person in a project."""

    project_id: str
    identity: Identity


def identities(viewer: Viewer) -> Iterator[Identity]:
    """Return what a viewer is known by; nothing for an anonymous one without a signed id."""
    if viewer.username is not None:
        yield Identity(IdentityKind.USERNAME, viewer.username)
    if viewer.subject is not None:
        yield Identity(IdentityKind.SUB, viewer.subject)
    if viewer.client_id is not None:
        yield Identity(IdentityKind.CLIENT_ID, viewer.client_id)


@dataclass(frozen=True, slots=True)
class Ban:
    """One ban, in force until its time."""

    id: str
    project_id: str
    identity: Identity
    mode: BanMode = BanMode.MUTE
    until: int | None = None
    """Milliseconds since the Unix epoch from which on it is over; None: it never is."""
    reason: str | None = None

    @property
    def key(self) -> BanKey:
        """What another ban of the same person in the same project has too."""
        return BanKey(self.project_id, self.identity)

    def holds_at(self, now_ms: int) -> bool:
        """Return whether it is in force."""
        return self.until is None or now_ms < self.until

    def takes(self, permission: Permission) -> bool:
        """Return whether the person may not do this any more."""
        return permission in _TAKEN[self.mode]

    def refusal(self) -> str:
        """Return what the person is told: from where, until when and why."""
        done = "muted" if self.mode is BanMode.MUTE else "banned"
        until = "permanently" if self.until is None else f"until {_date(self.until)}"
        why = "" if self.reason is None else f"; reason: {self.reason}"
        return f"you are {done} in the project {self.project_id!r} {until}{why}"


_CHANGING: Final = frozenset({Permission.PUBLISH, Permission.MODERATE, Permission.ADMIN})
_TAKEN: Final = {
    BanMode.MUTE: _CHANGING,
    # A moderator could undo it, and sees it in the list of bans anyway.
    BanMode.SHADOW: frozenset({Permission.MODERATE, Permission.ADMIN}),
    BanMode.KICK: frozenset(Permission),
}
_STRICTNESS: Final = {BanMode.SHADOW: 0, BanMode.MUTE: 1, BanMode.KICK: 2}


def strictest(bans: Iterable[Ban]) -> Ban | None:
    """Return the ban that counts where a person has several: KICK, then MUTE, then SHADOW.

    Of two with one mode it is the one that lasts longer.
    """
    return max(bans, key=_rank, default=None)


def _rank(ban: Ban) -> tuple[int, int]:
    return _STRICTNESS[ban.mode], MAX_UNTIL + 1 if ban.until is None else ban.until


@dataclass(frozen=True, slots=True)
class BanRequest:
    """A ban that was asked for and is well-formed."""

    identity: Identity
    mode: BanMode
    until: int | None
    reason: str | None

    @classmethod
    def of(
        cls,
        *,
        username: str | None,
        sub: str | None,
        client_id: str | None,
        mode: BanMode,
        until: int | None,
        reason: str | None,
        now_ms: int,
    ) -> "BanRequest":
        """Return the request, checked.

        Args:
            username: of a token, 1 to 256 printable characters; exactly one of this, `sub` and
                `client_id` is given.
            sub: of a token, 1 to 256 printable characters.
            client_id: one that the server signed.
            mode: what is taken away.
            until: milliseconds since the Unix epoch, later than now; None: for ever.
            reason: for the person, 1 to 500 printable characters; None: none is given.
            now_ms: the present.

        Raises:
            BadUserInput: an argument is missing, is there twice or is out of bounds.
        """
        identity = _one_identity(
            {
                IdentityKind.USERNAME: username,
                IdentityKind.SUB: sub,
                IdentityKind.CLIENT_ID: client_id,
            }
        )
        if until is not None and not now_ms < until <= MAX_UNTIL:
            raise BadUserInput(
                f"input.until is {until}; allowed: milliseconds after now, {now_ms}, up to "
                f"{MAX_UNTIL}; null for a permanent ban"
            )
        if reason is not None and not _is_printable(reason, _MAX_REASON):
            raise BadUserInput(
                f"input.reason is {shown(reason)}; allowed: 1 to {_MAX_REASON} printable "
                "characters, or null"
            )
        return cls(identity, mode, until, reason)


def _one_identity(names: dict[IdentityKind, str | None]) -> Identity:
    given = [Identity(kind, name) for kind, name in names.items() if name is not None]
    if len(given) != 1:
        came = " and ".join(f"input.{identity.kind}" for identity in given) or "none of them"
        raise BadUserInput(
            f"exactly one of input.username, input.sub and input.clientId is required; got {came}"
        )
    (identity,) = given
    if identity.kind is IdentityKind.CLIENT_ID:
        checked_client_id("input.clientId", identity.name)
        if not identity.name.startswith(SIGNED_PREFIX):
            raise BadUserInput(
                f"input.clientId is {shown(identity.name)}; expected an id that the server "
                f"signed, which begins with {SIGNED_PREFIX!r}: unsigned ids are not verified"
            )
    elif not _is_printable(identity.name, _MAX_NAME):
        raise BadUserInput(
            f"input.{identity.kind} is {shown(identity.name)}; allowed: 1 to {_MAX_NAME} "
            "printable characters"
        )
    return identity


def _is_printable(text: str, most: int) -> bool:
    return 1 <= len(text) <= most and text.isprintable()


def _date(milliseconds: int) -> str:
    seconds = milliseconds // 1000
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
