"""`widgetwire export`, `import` and `replay`, as they are typed."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from app.cli import _cli
from app.errors import ConfigurationError


def run(url: str, *arguments: str, stdin: bytes | None = None) -> Result:
    environment = {"WIDGETWIRE_DATABASE_URL": url, "WIDGETWIRE_BROADCAST_URL": "memory://"}
    return CliRunner().invoke(_cli, arguments, input=stdin, env=environment)


def refusal(result: Result) -> str:
    assert isinstance(result.exception, ConfigurationError)
    return str(result.exception)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    file = tmp_path / "recording.jsonl"
    lines = [
        {"widget_id": "a", "client_id": "c", "created": number, "data": {"n": number}}
        for number in range(30)
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


def test_a_project_goes_out_and_into_another_one_in_either_form(
    database_url: str, recording: Path, tmp_path: Path
) -> None:
    done = run(database_url, "import", str(recording), "--into", "p")
    assert "imported 30 messages; 0 were there already, 0 bad lines" in done.stderr
    first, second = tmp_path / "first.jsonl", tmp_path / "second.csv"
    assert "exported 30" in run(database_url, "export", "p", "--to", str(first)).stderr
    run(database_url, "import", str(first), "--into", "q")
    run(database_url, "export", "q", "--to", str(second))
    run(database_url, "import", str(second), "--into", "r", "--widget", "b")
    printed = run(database_url, "export", "r", "b").stdout.splitlines()
    here = [json.loads(line) for line in first.read_text().splitlines()]
    assert [json.loads(line) | {"widget_id": "a"} for line in printed] == here


def test_a_file_that_is_there_is_not_written_over(database_url: str, recording: Path) -> None:
    before = recording.read_bytes()
    result = run(database_url, "export", "p", "--to", str(recording))
    assert "exists: remove it, or go on with --resume" in refusal(result)
    assert "standard output" in refusal(run(database_url, "export", "p", "--resume"))
    assert recording.read_bytes() == before


def test_an_export_goes_on(database_url: str, recording: Path, tmp_path: Path) -> None:
    run(database_url, "import", str(recording), "--into", "p")
    file = tmp_path / "file"
    run(database_url, "export", "p", "--to", str(file))
    whole = file.read_bytes()
    file.write_bytes(whole[:-7])
    run(database_url, "export", "p", "--to", str(file), "--resume")
    assert file.read_bytes() == whole


def test_bad_lines_are_named_and_at_most_twenty(database_url: str) -> None:
    bad = b"{}\n" * 30
    result = run(database_url, "import", "-", "--into", "p", stdin=bad)
    assert "ended at a bad line" in refusal(result)
    assert "line 1: not a message: " in result.stderr
    told = run(database_url, "import", "-", "--into", "p", "--skip-bad", stdin=bad).stderr
    assert told.count("line ") == 20
    assert "more bad lines are counted only" in told
    assert "imported 0 messages; 0 were there already, 30 bad lines" in told


def test_a_file_that_is_not_there_is_said(database_url: str, tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    assert "No such file" in refusal(run(database_url, "import", missing, "--into", "p"))
    assert "No such file" in refusal(run(database_url, "replay", missing, "--into", "p"))
    assert "PROJECT is 'a b'" in refusal(run(database_url, "replay", missing, "--into", "a b"))


def test_a_recording_is_replayed(database_url: str, recording: Path) -> None:
    told = run(database_url, "replay", str(recording), "--into", "t", "--speed", "10").stderr
    assert "replaying 30 messages in 0 s" in told
    assert "published 30 messages" in told
    assert len(run(database_url, "export", "t").stdout.splitlines()) == 30
