"""What commands begin with."""

import json
from pathlib import Path

import pytest

from app.commands.settings import database_of_command, read_settings
from tests.commands.run import widgetwire


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


@pytest.mark.parametrize("command", ["serve", "config"])
def test_production_does_not_start_with_a_weak_secret(command: str) -> None:
    printed = widgetwire(command, ENV="production", JWT_SECRET="a" * 32, TRUSTED_PROXIES="::/0")
    assert printed.returncode == 2
    assert printed.stderr.splitlines() == [
        "widgetwire: WIDGETWIRE_JWT_SECRET: expected a random secret in production, got one that "
        "is repetitive; make one with: openssl rand -base64 48",
        "widgetwire: WIDGETWIRE_TRUSTED_PROXIES: expected the addresses of your proxies, got "
        "::/0, which lets every client claim any address",
    ]


def test_a_key_that_cannot_be_used_is_told_at_start() -> None:
    pem = "-----BEGIN PUBLIC KEY-----\nabc\n-----END PUBLIC KEY-----"
    printed = widgetwire("serve", JWT_PUBLIC_KEY=pem)
    assert printed.returncode == 2
    assert "expected an RSA (2048 to 8192 bits), EC P-256 or Ed25519 public key" in printed.stderr


@pytest.mark.parametrize("command", ["serve", "config"])
def test_a_listed_document_that_cannot_be_executed_is_told_at_start(
    command: str, tmp_path: Path
) -> None:
    """Before a database is started, and with the id: it may be one of hundreds."""
    file = tmp_path / "documents.json"
    file.write_text(json.dumps({"good": "{ viewer { sub } }", "old": "{ gone }"}))
    printed = widgetwire(command, DOCUMENTS="known", DOCUMENTS_FILE=str(file))
    assert (printed.returncode, printed.stdout) == (2, "")
    assert printed.stderr == (
        "widgetwire: WIDGETWIRE_DOCUMENTS_FILE: document 'old': Cannot query field 'gone' on type "
        "'Query'.\n"
    )


def test_serve_refuses_keys_from_a_place_that_cannot_be_trusted() -> None:
    printed = widgetwire("serve", JWKS_URL="http://issuer.example/keys")
    assert printed.returncode == 2
    assert "WIDGETWIRE_JWKS_URL: expected https://" in printed.stderr
