"""Channels and client ids: what a name may be."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.channel import Channel, checked_client_id, parse_channel
from app.errors import BadUserInput


@pytest.mark.parametrize("name", ["a", "YVX3ZZD4", "my-widget_2.0", ".", "x" * 64])
def test_a_name_of_the_pattern_is_a_name(name: str) -> None:
    channel = parse_channel(name, "poll")
    assert channel == Channel(name, "poll")
    assert Channel.from_key(channel.key) == channel


@pytest.mark.parametrize("name", ["", "x" * 65, "a/b", "a b", "a\n", "é", "\u0661", "\0", "\ud800"])
def test_any_other_name_is_refused_and_named(name: str) -> None:
    for argument, ids in (("projectId", (name, "poll")), ("widgetId", ("p", name))):
        pattern = f"^{argument} is .*; allowed: 1 to 64 characters of A-Z a-z 0-9 _ . -$"
        with pytest.raises(BadUserInput, match=pattern) as refusal:
            parse_channel(*ids)
        refusal.value.message.encode()


@given(st.text(max_size=70), st.text(max_size=70))
def test_no_two_channels_share_a_key(project_id: str, widget_id: str) -> None:
    try:
        channel = parse_channel(project_id, widget_id)
    except BadUserInput:
        return
    assert Channel.from_key(channel.key) == Channel(project_id, widget_id)


@pytest.mark.parametrize("client_id", ["a", "client 1", "é\U0001f600", "x" * 128])
def test_a_client_id_is_any_printable_text(client_id: str) -> None:
    assert checked_client_id("clientId", client_id) == client_id


@pytest.mark.parametrize("client_id", ["", "x" * 129, "a\n", "\0", "\x7f", "\ud800", "\u202e"])
def test_any_other_client_id_is_refused(client_id: str) -> None:
    allowed = re.escape("; allowed: 1 to 128 printable characters")
    with pytest.raises(BadUserInput, match=f"^clientId is .*{allowed}$") as refusal:
        checked_client_id("clientId", client_id)
    refusal.value.message.encode()
