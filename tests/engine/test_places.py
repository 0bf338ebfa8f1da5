"""A kept document: the places of its errors without its tokens and text."""

from typing import Any

import pytest
from graphql import GraphQLError, parse

from app.engine.places import keep_places_only


@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r"])
def test_errors_have_the_places_that_the_parser_gave(line_break: str) -> None:
    text = f"query {{{line_break}  one{line_break}{line_break}  two(a: 1) # x{line_break}}}"
    parsed, kept = parse(text), parse(text)
    keep_places_only(kept, text)
    for before, after in zip(
        parsed.definitions[0].selection_set.selections,  # type: ignore[attr-defined]
        kept.definitions[0].selection_set.selections,  # type: ignore[attr-defined]
        strict=True,
    ):
        assert GraphQLError("x", before).locations == GraphQLError("x", after).locations


def test_it_counts_the_nodes_and_lets_go_of_the_tokens() -> None:
    text = "{ a } # comment"
    document = parse(text)
    # The document, its operation, the selection set, the field and its name.
    assert keep_places_only(document, text) == 5
    place: Any = document.loc
    assert place.start_token is None
    assert "comment" not in place.source.body
