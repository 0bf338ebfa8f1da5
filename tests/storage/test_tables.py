"""The tables as they are declared; that the migrations add up to them is tests of `migrations`."""

import pytest
from sqlalchemy import Table, Text
from sqlmodel import SQLModel

from app.domain.message import MESSAGE_COLUMNS
from app.storage import tables

TABLES = SQLModel.metadata.tables


def test_each_table_is_exported() -> None:
    rows = {getattr(tables, name).__tablename__ for name in tables.__all__ if name.endswith("Row")}
    assert rows == TABLES.keys()
    assert rows == {
        "bans",
        "channel_policies",
        "channels",
        "client_secret",
        "held_messages",
        "messages",
        "presence",
        "processes",
        "publish_times",
        "retracted_messages",
        "retractions",
        "rules",
        "search_shapes",
    }


def test_the_table_has_the_columns_that_a_message_is_read_from() -> None:
    assert set(MESSAGE_COLUMNS) <= {column.name for column in TABLES["messages"].columns}


@pytest.mark.parametrize("table", [one for one in TABLES.values() if "channel" in one.columns])
def test_the_channel_leads_every_key(table: Table) -> None:
    """So that a table can be partitioned or distributed by it."""
    keys = [[column.name for column in table.primary_key.columns]]
    keys += [[column.name for column in index.columns] for index in table.indexes if index.unique]
    assert {key[0] for key in keys} == {"channel"}


def test_text_that_is_compared_sorts_by_code_point() -> None:
    """As the reference in memory does, whatever the locale of the database."""
    for table in TABLES.values():
        for column in table.columns:
            if isinstance(column.type, Text):
                assert column.type.collation == "C", f"{table.name}.{column.name}"
