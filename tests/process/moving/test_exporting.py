"""What `widgetwire export` writes, and how it goes on where it was interrupted."""

import io
from pathlib import Path

import pytest

from app.errors import ConfigurationError, DatabaseUnreachable
from app.process.moving.exporting import export_messages, what_is_exported
from app.storage.database import Database
from app.storage.transfer import FileForm
from tests.storage.test_erasure import publish

pytestmark = pytest.mark.anyio


async def exported(
    url: str, form: FileForm = "jsonl", resumed: Path | None = None, project: str = "p"
) -> tuple[int, bytes]:
    output = io.BytesIO()
    if resumed is not None:
        output.seek(0, io.SEEK_END)
    counted: list[int] = []
    lines = await export_messages(
        url,
        project,
        None,
        form,
        output,
        resumed=resumed,
        began=counted.append,
        wrote=lambda _lines: None,
    )
    return lines, output.getvalue()


@pytest.mark.parametrize("form", ["jsonl", "csv"])
async def test_an_interrupted_export_goes_on_after_its_last_whole_line(
    database: Database, database_url: str, tmp_path: Path, form: FileForm
) -> None:
    for number in range(6):
        await publish(database, f"p/{'ab'[number % 2]}", f"Zoé, {number}")
    lines, whole = await exported(database_url, form)
    assert lines == 6
    file = tmp_path / "file"
    for cut in range(len(whole) // 3, len(whole) + 1, len(whole) // 7):
        file.write_bytes(whole[:cut])
        with file.open("ab") as output:
            await export_messages(
                database_url,
                "p",
                None,
                form,
                output,
                resumed=file,
                began=lambda _count: None,
                wrote=lambda _lines: None,
            )
        assert file.read_bytes() == whole


async def test_what_is_no_export_of_the_project_is_not_gone_on_with(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    await publish(database, "p/a", "Zoé")
    file = tmp_path / "file"
    file.write_bytes((await exported(database_url))[1])
    with pytest.raises(ConfigurationError, match="not in the project 'q' any more"):
        await exported(database_url, resumed=file, project="q")
    for text, form in ((b"nonsense\n", "jsonl"), (b"a,b\n", "csv")):
        file.write_bytes(text)
        with pytest.raises(ConfigurationError, match="no message that export has written"):
            await exported(database_url, form, resumed=file)  # type: ignore[arg-type]


async def test_a_database_that_is_away_is_said(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnreachable, match="not reachable"):
        await exported("postgresql://nobody@127.0.0.1:1/none")


def test_names_that_no_channel_has_are_refused() -> None:
    assert what_is_exported("p", None) == ("p", None)
    with pytest.raises(ConfigurationError, match="PROJECT is 'a b'; allowed are"):
        what_is_exported("a b", None)
    with pytest.raises(ConfigurationError, match="WIDGET is 'a/b'"):
        what_is_exported("a", "a/b")
