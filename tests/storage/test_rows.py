"""From a row of the table to a message."""

import pytest
from uuid_utils import uuid7

from app.domain.channel import Channel
from app.domain.message import Draft
from app.storage.database import Database
from app.storage.rows import MESSAGE_COLUMNS, message_from_row
from app.storage.writer import MessageWriter

pytestmark = pytest.mark.anyio

CHANNEL = Channel("project", "widget")


@pytest.mark.parametrize("username", [None, "Ann"])
async def test_a_stored_message_reads_back_as_it_was_written(
    database: Database, username: str | None
) -> None:
    draft = Draft(CHANNEL, str(uuid7()), "client", username, b'{"a": 1.50}')
    written = (await MessageWriter(database, lambda _messages: None).write(draft)).message
    (row,) = await database.fetch(f"SELECT {MESSAGE_COLUMNS} FROM messages")
    assert message_from_row(CHANNEL, row) == written
