"""The settings: bounds, errors that name the variable, secrets that stay hidden."""

import os
from pathlib import Path

import pytest

from app.config import Settings, unknown_variables
from app.errors import ConfigurationError

SECRET = "a secret of thirty-two bytes, at least"
CLIENT_SECRET = "another secret of thirty-two bytes"
PUBLIC = "-----BEGIN PUBLIC KEY-----\nabc\n-----END PUBLIC KEY-----\n"


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("WIDGETWIRE_"):
            monkeypatch.delenv(name)


def test_without_any_variable_everything_has_its_default() -> None:
    settings = Settings()
    assert settings.database_url is None
    assert settings.anonymous == "allow"
    assert settings.max_data_bytes == 65536
    assert settings.data_dir.is_absolute()
    for one in settings.describe():
        assert one.value == one.default, one.variable
        assert one.meaning, one.variable


def test_variables_are_read_and_arguments_go_before_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WIDGETWIRE_PORT", "9000")
    monkeypatch.setenv("WIDGETWIRE_WORKERS", "3")
    monkeypatch.setenv("WIDGETWIRE_ALLOWED_ORIGINS", "https://A.example, http://b.example:8080 ,")
    monkeypatch.setenv("WIDGETWIRE_DATABASE_URL", "")
    settings = Settings(port=9001)
    assert (settings.port, settings.workers) == (9001, 3)
    assert settings.allowed_origins == ("https://a.example", "http://b.example:8080")
    assert settings.database_url is None


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("port", "web", "WIDGETWIRE_PORT: expected a whole number from 0 to 65535, got 'web'"),
        ("port", "65536", "WIDGETWIRE_PORT: expected a whole number from 0 to 65535, got '65536'"),
        ("port", "80.5", "WIDGETWIRE_PORT: expected a whole number from 0 to 65535, got '80.5'"),
        ("workers", "0", "WIDGETWIRE_WORKERS: expected a whole number from 1 to 64, got '0'"),
        (
            "ping_interval_seconds",
            "nan",
            "WIDGETWIRE_PING_INTERVAL_SECONDS: expected a number from 0.1 to 3600, got 'nan'",
        ),
        (
            "publish_timeout_seconds",
            "inf",
            "WIDGETWIRE_PUBLISH_TIMEOUT_SECONDS: expected a number from 0.1 to 60, got 'inf'",
        ),
        (
            "anonymous",
            "maybe",
            "WIDGETWIRE_ANONYMOUS: expected one of allow, read, deny, got 'maybe'",
        ),
        (
            "env",
            "staging",
            "WIDGETWIRE_ENV: expected one of development, production, got 'staging'",
        ),
        (
            "project_searches_per_second",
            "-1",
            "WIDGETWIRE_PROJECT_SEARCHES_PER_SECOND: expected a number from 0 to 1000000, got '-1'",
        ),
        (
            "max_anonymous_bytes",
            "1024",
            "WIDGETWIRE_MAX_ANONYMOUS_BYTES: expected no less than WIDGETWIRE_MAX_DATA_BYTES "
            "(65536), got 1024",
        ),
        ("graphiql", "perhaps", "WIDGETWIRE_GRAPHIQL: expected true or false, got 'perhaps'"),
        ("documents", "some", "WIDGETWIRE_DOCUMENTS: expected one of any, known, got 'some'"),
        (
            "documents",
            "known",
            "WIDGETWIRE_DOCUMENTS_FILE: expected a file when WIDGETWIRE_DOCUMENTS is known, got "
            "nothing",
        ),
        (
            "host",
            "http://here",
            "WIDGETWIRE_HOST: expected a host name or an IP address, got 'http://here'",
        ),
        (
            "allowed_origins",
            "example.com",
            "WIDGETWIRE_ALLOWED_ORIGINS: expected * or a comma-separated list of origins such as "
            "https://example.com, https://*.example.com or null, got 'example.com'",
        ),
        (
            "trusted_proxies",
            "10.0.0.1/8",
            "WIDGETWIRE_TRUSTED_PROXIES: expected IP addresses and networks such as 10.0.0.0/8, "
            "got '10.0.0.1/8'",
        ),
        (
            "database_url",
            "mysql://u:hunter2@h/d",
            "WIDGETWIRE_DATABASE_URL: expected postgresql://user:password@host:port/database, "
            "got a value that is not shown",
        ),
        (
            "broadcast_url",
            "amqp://:hunter2@h",
            "WIDGETWIRE_BROADCAST_URL: expected 'postgres' (the database carries it), "
            "redis://host:port, rediss://… (TLS), kafka://host:port/topic or 'memory://' "
            "(one process), got a value that is not shown",
        ),
        (
            "jwt_secret",
            "hunter2",
            "WIDGETWIRE_JWT_SECRET: expected at least 32 bytes, got a value that is not shown",
        ),
        *(
            (
                "client_secret",
                secrets,
                "WIDGETWIRE_CLIENT_SECRET: expected 1 to 8 secrets of at least 32 bytes, "
                "separated by commas, got a value that is not shown",
            )
            for secrets in (
                "hunter2",
                f"{CLIENT_SECRET},hunter2",
                ",",
                ",".join([CLIENT_SECRET] * 9),
            )
        ),
        (
            "jwt_public_key",
            "/no/such/file.pem",
            "WIDGETWIRE_JWT_PUBLIC_KEY: expected PEM text or the path of a readable PEM file, "
            "got a value that is not shown",
        ),
        (
            "jwt_public_key",
            "-----BEGIN PRIVATE KEY-----\nhunter2",
            "WIDGETWIRE_JWT_PUBLIC_KEY: expected a public key: a private one does not belong on "
            "this server, got a value that is not shown",
        ),
    ],
)
def test_a_wrong_value_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, problem: str
) -> None:
    monkeypatch.setenv(f"WIDGETWIRE_{name.upper()}", value)
    with pytest.raises(ConfigurationError) as raised:
        Settings()
    assert str(raised.value) == problem
    assert "hunter2" not in str(raised.value)


def test_each_wrong_variable_gets_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WIDGETWIRE_PORT", "x")
    monkeypatch.setenv("WIDGETWIRE_WORKERS", "y")
    with pytest.raises(ConfigurationError) as raised:
        Settings()
    assert [line.partition(":")[0] for line in str(raised.value).splitlines()] == [
        "WIDGETWIRE_PORT",
        "WIDGETWIRE_WORKERS",
    ]


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"workers": 2, "broadcast_url": "memory://"}, "joins processes"),
        ({"presence_lease_seconds": 5, "presence_heartbeat_seconds": 2}, "at least three times"),
        ({"max_data_bytes": 65536, "max_frame_bytes": 1024}, "no more than"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    values: dict[str, object], problem: str
) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        Settings(**values)


def test_a_public_key_is_read_from_its_file_or_its_text(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    file.write_text(PUBLIC)
    assert Settings(jwt_public_key=str(file)).jwt_public_key == PUBLIC
    assert Settings(jwt_public_key=PUBLIC.replace("\n", "\\n")).jwt_public_key == PUBLIC


def test_all_kinds_of_keys_may_be_set_together() -> None:
    url = "https://issuer.example/keys?code=hunter2"
    settings = Settings(
        jwt_secret=SECRET,
        jwt_public_key=PUBLIC,
        jwks_url=url,
        jwt_audience="widgets, api://widgets",
        jwt_issuer="https://issuer.example",
    )
    assert settings.jwks_url == url
    assert settings.jwt_audience == ("widgets", "api://widgets")
    assert settings.jwt_issuer == ("https://issuer.example",)
    described = {one.variable: one.value for one in settings.describe()}
    assert described["WIDGETWIRE_JWKS_URL"] == "https://issuer.example/keys?***"
    assert described["WIDGETWIRE_JWT_AUDIENCE"] == "widgets,api://widgets"


def test_secrets_show_neither_in_repr_nor_in_descriptions() -> None:
    url = "postgresql://me:hunter2@db.example:5432/app?sslpassword=hunter2"
    settings = Settings(jwt_secret=SECRET, client_secret=CLIENT_SECRET, database_url=url)
    described = {one.variable: one.value for one in settings.describe()}
    assert described["WIDGETWIRE_JWT_SECRET"] == "(set)"
    assert described["WIDGETWIRE_CLIENT_SECRET"] == "(set)"
    assert described["WIDGETWIRE_DATABASE_URL"] == "postgresql://me:***@db.example:5432/app?***"
    for text in (repr(settings), str(settings), repr(described)):
        assert "hunter2" not in text
        assert SECRET not in text
        assert CLIENT_SECRET not in text


def test_the_secrets_of_client_ids_are_a_list_the_one_that_signs_first() -> None:
    one, other = CLIENT_SECRET, CLIENT_SECRET.upper()
    assert Settings().client_secrets == ()
    assert Settings(client_secret=one).client_secrets == (one,)
    assert Settings(client_secret=f" {one} , {other},").client_secrets == (one, other)


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().port = 1


def test_a_variable_that_is_no_setting_is_warned_of_with_the_nearest_one() -> None:
    assert unknown_variables({"WIDGETWIRE_PROT": "1", "WIDGETWIRE_PORT": "1", "HOME": "/"}) == [
        "WIDGETWIRE_PROT is not a setting and has no effect; did you mean WIDGETWIRE_PORT?"
    ]


def test_settings_md_names_every_setting_with_its_default() -> None:
    text = (Path(__file__).parents[1] / "docs" / "SETTINGS.md").read_text(encoding="utf-8")
    for one in Settings().describe():
        default = "" if one.default is None else str(one.default)
        if one.variable == "WIDGETWIRE_DATA_DIR":
            default = ""  # depends on the user
        row = next(
            (line for line in text.splitlines() if line.startswith(f"| `{one.variable}` |")), None
        )
        assert row is not None, f"{one.variable} is missing"
        assert default in row, f"{one.variable}: its default is {default}"
        if one.production_default != one.default:
            assert f"in production `{one.production_default}`" in row, one.variable
