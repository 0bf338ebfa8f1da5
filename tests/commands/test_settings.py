"""What commands begin with."""

import pytest

from app.commands.settings import database_of_command, read_settings


def test_a_variable_that_is_no_setting_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WIDGETWIRE_PROT", "1")
    read_settings()
    assert "did you mean WIDGETWIRE_PORT?" in capsys.readouterr().err


def test_the_database_has_its_address(monkeypatch: pytest.MonkeyPatch, database_url: str) -> None:
    monkeypatch.setenv("WIDGETWIRE_DATABASE_URL", database_url)
    with database_of_command() as (given, settings):
        assert given.database_url == settings.database_url == database_url
