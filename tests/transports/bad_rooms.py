"""What clients get wrong in rooms: retractions, replacements, policies, bans, held messages.

Beside `tests.transports.bad_requests`, in the same form. Whoever asks has every permission.
"""

import json
from typing import Any, Final
from uuid import uuid4

from tests.transports.bad_requests import BadRequest

__all__ = ["MUTATIONS", "QUERIES", "SUBSCRIPTIONS"]

_BAD: Final = "BAD_USER_INPUT"
_ID: Final = str(uuid4())
_CHANNEL: Final = 'projectId: "bad-input", widgetId: "poll"'


def _request(
    name: str, document: str, *says: str, code: str = _BAD, **variables: Any
) -> BadRequest:
    payload = json.dumps({"query": document, "variables": variables})
    return BadRequest(name, payload, code, says)


def _ids(field: str, name: str, ids: Any, *says: str) -> BadRequest:
    document = f"mutation ($ids: [ID!]!) {{ {field}({_CHANNEL}, ids: $ids) }}"
    return _request(f"{field} {name}", document, *says, ids=ids)


def _policy(name: str, *says: str, code: str = _BAD, **policy: Any) -> BadRequest:
    document = (
        "mutation ($policy: ChannelPolicyInput!) "
        f"{{ setChannelPolicy({_CHANNEL}, policy: $policy) {{ writers }} }}"
    )
    return _request(f"a policy with {name}", document, *says, code=code, policy=policy)


def _schema(name: str, schema: Any, *says: str, code: str = _BAD) -> BadRequest:
    return _policy(name, *says, code=code, dataSchema=schema)


def _ban(name: str, *says: str, project: str = "bad-input", **given: Any) -> BadRequest:
    document = "mutation ($p: ID!, $b: BanInput!) { ban(projectId: $p, input: $b) { id } }"
    return _request(f"a ban {name}", document, *says, p=project, b=given)


def _publish(name: str, *says: str, **variables: Any) -> BadRequest:
    document = (
        "mutation ($id: ID, $persistent: Boolean! = true, $onRepeat: OnRepeat! = KEEP) "
        f"{{ publish({_CHANNEL}, data: 1, id: $id, persistent: $persistent, onRepeat: $onRepeat) "
        "{ id } }"
    )
    return _request(f"publish {name}", document, *says, **variables)


MUTATIONS: Final = [
    *(
        one
        for field in ("retract", "approve", "reject")
        for one in (
            _ids(field, "nothing", [], "ids", "1 to 1000"),
            _ids(field, "1,001 ids", [_ID] * 1001, "ids has 1001", "1 to 1000"),
            _ids(field, "what is no id", ["nonsense"], "ids[0] is 'nonsense'"),
            _ids(field, "NUL", ["\0"], "ids[0]"),
            _ids(field, "a lone null", [None], "ids", "null"),
            _ids(field, "an object", {"id": _ID}, "ids"),
        )
    ),
    _request(
        "a reason of 501 characters",
        f"mutation ($r: String) {{ retract({_CHANNEL}, ids: [{json.dumps(_ID)}], reason: $r) }}",
        "reason",
        "500",
        r="x" * 501,
    ),
    _request(
        "a reason with a line end",
        f"mutation ($r: String) {{ retract({_CHANNEL}, ids: [{json.dumps(_ID)}], reason: $r) }}",
        "reason",
        "printable",
        r="a\nb",
    ),
    _publish("replacing without an id", "onRepeat", "id is missing", onRepeat="REPLACE"),
    _publish(
        "replacing what is not stored",
        "onRepeat",
        "persistent is false",
        id="k",
        persistent=False,
        onRepeat="REPLACE",
    ),
    _publish("a word that is none", "AGAIN", "OnRepeat", onRepeat="AGAIN"),
    _publish("a word that is null", "onRepeat", "null", onRepeat=None),
    _publish("persistent as a string", "persistent", "yes", persistent="yes"),
    # Policies.
    _policy("negative slow mode", "slowModeSeconds is -1", "0 to 86400", slowModeSeconds=-1),
    _policy("a slow mode of two days", "slowModeSeconds", "86400", slowModeSeconds=172_800),
    _policy("a rate of 0", "maxPublishesPerSecond is 0", "1 to", maxPublishesPerSecond=0),
    _policy("an end before its begin", "opensAt", "closesAt", opensAt=2, closesAt=1),
    _policy("an end at its begin", "opensAt", "closesAt", opensAt=2, closesAt=2),
    _policy("a time before 1970", "opensAt is -1", opensAt=-1),
    _policy("a time that is a string", "opensAt", opensAt="2026-01-01"),
    _policy("half a millisecond", "opensAt", opensAt=1.5),
    _policy("a retention of a second", "retentionSeconds is 1", "60", retentionSeconds=1),
    _policy("501 words", "blockedWords has 501", "500", blockedWords=["w"] * 501),
    _policy("an empty word", "blockedWords[0] is ''", blockedWords=[""]),
    _policy("a word of no letter", "blockedWords[0]", blockedWords=["   "]),
    _policy("unknown writers", "ANYONE", "Writers", writers="ANYONE"),
    _policy("an unknown hold", "FOREVER", "Hold", hold="FOREVER"),
    _policy("an unknown field", "colour", colour="red"),
    _schema("a schema that is none", {"type": "colour"}, "dataSchema", "2020-12"),
    _schema("a schema of another type", True, "dataSchema is true"),
    _schema("a huge schema", {"x": "x" * 33_000}, "dataSchema", code="PAYLOAD_TOO_LARGE"),
    _schema("a remote reference", {"$ref": "https://example.com/s"}, "dataSchema", "begin with #"),
    _schema("a dangling reference", {"$ref": "#/$defs/none"}, "dataSchema", "no schema"),
    _schema("another draft", {"$schema": "http://json-schema.org/draft-07/schema#"}, "$schema"),
    _schema("a pattern that looks around", {"pattern": "(?=a)b"}, "dataSchema", "look-around"),
    _schema("a pattern that is none", {"pattern": "("}, "dataSchema"),
    _schema("a catastrophic pattern", {"pattern": "(a{1,900}){1,900}"}, "dataSchema", "KiB"),
    # Bans.
    _ban("of nobody", "input", "username", "sub", "clientId"),
    _ban("of two", "input", username="a", sub="b"),
    _ban("of oneself", "input.sub is your own", sub="moderator"),
    _ban("of an empty name", "input.username", username=""),
    _ban("of a name of 1 kB", "input.username", username="x" * 1024),
    _ban("of a claimed client id", "input.clientId", clientId="claimed"),
    _ban("in the past", "input.until", username="a", until=1),
    _ban("until a string", "until", username="a", until="tomorrow"),
    _ban("of an unknown mode", "EXILE", "BanMode", username="a", mode="EXILE"),
    _ban("with a long reason", "input.reason", "500", username="a", reason="x" * 501),
    _ban("in no project", "projectId is 'a b'", project="a b", username="a"),
    # Deletion.
    _request(
        "a deletion with an unknown field",
        f"mutation ($f: [MessageFilter!]!) {{ deleteMessages({_CHANNEL}, filters: $f) }}",
        "'score'",
        f=[{"field": "score", "operator": "EQ", "value": 1}],
    ),
    _request(
        "a deletion with a bad widget",
        'mutation { deleteMessages(projectId: "bad-input", widgetId: "a b") }',
        "widgetId is 'a b'",
    ),
]

QUERIES: Final = [
    _request(
        "none of the held messages",
        f"{{ heldMessages({_CHANNEL}, limit: 0) {{ id }} }}",
        "limit is 0",
    ),
    _request(
        "too many held messages",
        f"{{ heldMessages({_CHANNEL}, limit: 100000) {{ id }} }}",
        "limit is 100000",
    ),
    _request(
        "none of the channels",
        '{ channels(projectId: "bad-input", limit: 0) { widgetId } }',
        "limit is 0",
        "1 to 1000",
    ),
    _request(
        "channels after an unknown one",
        '{ channels(projectId: "bad-input", after: "nowhere") { widgetId } }',
        "after",
        "'nowhere'",
        code="UNKNOWN_CURSOR",
    ),
    _request(
        "channels of a bad project", '{ channels(projectId: "a b") { widgetId } }', "projectId"
    ),
    _request("bans of a bad project", '{ bans(projectId: "") { id } }', "projectId"),
    _request(
        "the policy of a bad channel",
        '{ channelPolicy(projectId: "bad-input", widgetId: "a/b") { writers } }',
        "widgetId is 'a/b'",
    ),
]

SUBSCRIPTIONS: Final = [
    _request(
        "events after an unknown cursor",
        f'subscription {{ channelEvents({_CHANNEL}, after: "nonsense") {{ __typename }} }}',
        "after",
        "'nonsense'",
        code="UNKNOWN_CURSOR",
    ),
    _request(
        "events with a huge last",
        f"subscription {{ channelEvents({_CHANNEL}, last: 1001) {{ __typename }} }}",
        "last is 1001",
    ),
    _request(
        "held messages of a bad channel",
        'subscription { heldMessages(projectId: "bad-input", widgetId: "") { id } }',
        "widgetId is ''",
    ),
    _request(
        "counts of a bad channel",
        'subscription { connectionCount(projectId: "a b", widgetId: "poll") { count } }',
        "projectId is 'a b'",
    ),
]
