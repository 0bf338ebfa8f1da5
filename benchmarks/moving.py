"""How fast messages go into the database from a file, and out into one.

    python -m benchmarks.moving

Three widgets, every seventh message of a user with a name, data of some 60 bytes. Everything is in
this process but Postgres.
"""

import asyncio
import io
import json
import tempfile
import time
from typing import Any, Final

from app.process.moving.exporting import export_messages
from app.process.moving.importing import Importing
from app.process.moving.reading import read_lines
from app.storage.migrations import migrate
from app.storage.transfer import FileForm
from benchmarks.report import options, show
from benchmarks.servers import postgres

_COLUMNS: Final = ("file", "messages", "import/s", "the same again/s", "export as CSV/s")
_FORMS: Final[tuple[FileForm, ...]] = ("jsonl", "csv")


def _recording(messages: int) -> bytes:
    lines = (
        {
            "widget_id": f"widget{number % 3}",
            "client_id": f"client{number % 1000}",
            "created": 1_767_225_600_000 + number,
            "username": f"user{number % 500}" if number % 7 == 0 else None,
            "data": {"score": number % 100, "text": "what somebody wrote", "liked": True},
        }
        for number in range(messages)
    )
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


async def _imported(url: str, project: str, form: FileForm, file: bytes) -> float:
    importing = Importing(
        url,
        project,
        None,
        skip_bad=False,
        bad=lambda number, why: print(f"line {number}: {why}"),
        went_on=lambda _bytes: None,
    )
    began = time.perf_counter()
    assert await importing.store(read_lines(io.BytesIO(file), form, 65_536))
    seconds = time.perf_counter() - began
    return (importing.told.stored + importing.told.known) / seconds


async def _exported(url: str, project: str, form: FileForm) -> tuple[float, bytes]:
    with tempfile.TemporaryFile() as file:
        began = time.perf_counter()
        lines = await export_messages(
            url,
            project,
            None,
            form,
            file,
            resumed=None,
            began=lambda _messages: None,
            wrote=lambda _lines: None,
        )
        seconds = time.perf_counter() - began
        file.seek(0)
        return lines / seconds, file.read()


async def main() -> None:
    """Measure and show."""
    chosen = options(__doc__ or "")
    messages = 3_000 if chosen.small else 200_000
    rows: list[list[Any]] = []
    with postgres() as url:
        await migrate(url)
        file = _recording(messages)
        for form in _FORMS:
            into = await _imported(url, form, form, file)
            again = await _imported(url, form, form, file)
            # What comes out of the first goes into the second.
            out, file = await _exported(url, form, "csv")
            rows.append([form, messages, into, again, out])
    show("Messages from a file and into one", _COLUMNS, rows, chosen.json)


if __name__ == "__main__":
    asyncio.run(main())
