"""Policies in GraphQL: every field both ways, exactly, and null apart from left out."""

from dataclasses import fields

import pytest

from app.domain.policy import DEFAULT_POLICY, ChannelPolicy
from app.schema.policies import (
    ChannelPolicyInput,
    ChannelPolicyType,
    HoldType,
    WritersType,
    _change,
    policy_type,
)
from app.schema.scalars import JSON
from tests.schema.conftest import Ask

pytestmark = pytest.mark.anyio


def test_the_types_have_the_fields_of_a_policy() -> None:
    names = set(ChannelPolicy.__struct_fields__)
    assert {field.name for field in fields(ChannelPolicyType)} == names
    assert {field.name for field in fields(ChannelPolicyInput)} == names


def test_what_is_left_out_is_no_change_and_null_is_one() -> None:
    assert _change(ChannelPolicyInput()) == {}
    everything = dict.fromkeys(ChannelPolicy.__struct_fields__)
    assert _change(ChannelPolicyInput(**everything)) == dict.fromkeys(
        ChannelPolicy.__struct_encode_fields__
    )


def test_a_policy_comes_out_as_it_went_in() -> None:
    change = {
        "writers": "VERIFIED",
        "slowModeSeconds": 3,
        "maxPublishesPerSecond": 4,
        "opensAt": 5,
        "closesAt": 6,
        "hold": "UNTIL_APPROVED",
        "blockedWords": ["no"],
        "dataSchema": {"type": "object"},
        "retentionSeconds": 60,
    }
    shown = policy_type(DEFAULT_POLICY.changed(change))
    assert (shown.writers, shown.hold) == (WritersType.VERIFIED, HoldType.UNTIL_APPROVED)
    assert shown.data_schema == JSON(b'{"type":"object"}')
    assert (shown.slow_mode_seconds, shown.max_publishes_per_second) == (3, 4)
    assert (shown.opens_at, shown.closes_at, shown.retention_seconds) == (5, 6, 60)
    assert shown.blocked_words == ["no"]
    assert policy_type(DEFAULT_POLICY).data_schema is None


async def test_whoever_may_subscribe_may_know_the_policy(ask: Ask) -> None:
    document = '{ channelPolicy(projectId: "p", widgetId: "w") { writers dataSchema opensAt } }'
    expected = {"writers": "EVERYONE", "dataSchema": None, "opensAt": None}
    assert (await ask(document))["data"]["channelPolicy"] == expected


async def test_who_has_no_token_sets_none(ask: Ask) -> None:
    document = """
        mutation { setChannelPolicy(projectId: "p", widgetId: "w", policy: {}) { writers } }
    """
    (error,) = (await ask(document))["errors"]
    assert error["extensions"]["code"] == "UNAUTHENTICATED"
