"""Ids that any process of the service knows, and nobody else can tell from others."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uuid_utils import uuid7

from app.domain.channel import Channel
from app.domain.viewer import DEFAULT_PERMISSIONS, Viewer
from app.services.shadow_ids import ShadowIds

ANN = Viewer("Ann", DEFAULT_PERMISSIONS, subject="u1")
HERE, THERE = Channel("p", "one"), Channel("p", "two")
IDS = ShadowIds(["a secret of more than thirty-two bytes"])


def test_an_id_looks_like_every_message_s() -> None:
    before, made, after = uuid7(), UUID(IDS.new(ANN, HERE)), uuid7()
    assert (made.version, made.variant) == (7, before.variant)
    assert str(before) < str(made) < str(after)
    assert len({IDS.new(ANN, HERE) for _ in range(1_000)}) == 1_000


def test_another_process_with_the_secret_knows_it() -> None:
    made = IDS.new(ANN, HERE)
    renewed = ShadowIds(["another secret", "a secret of more than thirty-two bytes"])
    assert IDS.knows(ANN, HERE, made)
    assert renewed.knows(ANN, HERE, made)
    assert not ShadowIds(["another secret"]).knows(ANN, HERE, made)
    assert renewed.knows(ANN, HERE, renewed.new(ANN, HERE))


@pytest.mark.parametrize(
    ("viewer", "channel"),
    [
        (ANN, THERE),
        (Viewer("Ann", DEFAULT_PERMISSIONS, subject="u2"), HERE),
        (Viewer("Ann", DEFAULT_PERMISSIONS), HERE),
        (Viewer(None, DEFAULT_PERMISSIONS, client_id="u1"), HERE),
    ],
)
def test_it_is_nobody_else_s_and_of_no_other_channel(viewer: Viewer, channel: Channel) -> None:
    assert not IDS.knows(viewer, channel, IDS.new(ANN, HERE))
    assert IDS.knows(viewer, channel, IDS.new(viewer, channel))


@given(st.text() | st.uuids().map(str))
def test_any_other_text_is_none(text: str) -> None:
    assert not IDS.knows(ANN, HERE, text)


def test_what_is_changed_is_none() -> None:
    made = bytearray(UUID(IDS.new(ANN, HERE)).bytes)
    made[3] ^= 1
    assert not IDS.knows(ANN, HERE, str(UUID(bytes=bytes(made))))
