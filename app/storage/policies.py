"""Channel policies in the table: read by version, changed in one statement."""

import logging
from collections.abc import Sequence
from typing import Final, NamedTuple

from app.domain.channel import Channel
from app.domain.policy import DEFAULT_POLICY, ChannelPolicy, policy_from_json
from app.storage.database import Database
from app.storage.rules import NEXT_VERSION
from app.telemetry.log_fields import event

__all__ = ["PolicyStore", "StoredPolicy"]

logger = logging.getLogger(__name__)

_SINCE: Final = """
    SELECT channel, policy, version FROM channel_policies WHERE version > $1 ORDER BY version
"""
_READ: Final = "SELECT channel, policy, version FROM channel_policies WHERE channel = $1"
# The version that is compared is that of the row once it is locked.
_WRITE: Final = f"""
    WITH next AS ({NEXT_VERSION})
    INSERT INTO channel_policies AS p (channel, policy, version)
    SELECT $1, $2::json, next.version FROM next
    ON CONFLICT (channel) DO UPDATE SET policy = excluded.policy, version = excluded.version
    WHERE p.version = $3
    RETURNING version
"""  # noqa: S608  (no value is in the text)


class StoredPolicy(NamedTuple):
    """A channel's policy, and when it was changed last."""

    channel: Channel
    policy: ChannelPolicy
    version: int
    """Of the rules; 0: it was never changed."""


class PolicyStore:
    """The policies of all channels."""

    def __init__(self, database: Database) -> None:
        """Take the database."""
        self._database = database

    async def since(self, version: int) -> Sequence[StoredPolicy]:
        """Return the policies that were changed after a version of the rules, in that order.

        A policy that cannot be read (a later version wrote it, or somebody by hand) is left out,
        and logged.

        Raises:
            Unavailable: the database is away.
        """
        found = []
        for row in await self._database.fetch(_SINCE, version):
            try:
                found.append(_stored(row["channel"], row["policy"], row["version"]))
            except ValueError as error:
                logger.error(
                    "the policy of %s cannot be read, and what was known of it goes on holding: %s",
                    row["channel"],
                    error,
                    extra=event("policy.unusable", channel=row["channel"]),
                )
        return found

    async def read(self, channel: Channel) -> StoredPolicy:
        """Return a channel's policy as it is now; the default where there is none.

        Raises:
            Unavailable: the database is away.
        """
        for row in await self._database.fetch(_READ, channel.key):
            try:
                return _stored(row["channel"], row["policy"], row["version"])
            except ValueError:
                # Whoever sets it anew begins with the default.
                return StoredPolicy(channel, DEFAULT_POLICY, row["version"])
        return StoredPolicy(channel, DEFAULT_POLICY, 0)

    async def write(
        self, channel: Channel, policy: ChannelPolicy, before: int
    ) -> StoredPolicy | None:
        """Set a channel's policy, if it is still the one that was read.

        Args:
            channel: whose.
            policy: the new one.
            before: the version of the one that was read.

        Returns:
            It with its version; None: somebody else has changed it meanwhile.

        Raises:
            Unavailable: the database is away.
        """
        text = None if policy == DEFAULT_POLICY else policy.json().decode()
        for row in await self._database.fetch(_WRITE, channel.key, text, before):
            return StoredPolicy(channel, policy, row["version"])
        return None


def _stored(channel: str, policy: str | None, version: int) -> StoredPolicy:
    read = DEFAULT_POLICY if policy is None else policy_from_json(policy)
    return StoredPolicy(Channel.from_key(channel), read, version)
