"""The schema is what `schema.graphql` says, and explains itself."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLObjectType,
    is_specified_directive,
    is_specified_scalar_type,
)

from app.schema import build_schema

SCHEMA_FILE = Path(__file__).parents[2] / "schema.graphql"


def described() -> Iterator[tuple[str, str | None]]:
    """Yield the name and description of everything that the schema has."""
    schema = build_schema()._schema
    for directive in schema.directives:
        if not is_specified_directive(directive):
            yield f"@{directive.name}", directive.description
    for name, type_ in schema.type_map.items():
        if name.startswith("__") or is_specified_scalar_type(type_):
            continue
        yield name, type_.description
        if isinstance(type_, GraphQLEnumType):
            for value, definition in type_.values.items():
                yield f"{name}.{value}", definition.description
        elif isinstance(type_, GraphQLInputObjectType):
            for field, input_field in type_.fields.items():
                yield f"{name}.{field}", input_field.description
        elif isinstance(type_, GraphQLObjectType):
            for field, output_field in type_.fields.items():
                yield f"{name}.{field}", output_field.description
                for argument, definition_ in output_field.args.items():
                    yield f"{name}.{field}({argument}:)", definition_.description


def test_the_file_in_the_repository_is_what_it_prints() -> None:
    """`widgetwire schema > schema.graphql` writes it; the difference is for review."""
    assert SCHEMA_FILE.read_text().strip() == build_schema().as_str().strip()


@pytest.mark.parametrize(
    ("name", "description"), list(described()), ids=lambda value: str(value)[:40]
)
def test_everything_has_a_description(name: str, description: str | None) -> None:
    assert description, name
    assert description.strip().endswith((".", "-")), description


def test_there_is_something_of_each_kind() -> None:
    names = {name for name, _ in described()}
    assert {
        "Mutation.publish(persistent:)",
        "Subscription.messages(after:)",
        "MessageFilter.and",
        "FilterOperator.EXISTS",
        "MessageResult.aggregate(field:)",
        "JSON",
        "Timestamp",
    } <= names
