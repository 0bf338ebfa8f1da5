"""What `widgetwire export` does: the messages of a project become lines of a file."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO

from app.domain.channel import Channel, checked_project_id, checked_widget_id
from app.domain.record import RECORD_FIELDS, Record, decode_record, record_of_texts
from app.errors import BadUserInput, ConfigurationError
from app.process.moving.connecting import connected
from app.process.moving.reading import LONGEST_LINE, csv_row
from app.storage.transfer import FileForm, copy_out, message_count, place_of

__all__ = ["export_messages", "what_is_exported"]


def what_is_exported(project_id: str, widget_id: str | None) -> tuple[str, str | None]:
    """Return the names if a project and a widget may have them.

    Raises:
        ConfigurationError: they may not.
    """
    try:
        checked_project_id(project_id)
        if widget_id is not None:
            checked_widget_id("WIDGET", widget_id)
    except BadUserInput as error:
        raise ConfigurationError(error.message.replace("projectId", "PROJECT")) from None
    return project_id, widget_id


async def export_messages(
    url: str,
    project_id: str,
    widget_id: str | None,
    form: FileForm,
    output: IO[bytes],
    *,
    resumed: Path | None,
    began: Callable[[int], None],
    wrote: Callable[[int], None],
) -> int:
    """Write the stored messages as they are at this moment; return how many lines were written.

    Args:
        url: of the database.
        project_id: whose messages.
        widget_id: of one channel; None: of all of the project.
        form: of the lines.
        output: at the end of what an earlier export has written.
        resumed: the file that an earlier export has begun; None: begin anew.
        began: told how many messages there are.
        wrote: told how many lines each write has had.

    Raises:
        DatabaseUnreachable: it went away; what was written stays, and can be resumed.
        ConfigurationError: the file to resume is no export of this project.
    """
    lines = 0
    async with connected(url, "export") as connection:
        after = None
        if resumed is not None and (last := _last_record(resumed, form)) is not None:
            channel = Channel(project_id, last.widget_id or "")
            place = await place_of(connection, channel, last.id or "")
            if place is None:
                raise ConfigurationError(
                    f"{resumed}: its last message is not in the project {project_id!r} any more: "
                    "export it anew, without --resume"
                )
            after = channel, place
        began(await message_count(connection, project_id, widget_id))

        async def write(data: bytes) -> None:
            nonlocal lines
            # To a pipe it may wait; JSON has no raw end of line.
            await asyncio.to_thread(output.write, data)
            lines += (count := data.count(b"\n"))
            wrote(count)

        header = form == "csv" and output.tell() == 0 if output.seekable() else form == "csv"
        await copy_out(connection, project_id, widget_id, form, write, header=header, after=after)
        output.flush()
    return lines - header


def _last_record(path: Path, form: FileForm) -> Record | None:
    """Return the last whole record of a file, having cut off what follows it."""
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        start = max(0, size - LONGEST_LINE)
        file.seek(start)
        tail = file.read()
        end = tail.rfind(b"\n") + 1
        file.truncate(start + end)
    lines = tail[:end].splitlines()
    if not lines:
        return None
    try:
        if form == "jsonl":
            last = decode_record(lines[-1])
        else:
            names, values = ",".join(RECORD_FIELDS).encode(), lines[-1]
            if values == names:
                return None
            last = record_of_texts(dict(zip(RECORD_FIELDS, csv_row(values), strict=True)))
    except (BadUserInput, ValueError):
        last = None
    if last is None or last.widget_id is None or last.id is None:
        raise ConfigurationError(
            f"{path}: its last line is no message that export has written: export it anew, "
            "without --resume"
        )
    return last
