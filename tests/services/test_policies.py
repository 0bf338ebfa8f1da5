"""Setting and reading policies: rights, merging, and what other processes know of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from app.domain.channel import Channel
from app.domain.entry import PolicyChange
from app.domain.policy import DEFAULT_POLICY, ChannelPolicy
from app.domain.viewer import DEFAULT_PERMISSIONS, Permission, Viewer
from app.errors import BadUserInput, Forbidden, Unauthenticated, Unavailable
from app.services import policies
from app.services.following import RuleFollower
from app.services.policies import PolicyService
from app.storage.database import Database
from app.storage.policies import PolicyStore
from app.storage.rules import RulesVersion
from tests.delivery.recorded import until

pytestmark = pytest.mark.anyio

CHANNEL = Channel("project", "widget")
ANYBODY = Viewer(None, DEFAULT_PERMISSIONS, anonymous=True)
MODERATOR = Viewer("Mo", frozenset({Permission.MODERATE}))
ADMIN = Viewer("Ada", frozenset({Permission.ADMIN, Permission.SUBSCRIBE}))


@asynccontextmanager
async def process(database: Database) -> AsyncIterator[PolicyService]:
    """Run the policies of one process."""
    service = PolicyService(PolicyStore(database))
    version = RulesVersion(database).read
    follower = RuleFollower(version, [service.followed], interval_seconds=0.01)
    await follower.start()
    try:
        yield service
    finally:
        await follower.stop()


async def test_a_change_holds_at_once_here_and_soon_elsewhere(database: Database) -> None:
    async with process(database) as one, process(database) as other:
        told: list[tuple[Channel, ChannelPolicy | None]] = []
        other.followed.listen(lambda channel, policy: told.append((channel, policy)))
        policy = await one.set(MODERATOR, CHANNEL, {"slowModeSeconds": 5})
        assert policy.slow_mode_seconds == 5
        assert one.get(ANYBODY, CHANNEL) == policy
        await until(lambda: other.get(ANYBODY, CHANNEL) == policy)
        await one.set(ADMIN, CHANNEL, {"slowModeSeconds": None})
        assert one.get(ANYBODY, CHANNEL) == DEFAULT_POLICY
        await until(lambda: other.get(ANYBODY, CHANNEL) == DEFAULT_POLICY)
        assert told == [(CHANNEL, policy), (CHANNEL, None)]


async def test_channels_that_keep_messages_for_a_time_are_known(database: Database) -> None:
    async with process(database) as one:
        for widget, change in (("a", {"retentionSeconds": 60}), ("b", {"slowModeSeconds": 5})):
            await one.set(MODERATOR, Channel("project", widget), change)
        assert one.kept_seconds() == {Channel("project", "a"): 60}


async def test_listeners_are_told_the_whole_policy_as_clients_see_it(database: Database) -> None:
    service = PolicyService(PolicyStore(database))
    told: list[PolicyChange] = []
    service.tell(told.append)
    policy = await service.set(MODERATOR, CHANNEL, {"blockedWords": ["no"]})
    await service.set(MODERATOR, CHANNEL, {"blockedWords": None})
    assert told == [
        PolicyChange(CHANNEL, policy.json()),
        PolicyChange(CHANNEL, DEFAULT_POLICY.json()),
    ]


async def test_what_was_set_is_known_to_a_process_that_starts_later(database: Database) -> None:
    async with process(database) as one:
        policy = await one.set(MODERATOR, CHANNEL, {"writers": "NOBODY"})
    async with process(database) as other:
        assert other.get(ANYBODY, CHANNEL) == policy


async def test_changes_of_different_fields_at_once_all_hold(database: Database) -> None:
    """In two processes, one of which knows nothing of the other's changes yet."""
    changes: list[dict[str, object]] = [
        {"writers": "VERIFIED"},
        {"slowModeSeconds": 5},
        {"maxPublishesPerSecond": 9},
        {"blockedWords": ["no"]},
    ]
    async with process(database) as one, process(database) as other:
        await asyncio.gather(
            *(
                service.set(MODERATOR, CHANNEL, change)
                for service, change in zip((one, other) * 2, changes, strict=True)
            )
        )
        expected = DEFAULT_POLICY
        for change in changes:
            expected = expected.changed(change)
        for service in (one, other):
            await until(lambda service=service: service.get(ANYBODY, CHANNEL) == expected)  # type: ignore[misc]


async def test_fields_that_contradict_what_another_process_set_are_refused(
    database: Database,
) -> None:
    one, other = PolicyService(PolicyStore(database)), PolicyService(PolicyStore(database))
    await one.set(MODERATOR, CHANNEL, {"opensAt": 10})
    with pytest.raises(BadUserInput, match="opensAt is 10 and closesAt is 5"):
        await other.set(MODERATOR, CHANNEL, {"closesAt": 5})
    assert (await PolicyStore(database).read(CHANNEL)).version == 1


async def test_a_change_that_changes_nothing_writes_nothing(database: Database) -> None:
    service = PolicyService(PolicyStore(database))
    assert await service.set(MODERATOR, CHANNEL, {"slowModeSeconds": 0}) == DEFAULT_POLICY
    assert await service.set(MODERATOR, CHANNEL, {}) == DEFAULT_POLICY
    assert await RulesVersion(database).read() == 0


async def test_only_moderators_set_and_subscribers_read(database: Database) -> None:
    service = PolicyService(PolicyStore(database))
    with pytest.raises(Unauthenticated):
        await service.set(ANYBODY, CHANNEL, {"writers": "NOBODY"})
    with pytest.raises(Forbidden, match="permission 'moderate'"):
        await service.set(Viewer("Ann", DEFAULT_PERMISSIONS), CHANNEL, {"writers": "NOBODY"})
    elsewhere = Viewer("Mo", frozenset({Permission.MODERATE}), frozenset({"another"}))
    with pytest.raises(Forbidden, match="project 'project'"):
        await service.set(elsewhere, CHANNEL, {"writers": "NOBODY"})
    with pytest.raises(Forbidden, match="permission 'subscribe'"):
        service.get(MODERATOR, CHANNEL)


async def test_the_policies_of_a_project_are_bounded(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policies, "MAX_POLICIES_PER_PROJECT", 2)
    service = PolicyService(PolicyStore(database))
    for widget in ("a", "b"):
        await service.set(MODERATOR, Channel("project", widget), {"slowModeSeconds": 1})
    with pytest.raises(
        BadUserInput, match="'project' has 2 channels with a policy; at most 2 are allowed"
    ):
        await service.set(MODERATOR, CHANNEL, {"slowModeSeconds": 1})
    await service.set(MODERATOR, Channel("another", "c"), {"slowModeSeconds": 1})
    await service.set(MODERATOR, Channel("project", "b"), {"slowModeSeconds": 2})
    await service.set(MODERATOR, Channel("project", "a"), {"slowModeSeconds": None})
    await service.set(MODERATOR, CHANNEL, {"slowModeSeconds": 1})


async def test_whoever_never_comes_first_is_told_to_retry(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: object) -> None:
        return None

    store = PolicyStore(database)
    monkeypatch.setattr(store, "write", never)
    with pytest.raises(
        Unavailable, match="was changed by somebody else at the same time; retry later"
    ):
        await PolicyService(store).set(MODERATOR, CHANNEL, {"slowModeSeconds": 1})
