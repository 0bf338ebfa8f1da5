"""Channel policies: read and set, and known to every process within a second."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from app.domain.channel import Channel
from app.domain.entry import PolicyChange
from app.domain.policy import DEFAULT_POLICY, ChannelPolicy
from app.domain.viewer import Permission, Viewer
from app.errors import BadUserInput, Unavailable
from app.services.following import Change, Followed
from app.services.rights import Rights
from app.storage.policies import PolicyStore, StoredPolicy
from app.telemetry.log_fields import event

__all__ = ["PolicyService"]

logger = logging.getLogger(__name__)

MAX_POLICIES_PER_PROJECT: Final = 1_000
"""Channels of one project whose policy is not the default: every process has them in memory."""
_TRIES: Final = 10
"""Times that a change is made anew because somebody else changed the policy meanwhile."""


class PolicyService:
    """What each channel asks of those who publish to it."""

    def __init__(self, store: PolicyStore, rights: Rights | None = None) -> None:
        """Take the parts.

        Args:
            store: the table.
            rights: of the process; None: nobody is ever banned.
        """
        self._store = store
        self._rights = rights or Rights()
        self.followed: Followed[Channel, ChannelPolicy] = Followed("channel policies", self._since)
        """Those that are not the default, in memory."""

    def tell(self, listener: Callable[[PolicyChange], None]) -> None:
        """Have a listener told of each policy that changes from now on, by whatever process.

        Args:
            listener: must not wait.
        """

        def tell(channel: Channel, policy: ChannelPolicy | None) -> None:
            listener(PolicyChange(channel, (policy or DEFAULT_POLICY).json()))

        self.followed.listen(tell)

    def get(self, viewer: Viewer, channel: Channel) -> ChannelPolicy:
        """Return a channel's policy to whoever may subscribe, and so may know what is asked.

        Raises:
            Forbidden, Unauthenticated: the viewer may not.
        """
        self._rights.require(viewer, Permission.SUBSCRIBE, channel)
        return self.followed.rules.get(channel, DEFAULT_POLICY)

    def kept_seconds(self) -> dict[Channel, int]:
        """Return how long channels keep their messages: those whose policy says so."""
        return {
            channel: policy.retention_seconds
            for channel, policy in self.followed.rules.items()
            if policy.retention_seconds is not None
        }

    async def set(
        self, viewer: Viewer, channel: Channel, change: Mapping[str, object]
    ) -> ChannelPolicy:
        """Change a channel's policy; return it when it is committed and holds in this process.

        Two changes of different fields at the same time both hold.

        Args:
            viewer: a moderator.
            channel: whose.
            change: see `ChannelPolicy.changed`.

        Raises:
            Forbidden, Unauthenticated: the viewer may not.
            BadUserInput, PayloadTooLarge: see `ChannelPolicy.changed`; or the project has 1,000
                channels with a policy.
            Unavailable: the database is away, or others change the policy all the time.
        """
        self._rights.require(viewer, Permission.MODERATE, channel)
        for _ in range(_TRIES):
            before = await self._store.read(channel)
            policy = before.policy.changed(change)
            if policy == before.policy:
                return policy
            if before.policy == DEFAULT_POLICY:
                self._check_number(channel)
            written = await self._store.write(channel, policy, before.version)
            if written is not None:
                self.followed.apply(_change(written))
                logger.info(
                    "the policy of %s was changed",
                    channel.key,
                    extra=event(
                        "policy.changed",
                        channel=channel.key,
                        fields=",".join(change),
                        moderator=viewer.subject,
                    ),
                )
                return policy
        raise Unavailable("the policy is being changed by others; retry later")

    def _check_number(self, channel: Channel) -> None:
        policies = sum(one.project_id == channel.project_id for one in self.followed.rules)
        if policies >= MAX_POLICIES_PER_PROJECT:
            raise BadUserInput(
                f"the project {channel.project_id!r} has {policies} channels with a policy; "
                f"allowed are {MAX_POLICIES_PER_PROJECT}: set one of them to the default first"
            )

    async def _since(self, version: int) -> Sequence[Change[Channel, ChannelPolicy]]:
        return [_change(stored) for stored in await self._store.since(version)]


def _change(stored: StoredPolicy) -> Change[Channel, ChannelPolicy]:
    rule = None if stored.policy == DEFAULT_POLICY else stored.policy
    return Change(stored.channel, rule, stored.version)
