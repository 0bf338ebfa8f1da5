"""The tables, as SQLModel classes: what queries are built from and migrations are held to.

The channel leads every key, so that the tables can be partitioned or distributed by it.
"""

from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    Index,
    SmallInteger,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSON, JSONB
from sqlalchemy.dialects.postgresql import UUID as PGUUID
from sqlmodel import Field, SQLModel

__all__ = [
    "CHANNELS",
    "MESSAGES",
    "RETRACTED_MESSAGES",
    "RETRACTIONS",
    "BanRow",
    "ChannelPolicyRow",
    "ChannelRow",
    "ClientSecretRow",
    "HeldMessageRow",
    "MessageRow",
    "PresenceRow",
    "ProcessRow",
    "PublishTimeRow",
    "RetractedMessageRow",
    "RetractionRow",
    "RulesRow",
    "SearchShapeRow",
]


class ChannelRow(SQLModel, table=True):
    """One row a channel: the counter that orders its messages, and the lock on it."""

    __tablename__ = "channels"

    channel: str = Field(sa_column=Column(Text(collation="C"), primary_key=True))
    head: int = Field(sa_column=Column(BigInteger, nullable=False, server_default=text("0")))
    """The sequence of the newest message; 0: none yet."""
    last_created: int = Field(
        sa_column=Column(BigInteger, nullable=False, server_default=text("0"))
    )
    """The newest message's `created`: no later one is older."""
    removed: int = Field(sa_column=Column(BigInteger, nullable=False, server_default=text("0")))
    """Sequences that are no message any more: `head - removed` messages are stored. A trigger
    counts deleted rows."""
    retracted: int = Field(sa_column=Column(BigInteger, nullable=False, server_default=text("0")))
    """Those of them that are so because of retractions: the retracted, and the retractions."""
    arrivals: int = Field(sa_column=Column(BigInteger, nullable=False, server_default=text("0")))
    """How many messages have ever been held: the newest one's number in `held_messages`."""


class MessageRow(SQLModel, table=True):
    """One row a stored message."""

    __tablename__ = "messages"
    __table_args__ = (
        Index("messages_id", "channel", "id", unique=True),
        Index(
            "messages_repeat",
            "channel",
            text("coalesce(publisher, 'client:' || client_id)"),
            "idempotency_key",
            unique=True,
            postgresql_where=text("idempotency_key IS NOT NULL"),
        ),
        Index("messages_client", "channel", "client_id", "sequence"),
        Index(
            "messages_username",
            "channel",
            "username",
            "sequence",
            postgresql_where=text("username IS NOT NULL"),
        ),
    )

    channel: str = Field(sa_column=Column(Text(collation="C"), primary_key=True))
    sequence: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    id: UUID = Field(sa_column=Column(PGUUID(as_uuid=False), nullable=False))
    client_id: str = Field(sa_column=Column(Text(collation="C"), nullable=False))
    created: int = Field(sa_column=Column(BigInteger, nullable=False))
    username: str | None = Field(sa_column=Column(Text(collation="C"), nullable=True))
    data: Any = Field(sa_column=Column(JSONB, nullable=False))
    idempotency_key: str | None = Field(sa_column=Column(Text(collation="C"), nullable=True))
    publisher: str | None = Field(sa_column=Column(Text(collation="C"), nullable=True))
    """Whose key it is: `sub:` and a token's subject, or `signed:` and a client id that the server
    signed; None: the client id's, as claimed."""


class RulesRow(SQLModel, table=True):
    """One row: the newest version of the rules of publishing, and the lock on it."""

    __tablename__ = "rules"
    __table_args__ = (CheckConstraint("id = 1", name="rules_one_row"),)

    id: int = Field(sa_column=Column(SmallInteger, primary_key=True, autoincrement=False))
    version: int = Field(sa_column=Column(BigInteger, nullable=False))


class ChannelPolicyRow(SQLModel, table=True):
    """One row a channel whose policy was ever set."""

    __tablename__ = "channel_policies"
    __table_args__ = (Index("channel_policies_version", "version"),)

    channel: str = Field(sa_column=Column(Text(collation="C"), primary_key=True))
    policy: Any = Field(sa_column=Column(JSON, nullable=True))
    """All fields, as GraphQL has them; NULL: the default again."""
    version: int = Field(sa_column=Column(BigInteger, nullable=False))
    """Of the rules, when it was changed last."""


class BanRow(SQLModel, table=True):
    """One row a person that a project has banned: the newest ban of them."""

    __tablename__ = "bans"
    __table_args__ = (
        Index("bans_version", "version"),
        Index("bans_until", "until", postgresql_where=text("gone_at IS NULL")),
        Index("bans_gone", "gone_at", postgresql_where=text("gone_at IS NOT NULL")),
    )

    project_id: str = Field(sa_column=Column(Text(collation="C"), primary_key=True))
    kind: str = Field(sa_column=Column(Text(collation="C"), primary_key=True))
    """What the person is known by: an `IdentityKind`."""
    name: str = Field(sa_column=Column(Text(collation="C"), primary_key=True))
    id: UUID = Field(sa_column=Column(PGUUID(as_uuid=False), nullable=False))
    mode: str = Field(sa_column=Column(Text(collation="C"), nullable=False))
    until: int | None = Field(sa_column=Column(BigInteger, nullable=True))
    reason: str | None = Field(sa_column=Column(Text(collation="C"), nullable=True))
    gone_at: int | None = Field(sa_column=Column(BigInteger, nullable=True))
    """When it was lifted, or was found to be over; NULL: neither yet."""
    version: int = Field(sa_column=Column(BigInteger, nullable=False))
    """Of the rules, when it was changed last."""


class RetractionRow(SQLModel, table=True):
    """One row a retraction: it has a place in the channel's order, beside the messages."""

    __tablename__ = "retractions"
    __table_args__ = (Index("retractions_id", "channel", "id", unique=True),)

    channel: str = Field(sa_column=Column(Text(collation="C"), primary_key=True))
    sequence: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    id: UUID = Field(sa_column=Column(PGUUID(as_uuid=False), nullable=False))
    created: int = Field(sa_column=Column(BigInteger, nullable=False))
    ids: list[UUID] = Field(sa_column=Column(ARRAY(PGUUID(as_uuid=False)), nullable=False))
    reason: str | None = Field(sa_column=Column(Text(collation="C"), nullable=True))


class RetractedMessageRow(SQLModel, table=True):
    """What is left of a retracted message: its place, and the key that nobody may use again."""

    __tablename__ = "retracted_messages"
    __table_args__ = (
        Index("retracted_messages_id", "channel", "id", unique=True),
        Index(
            "retracted_messages_key",
            "channel",
            "key_owner",
            "idempotency_key",
            postgresql_where=text("idempotency_key IS NOT NULL"),
        ),
    )

    channel: str = Field(sa_column=Column(Text(collation="C"), primary_key=True))
    sequence: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    id: UUID = Field(sa_column=Column(PGUUID(as_uuid=False), nullable=False))
    key_owner: str | None = Field(sa_column=Column(Text(collation="C"), nullable=True))
    """The publisher, or `client:` and the client id as claimed; None: the key is not spent."""
    idempotency_key: str | None = Field(sa_column=Column(Text(collation="C"), nullable=True))


class HeldMessageRow(SQLModel, table=True):
    """One row a message that waits for a moderator: it has no place in its channel yet."""

    __tablename__ = "held_messages"
    __table_args__ = (
        Index("held_messages_arrival", "channel", "arrival", unique=True),
        Index(
            "held_messages_repeat",
            "channel",
            text("coalesce(publisher, 'client:' || client_id)"),
            "idempotency_key",
            unique=True,
            postgresql_where=text("idempotency_key IS NOT NULL"),
        ),
    )

    channel: str = Field(sa_column=Column(Text(collation="C"), primary_key=True))
    id: UUID = Field(sa_column=Column(PGUUID(as_uuid=False), primary_key=True))
    """Its own, before and after it is approved."""
    arrival: int = Field(sa_column=Column(BigInteger, nullable=False))
    """Its number among the channel's held messages, from 1, in the order of the commits."""
    client_id: str = Field(sa_column=Column(Text(collation="C"), nullable=False))
    created: int = Field(sa_column=Column(BigInteger, nullable=False))
    """When it arrived."""
    username: str | None = Field(sa_column=Column(Text(collation="C"), nullable=True))
    data: Any = Field(sa_column=Column(JSONB, nullable=False))
    publisher: str | None = Field(sa_column=Column(Text(collation="C"), nullable=True))
    idempotency_key: str | None = Field(sa_column=Column(Text(collation="C"), nullable=True))
    retraction_id: UUID | None = Field(sa_column=Column(PGUUID(as_uuid=False), nullable=True))
    """Of the retraction that it makes of the publisher's earlier message under the key, once it is
    approved; NULL: it replaces nothing."""


class PublishTimeRow(SQLModel, table=True):
    """One row a publisher in a channel with slow mode, and one a channel with a rate.

    Not logged: after a crash of the database it is empty, and nobody waits.
    """

    __tablename__ = "publish_times"
    __table_args__ = (Index("publish_times_at", "at"),)

    channel: str = Field(sa_column=Column(Text(collation="C"), primary_key=True))
    publisher: str = Field(sa_column=Column(Text(collation="C"), primary_key=True))
    """As in `messages`, or `client:` and the client id as claimed; empty: the whole channel."""
    at: int = Field(sa_column=Column(BigInteger, nullable=False))
    """Microseconds since the Unix epoch: when it published last, or has used up its rate until."""


class ProcessRow(SQLModel, table=True):
    """One row a running process: its lease, kept alive by a heartbeat."""

    __tablename__ = "processes"

    process_id: UUID = Field(sa_column=Column(PGUUID(as_uuid=False), primary_key=True))
    expires_at: Any = Field(sa_column=Column(DateTime(timezone=True), nullable=False))


class PresenceRow(SQLModel, table=True):
    """How many connections of a channel one process holds; counted while its lease lives."""

    __tablename__ = "presence"

    channel: str = Field(sa_column=Column(Text(collation="C"), primary_key=True))
    process_id: UUID = Field(sa_column=Column(PGUUID(as_uuid=False), primary_key=True))
    connections: int = Field(sa_column=Column(BigInteger, nullable=False))


class ClientSecretRow(SQLModel, table=True):
    """The one row with the secret that client ids are signed with, where no setting gives one."""

    __tablename__ = "client_secret"
    __table_args__ = (CheckConstraint("one"),)

    one: bool = Field(sa_column=Column(Boolean(), primary_key=True, server_default=text("true")))
    secret: str = Field(sa_column=Column(Text(collation="C"), nullable=False))


class SearchShapeRow(SQLModel, table=True):
    """One row a shape of search: an index that is there, or is wanted."""

    __tablename__ = "search_shapes"

    name: str = Field(sa_column=Column(Text(collation="C"), primary_key=True))
    """Of the index that serves it."""
    paths: str = Field(sa_column=Column(Text(collation="C"), nullable=False))
    """What it is made of, as `IndexDefinition.paths_json` writes it."""
    uses: float = Field(sa_column=Column(Double(), nullable=False, server_default=text("0")))
    """Searches of the shape; half as many count for each day since."""
    seconds: float = Field(sa_column=Column(Double(), nullable=False, server_default=text("0")))
    """What they took without an index; as `uses`."""
    used_at: Any = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    built_at: Any = Field(sa_column=Column(DateTime(timezone=True), nullable=True))
    kept: bool = Field(sa_column=Column(Boolean(), nullable=False, server_default=text("false")))
    """Added by hand: the service never drops it."""


# SQLModel adds the tables to the classes.
CHANNELS: Final[Table] = ChannelRow.__table__  # type: ignore[attr-defined]
MESSAGES: Final[Table] = MessageRow.__table__  # type: ignore[attr-defined]
RETRACTED_MESSAGES: Final[Table] = RetractedMessageRow.__table__  # type: ignore[attr-defined]
RETRACTIONS: Final[Table] = RetractionRow.__table__  # type: ignore[attr-defined]
