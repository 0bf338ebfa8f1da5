"""Clients of the last release go on working with this schema.

`released.graphql` is the schema of the last release. A release renews it, in the commit that sets
the version: `cp schema.graphql tests/schema/released.graphql`. A break that is meant needs a new
major version, and its line in CHANGELOG.md.
"""

from pathlib import Path

from graphql import build_schema as schema_of
from graphql import find_breaking_changes

from app.schema import build_schema

RELEASED = Path(__file__).with_name("released.graphql").read_text(encoding="utf-8")


def breaking_changes(released: str, now: str) -> list[str]:
    """Return what in the schema `now` breaks a client of the schema `released`, one line each."""
    found = find_breaking_changes(schema_of(released), schema_of(now))
    return [f"{change.type.name}: {change.description}" for change in found]


def test_nothing_breaks_a_client_of_the_last_release() -> None:
    breaks = breaking_changes(RELEASED, build_schema().as_str())
    assert not breaks, "\n".join(["this would break clients:", *breaks])


def test_each_break_is_named() -> None:
    now = RELEASED.replace("  username: String\n", "  userName: String\n")
    now = now.replace("sortField: String\n", "sortField: Int\n")
    assert breaking_changes(RELEASED, now) == [
        "FIELD_REMOVED: Field Message.username was removed.",
        "FIELD_CHANGED_KIND: Field MessageQuery.sortField changed type from String to Int.",
    ]
