"""A message: what it knows of itself."""

import dataclasses
from decimal import Decimal

import pytest

from app.domain.channel import Channel
from app.domain.json_value import encode_json
from app.domain.message import MESSAGE_FIELDS, Draft, Message, MessageField

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


def test_each_attribute_is_a_field_with_its_names() -> None:
    """A field of a message was listed in twelve files; who forgot one lost it there silently."""
    attributes = {one.name for one in dataclasses.fields(Message)}
    attributes -= {"channel", "sequence", "publisher", "held"}
    assert {field.stored for field in MESSAGE_FIELDS if field.stored} == attributes


def test_the_names_are_those_that_clients_know() -> None:
    assert [(field.legacy, field.graphql) for field in MESSAGE_FIELDS] == [
        ("id", "id"),
        ("client_id", "clientId"),
        ("created", "created"),
        ("data", "data"),
        ("username", "username"),
        (None, "persistent"),
        (None, "verified"),
        (None, "held"),
    ]


@pytest.mark.parametrize("field", MESSAGE_FIELDS, ids=lambda field: field.name)
def test_each_field_has_a_value_for_json(field: MessageField) -> None:
    if field.name == "data":
        assert encode_json(getattr(MESSAGE, field.value)) == MESSAGE.data_json
    else:
        assert getattr(MESSAGE, field.value) == getattr(MESSAGE, field.name)


def test_a_draft_becomes_the_message_of_its_place() -> None:
    draft = Draft(MESSAGE.channel, MESSAGE.id, MESSAGE.client_id, "Ann", MESSAGE.data_json)
    assert draft.placed(1, 5) == dataclasses.replace(MESSAGE, username="Ann")
