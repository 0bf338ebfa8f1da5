"""The policy: each field's bounds, what null and left out mean, and its way through JSON."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.json_value import decode_json, encode_json
from app.domain.policy import DEFAULT_POLICY, ChannelPolicy, Hold, Writers, policy_from_json
from app.errors import BadUserInput, PayloadTooLarge

FULL: dict[str, object] = {
    "writers": "VERIFIED",
    "slowModeSeconds": 30,
    "maxPublishesPerSecond": 100,
    "opensAt": 1000,
    "closesAt": 2000,
    "hold": "UNTIL_APPROVED",
    "blockedWords": ["one", "two"],
    "dataSchema": {"type": "object"},
    "retentionSeconds": 3600,
}
DEFAULTS: dict[str, object] = {
    "writers": "EVERYONE",
    "slowModeSeconds": 0,
    "maxPublishesPerSecond": None,
    "opensAt": None,
    "closesAt": None,
    "hold": "NONE",
    "blockedWords": [],
    "dataSchema": None,
    "retentionSeconds": None,
}


def test_the_default_asks_for_nothing() -> None:
    assert decode_json(DEFAULT_POLICY.json()) == DEFAULTS
    assert not DEFAULT_POLICY.has_schema


def test_every_field_can_be_set() -> None:
    policy = DEFAULT_POLICY.changed(FULL)
    assert decode_json(policy.json()) == FULL
    assert (policy.writers, policy.hold) == (Writers.VERIFIED, Hold.UNTIL_APPROVED)
    assert policy.has_schema


_CHANGES = st.fixed_dictionaries(
    {}, optional={name: st.sampled_from([value, None]) for name, value in FULL.items()}
)


@given(changes=st.lists(_CHANGES, max_size=6))
def test_what_is_left_out_stays_and_null_is_the_default(changes: list[dict[str, object]]) -> None:
    policy, model = DEFAULT_POLICY, dict(DEFAULTS)
    for change in changes:
        policy = policy.changed(change)
        for name, value in change.items():
            model[name] = DEFAULTS[name] if value is None else value
        assert decode_json(policy.json()) == model
        assert policy_from_json(policy.json()) == policy
        assert (policy == DEFAULT_POLICY) == (model == DEFAULTS)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"writers": "SOME"}, "writers is 'SOME'; allowed: EVERYONE, VERIFIED, NOBODY"),
        ({"hold": 1}, "hold is 1; allowed: NONE, UNTIL_APPROVED"),
        ({"slowModeSeconds": -1}, "slowModeSeconds is -1; allowed: 0 to 86400"),
        ({"slowModeSeconds": 86_401}, "slowModeSeconds is 86401; allowed: 0 to 86400"),
        ({"slowModeSeconds": True}, "slowModeSeconds is true; allowed: 0 to 86400"),
        ({"maxPublishesPerSecond": 0}, "maxPublishesPerSecond is 0; allowed: 1 to 100000"),
        ({"maxPublishesPerSecond": 100_001}, "is 100001; allowed: 1 to 100000"),
        ({"opensAt": -1}, "opensAt is -1; allowed: 0 to 253402300799999"),
        ({"closesAt": 2**53}, "closesAt is 9007199254740992; allowed:"),
        ({"opensAt": 5, "closesAt": 5}, "opensAt is 5 and closesAt is 5; opensAt must be before"),
        ({"opensAt": 6, "closesAt": 5}, "opensAt must be before closesAt"),
        ({"retentionSeconds": 59}, "retentionSeconds is 59; allowed: 60 to 315360000"),
        ({"retentionSeconds": 315_360_001}, "is 315360001; allowed: 60 to 315360000"),
        ({"blockedWords": "word"}, "blockedWords is 'word'; expected a list of words"),
        ({"blockedWords": ["a"] * 501}, "blockedWords has 501 words; allowed: at most 500"),
        ({"blockedWords": ["a", ""]}, r"blockedWords\[1\] is ''; expected 1 to 64 printable"),
        ({"blockedWords": ["x" * 65]}, r"blockedWords\[0\] is 'xxx.*…; expected 1 to 64"),
        ({"blockedWords": ["a\nb"]}, r"blockedWords\[0\] is 'a\\nb'; expected"),
        ({"blockedWords": ["..."]}, r"\[0\] is '...'; .* at least one letter, digit or symbol"),
        ({"blockedWords": [1]}, r"blockedWords\[0\] is 1; expected"),
        ({"dataSchema": True}, "dataSchema is true; expected a JSON Schema that is an object"),
        ({"dataSchema": {"pattern": "(?=a)"}}, "without look-around"),
    ],
)
def test_what_is_out_of_bounds_is_named(change: dict[str, object], why: str) -> None:
    with pytest.raises(BadUserInput, match=why):
        DEFAULT_POLICY.changed(change)


def test_a_schema_too_large_is_refused() -> None:
    with pytest.raises(PayloadTooLarge, match="dataSchema has"):
        DEFAULT_POLICY.changed({"dataSchema": {"$comment": "x" * 40_000}})


def test_the_bounds_themselves_are_allowed() -> None:
    for change in (
        {"slowModeSeconds": 86_400, "maxPublishesPerSecond": 1, "retentionSeconds": 60},
        {"slowModeSeconds": 0, "maxPublishesPerSecond": 100_000, "retentionSeconds": 315_360_000},
        {"opensAt": 0, "closesAt": 253_402_300_799_999, "blockedWords": ["x" * 64] * 500},
    ):
        DEFAULT_POLICY.changed(change)


def test_fields_that_contradict_what_is_stored_are_refused() -> None:
    policy = DEFAULT_POLICY.changed({"opensAt": 10})
    with pytest.raises(BadUserInput, match="opensAt is 10 and closesAt is 5"):
        policy.changed({"closesAt": 5})
    assert policy.changed({"closesAt": 5, "opensAt": None}).closes_at == 5


def test_a_word_that_comes_twice_is_kept_once() -> None:
    assert DEFAULT_POLICY.changed({"blockedWords": ["a", "b", "a"]}).blocked_words == ("a", "b")


def test_fields_of_later_versions_are_left_aside() -> None:
    stored: dict[str, Any] = {"writers": "NOBODY", "maxImagesPerDay": 4}
    assert policy_from_json(encode_json(stored)) == ChannelPolicy(writers=Writers.NOBODY)
    with pytest.raises(ValueError, match="Invalid enum value"):
        policy_from_json(b'{"writers":"MANY"}')
