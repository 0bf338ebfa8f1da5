"""What a channel asks of publishers: each rule, their order, and what counts."""

import logging
from collections.abc import Callable
from typing import Any, cast

import msgspec
import pytest

from app.domain.channel import Channel
from app.domain.json_value import JsonValue, encode_json
from app.domain.message import Draft
from app.domain.policy import DEFAULT_POLICY, ChannelPolicy, Pacing
from app.domain.viewer import DEFAULT_PERMISSIONS, Permission, Viewer
from app.errors import Forbidden, RateLimited, Rejected
from app.services import admission
from app.services.admission import UNBOUND, Admission, Admitted
from app.services.following import Change
from app.services.policies import PolicyService
from app.storage.policies import PolicyStore

CHANNEL, OTHER = Channel("project", "widget"), Channel("project", "other")
ANN = Viewer("Ann", DEFAULT_PERMISSIONS, subject="ann")
BOB = Viewer("Bob", DEFAULT_PERMISSIONS, subject="bob")
ANYBODY = Viewer(None, DEFAULT_PERMISSIONS, anonymous=True)
SIGNED = Viewer(None, DEFAULT_PERMISSIONS, anonymous=True, client_id="signed-1")
MODERATOR = Viewer("Mo", DEFAULT_PERMISSIONS | {Permission.MODERATE}, subject="mo")


class Door:
    """An admission whose policies and clocks the tests set."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        policies = PolicyService(cast("PolicyStore", None))
        self._followed = policies.followed
        self._versions = 0
        self.admission = Admission(policies, clock=lambda: self.now, monotonic=lambda: self.now)

    def set(self, channel: Channel = CHANNEL, **change: Any) -> None:
        self.set_policy(DEFAULT_POLICY.changed(change), channel)

    def set_policy(self, policy: ChannelPolicy | None, channel: Channel = CHANNEL) -> None:
        self._versions += 1
        rule = None if policy == DEFAULT_POLICY else policy
        self._followed.apply(Change(channel, rule, self._versions))

    def admit(
        self,
        viewer: Viewer = ANN,
        data: JsonValue = 1,
        channel: Channel = CHANNEL,
        *,
        client_id: str = "client",
        key: str | None = None,
        persistent: bool = True,
        replaces: bool = False,
    ) -> Admitted:
        self.draft = Draft(
            channel,
            "id",
            client_id,
            viewer.username,
            encode_json(data),
            key,
            viewer.publisher,
            "retraction" if replaces else None,
        )
        return self.admission.admit(viewer, self.draft, data, persistent=persistent)


@pytest.fixture
def door() -> Door:
    return Door()


def refused(admit: Callable[[], object]) -> int:
    """Return how long the refusal says to wait."""
    with pytest.raises(RateLimited) as error:
        admit()
    assert error.value.retry_after_ms is not None
    return error.value.retry_after_ms


def test_a_channel_without_a_policy_asks_for_nothing(door: Door) -> None:
    door.set(OTHER, writers="NOBODY")
    assert door.admit() is UNBOUND


def test_verified_writers_have_a_token_or_a_signed_id(door: Door) -> None:
    door.set(writers="VERIFIED")
    for viewer in (ANN, SIGNED, MODERATOR, Viewer("No sub", DEFAULT_PERMISSIONS)):
        door.admit(viewer)
    with pytest.raises(Forbidden, match="only verified publishers may publish in this channel"):
        door.admit(ANYBODY)


def test_nobody_is_nobody(door: Door) -> None:
    door.set(writers="NOBODY")
    for viewer in (ANN, MODERATOR):
        with pytest.raises(Forbidden, match="publishing is disabled in this channel"):
            door.admit(viewer)


def test_opening_hours_hold_by_the_servers_clock(door: Door) -> None:
    door.set(opensAt=1_000_000_500, closesAt=1_000_001_000)
    with pytest.raises(Rejected) as early:
        door.admit(MODERATOR)
    assert early.value.message == (
        "the channel opens at 1000000500 (1970-01-12T13:46:40.500Z); the server's time is "
        "1000000000 (1970-01-12T13:46:40.000Z)"
    )
    door.now += 0.5
    door.admit()
    door.now += 0.499
    door.admit()
    door.now += 0.001
    with pytest.raises(Rejected, match=r"the channel closed at 1000001000 \(1970-01-12T13:46:41"):
        door.admit()
    door.now -= 0.4  # the clock is set back: it is open again
    door.admit()


def test_blocked_words_are_refused_and_not_repeated(door: Door) -> None:
    door.set(blockedWords=["idiot"])
    door.admit(data={"text": "idiots"})
    with pytest.raises(Rejected, match=r"^data contains a word that is blocked in this channel$"):
        door.admit(MODERATOR, {"text": "Ídiot!"})


def test_data_must_satisfy_the_schema(door: Door) -> None:
    door.set(dataSchema={"type": "object", "properties": {"n": {"maximum": 5}}})
    door.admit(data={"n": 5})
    with pytest.raises(Rejected, match="at /n, the value is greater than the maximum of 5"):
        door.admit(data={"n": 6})


def test_slow_mode_holds_for_each_publisher_and_channel(door: Door) -> None:
    door.set(slowModeSeconds=30)
    door.set(OTHER, slowModeSeconds=30)
    admitted = door.admit(client_id="one")
    assert admitted.pacing == Pacing(30, 0)
    door.now += 1
    assert refused(lambda: door.admit(client_id="another client id, the same person")) == 29_000
    door.admit(channel=OTHER)
    door.admit(BOB)
    door.admit(ANYBODY, client_id="one")
    assert refused(lambda: door.admit(ANYBODY, client_id="one")) == 30_000
    door.admit(ANYBODY, client_id="two")
    door.now += 29
    door.admit()


def test_moderators_are_exempt_from_slow_mode_and_from_nothing_else(door: Door) -> None:
    door.set(slowModeSeconds=30, maxPublishesPerSecond=2)
    assert door.admit(MODERATOR).pacing == Pacing(0, 2)
    door.admit(MODERATOR)
    assert refused(lambda: door.admit(MODERATOR)) == 500


def test_a_retry_is_not_refused_by_slow_mode_and_does_not_prolong_it(door: Door) -> None:
    door.set(slowModeSeconds=30)
    door.admit(key="vote")
    door.now += 10
    assert door.admit(key="vote").pacing is None
    assert refused(lambda: door.admit(key="other")) == 20_000
    # A replacement under the same key is a new message.
    assert refused(lambda: door.admit(key="vote", replaces=True)) == 20_000


def test_the_rate_holds_for_the_whole_channel(door: Door) -> None:
    door.set(maxPublishesPerSecond=2)
    door.admit(ANN)
    door.admit(BOB)
    assert refused(lambda: door.admit(ANYBODY)) == 500
    door.now += 0.5
    door.admit(ANYBODY)


def test_nothing_counts_unless_all_else_passes(door: Door) -> None:
    door.set(
        slowModeSeconds=30, maxPublishesPerSecond=1, blockedWords=["no"], dataSchema={"minimum": 0}
    )
    for bad in ("no", -1):
        with pytest.raises(Rejected):
            door.admit(data=bad)
    door.admit()
    # Nor does the pace of one count against the other.
    assert refused(lambda: door.admit(BOB)) == 1000
    door.now += 1
    door.admit(BOB)


def test_what_was_not_published_is_given_back(door: Door) -> None:
    door.set(slowModeSeconds=30, maxPublishesPerSecond=1)
    admitted = door.admit()
    door.admission.give_back(door.draft, admitted)
    door.admit()
    door.admission.give_back(door.draft, UNBOUND)
    assert refused(door.admit) == 30_000


def test_messages_that_are_held_are_said_to_be(door: Door) -> None:
    door.set(hold="UNTIL_APPROVED")
    assert door.admit().held
    assert door.admit(MODERATOR).held
    with pytest.raises(Rejected, match="wait for approval, and persistent is false; expected"):
        door.admit(persistent=False)


def test_a_changed_policy_holds_from_then_on(door: Door) -> None:
    door.set(blockedWords=["one"], maxPublishesPerSecond=1)
    with pytest.raises(Rejected):
        door.admit(data="one")
    door.admit(data="two")
    door.now += 1
    door.set(blockedWords=["two"], maxPublishesPerSecond=2)
    with pytest.raises(Rejected):
        door.admit(data="two")
    door.admit(data="one")
    door.set_policy(DEFAULT_POLICY)
    assert door.admit(data="two") is UNBOUND
    door.set(maxPublishesPerSecond=1)
    door.admit()


def test_what_is_kept_compiled_is_bounded(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "_COMPILED_MAX", 3)
    channels = [Channel("project", f"{number}") for number in range(5)]
    for channel in channels:
        door.set(channel, blockedWords=["no"])
    for channel in [*channels, *channels]:
        with pytest.raises(Rejected):
            door.admit(data="no", channel=channel)
    assert len(door.admission._compiled) == 3


def test_a_schema_that_this_version_cannot_use_lets_nothing_pass(
    door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    door.set_policy(ChannelPolicy(data_schema=msgspec.Raw(b'{"pattern":"(?=a)"}')))
    with pytest.raises(Rejected, match="the channel's dataSchema is not usable; set it again"):
        door.admit()
    assert "cannot use the dataSchema of project/widget" in caplog.text
    door.set_policy(ChannelPolicy(data_schema=msgspec.Raw(b"[]")))
    with pytest.raises(Rejected, match="is not usable"):
        door.admit()
