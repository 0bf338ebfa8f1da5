"""A message: what it knows of itself."""

import dataclasses
from decimal import Decimal

import pytest

from app.domain.channel import Channel
from app.domain.message import Message

MESSAGE = Message(Channel("p", "w"), 1, "id", "client", 5, None, b'{"score":1.50,"ok":true}')


def test_its_data_is_what_its_text_says() -> None:
    assert MESSAGE.data == {"score": Decimal("1.50"), "ok": True}


def test_its_data_is_decoded_once() -> None:
    """Each of a thousand filters looks into it."""
    assert MESSAGE.data is MESSAGE.data


def test_it_is_persistent_if_it_has_a_place_in_the_order() -> None:
    assert MESSAGE.persistent
    assert not dataclasses.replace(MESSAGE, sequence=None).persistent


def test_nothing_about_it_changes() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        MESSAGE.username = "somebody else"  # type: ignore[misc]
