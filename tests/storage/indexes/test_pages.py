"""What is found is the same with and without indexes."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.json_value import decode_json
from app.domain.query import Comparison, FieldPath, MessageQuery, Operator, parse_query
from app.storage.indexes import pages
from app.storage.indexes.catalogue import SearchIndexes
from app.storage.statements import rendered
from tests.domain.query import reference
from tests.domain.query.strategies import CHANNEL
from tests.storage.indexes.conftest import Indexed, index_on
from tests.storage.indexes.values import FIELDS, LONG, keyed_messages, keyed_queries
from tests.storage.stored import PROPERTY, VALUES, published, sequences


@settings(PROPERTY, max_examples=60)
@given(st.data())
def test_pages_and_counts_are_those_of_the_model(indexed: Indexed, data: st.DataObject) -> None:
    drawn = data.draw(keyed_messages())
    indexed.store(drawn)
    search = indexed.search
    queries = keyed_queries(drawn, grouped=False)
    for query in data.draw(st.lists(queries, min_size=8, max_size=8)):
        found = indexed.run(search.messages(CHANNEL, query))
        assert sequences(found) == sequences(reference.page(drawn, query)), query
        count = indexed.run(search.total_count(CHANNEL, query))
        assert count == len(reference.chosen(drawn, query)), query
