"""What somebody shadowed publishes is answered as ever, and only they hear of it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import pytest

from app.domain.channel import Channel
from app.domain.entry import Retraction
from app.domain.message import Draft, Message
from app.domain.viewer import DEFAULT_PERMISSIONS, Viewer
from app.services.shadow import ShadowMessages
from app.services.shadow_ids import ShadowIds
from app.storage.earlier import Earlier

pytestmark = pytest.mark.anyio

ANN = Viewer("Ann", DEFAULT_PERMISSIONS, subject="u1")
BOB = Viewer("Bob", DEFAULT_PERMISSIONS, subject="u2")
CHANNEL = Channel("p", "w")
DRAFT = Draft(CHANNEL, "id", "client", "Ann", b'"spam"', "key", "sub:u1")


class Stored:
    """What the publisher stored before."""

    def __init__(self) -> None:
        self.under_key = Earlier(None, spent=False)

    async def of_key(self, _draft: Draft) -> Earlier:
        return self.under_key

    async def place_of(self, _channel: Channel, _message_id: str) -> int:
        return 7


class Own:
    """The publisher's connection."""

    def __init__(self) -> None:
        self.heard: list[Message | Retraction] = []

    async def __call__(self, entry: Message | Retraction) -> None:
        self.heard.append(entry)


@pytest.fixture
def stored() -> Stored:
    """Nothing so far."""
    return Stored()


@pytest.fixture
def own() -> Own:
    """It has heard nothing so far."""
    return Own()


@pytest.fixture
def shadow(stored: Stored) -> ShadowMessages:
    """At second 5; the channel's newest message is of second 9."""
    return ShadowMessages(
        ShadowIds(["secret"]), cast("Any", stored), lambda _channel: 9_000, lambda: 5.0
    )


async def published(
    shadow: ShadowMessages, own: Own | None, draft: Draft = DRAFT, **options: bool
) -> Message | None:
    return await shadow.publish(ANN, draft, own, **{"persistent": True, "held": False, **options})


async def test_the_answer_is_that_of_a_published_message(shadow: ShadowMessages, own: Own) -> None:
    message = await published(shadow, own)
    assert message is not None
    assert replace(message, id="id") == replace(DRAFT.placed(0, 9_000), id="id")
    assert message.persistent
    assert message.verified
    assert own.heard == [message]
    fleeting = await published(shadow, own, replace(DRAFT, idempotency_key=None), persistent=False)
    assert fleeting is not None
    assert not fleeting.persistent
    assert own.heard[1:] == [fleeting]
    assert await published(shadow, None, replace(DRAFT, idempotency_key=None)) is not None


@pytest.mark.parametrize("persistent", [True, False])
async def test_a_key_sent_again_returns_the_first(
    shadow: ShadowMessages, own: Own, persistent: bool
) -> None:
    first = await published(shadow, own, persistent=persistent)
    again = replace(DRAFT, data_json=b'"again"')
    assert await published(shadow, own, again, persistent=persistent) == first
    assert own.heard == [first]


async def test_a_key_that_was_used_before_the_ban_returns_what_is_stored(
    shadow: ShadowMessages, own: Own, stored: Stored
) -> None:
    real = DRAFT.placed(3, 2)
    stored.under_key = Earlier(real, spent=False)
    assert await published(shadow, own) is real
    assert not own.heard


async def test_a_key_that_a_moderator_has_spent_stays_so(
    shadow: ShadowMessages, own: Own, stored: Stored
) -> None:
    stored.under_key = Earlier(None, spent=True)
    assert await published(shadow, own) is None
    assert not own.heard


async def test_a_replacement_takes_the_earlier_one_back_first(
    shadow: ShadowMessages, own: Own, stored: Stored
) -> None:
    real = DRAFT.placed(3, 2)
    stored.under_key = Earlier(real, spent=False)
    replacing = replace(DRAFT, retraction_id="retraction")
    second = await published(shadow, own, replacing)
    third = await published(shadow, own, replacing)
    assert second is not None
    assert third is not None
    assert second.id != third.id
    assert [one.ids if isinstance(one, Retraction) else one for one in own.heard] == [
        (real.id,),
        second,
        (second.id,),
        third,
    ]


async def test_nobody_is_told_that_one_who_waits_was_taken_back(
    shadow: ShadowMessages, own: Own, stored: Stored
) -> None:
    """It was shown to nobody."""
    stored.under_key = Earlier(DRAFT.held(2), spent=False)
    second = await published(shadow, own, replace(DRAFT, retraction_id="retraction"))
    assert own.heard == [second]


async def test_what_would_be_held_looks_held(shadow: ShadowMessages, own: Own) -> None:
    message = await published(shadow, own, held=True)
    assert message is not None
    assert (message.held, message.persistent) == (True, True)
    assert not own.heard


async def test_own_messages_are_taken_back_once(shadow: ShadowMessages, own: Own) -> None:
    message = await published(shadow, None)
    assert message is not None
    ids = [message.id, "00000000-0000-7000-8000-000000000000"]

    async def retract(viewer: Viewer = ANN, ids: Sequence[str] = ids) -> list[str]:
        return await shadow.retract(viewer, CHANNEL, ids, "sorry", own)

    assert await retract(BOB) == []
    assert await retract() == [message.id]
    assert await retract() == []
    (retraction,) = own.heard
    assert isinstance(retraction, Retraction)
    assert (retraction.ids, retraction.reason) == ((message.id,), "sorry")
    assert await shadow.place_of(ANN, CHANNEL, retraction.id) == 7, "clients resume after it"
    other = await published(shadow, None, replace(DRAFT, idempotency_key=None))
    assert other is not None
    assert await shadow.retract(ANN, CHANNEL, [other.id], None, None) == [other.id]


async def test_its_id_is_a_cursor_for_its_publisher_alone(shadow: ShadowMessages) -> None:
    message = await published(shadow, None)
    assert message is not None
    assert await shadow.place_of(ANN, CHANNEL, message.id) == 7
    assert await shadow.place_of(BOB, CHANNEL, message.id) is None
    assert await shadow.place_of(ANN, CHANNEL, "x") is None
