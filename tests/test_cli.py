"""The command line, run as people run it: a process of its own."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import jwt
import pytest

from app import __version__, cli
from app.domain.viewer import Permission
from app.embedded.postgres import EmbeddedPostgres
from app.transports.auth.authenticator import Authenticator
from app.transports.auth.keys import VerificationKey
from app.transports.auth.verification import Verification
from tests.served import Served

pytestmark = pytest.mark.usefixtures("counted_processes")

SECRET = "a secret of thirty-two bytes, at least"
STRONG = "Zr8tQy0mVJx3nE5uKc7wHd2bLf9gSa4p"


def _widgetwire(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("WIDGETWIRE_")
    }
    return subprocess.run(
        [sys.executable, "-m", "app", *arguments],
        cwd=Path(__file__).parents[1],
        env=environment | {f"WIDGETWIRE_{name}": value for name, value in settings.items()},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_version_prints_the_version() -> None:
    assert _widgetwire("version").stdout == f"{__version__}\n"


def test_a_command_imports_only_what_it_needs_itself() -> None:
    """`version` imported the database, the migrations and the server: 1 s instead of 0.2."""
    listed = subprocess.run(
        [sys.executable, "-c", "import app.cli, sys; print(*sys.modules)"],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout.split()
    heavy = {"alembic", "sqlalchemy", "strawberry", "uvicorn", "asyncpg", "pydantic", "jwt"}
    assert heavy.isdisjoint(listed)


def test_schema_prints_the_sdl() -> None:
    printed = _widgetwire("schema")
    assert printed.returncode == 0
    assert "type Subscription {" in printed.stdout


def test_config_prints_value_meaning_and_changed_defaults_with_secrets_masked() -> None:
    printed = _widgetwire("config", JWT_SECRET=SECRET, PORT="9000", PROT="1")
    assert printed.returncode == 0
    assert "WIDGETWIRE_PORT=9000\n    TCP port; 0 lets the system choose one (default: 8000)" in (
        printed.stdout
    )
    assert "WIDGETWIRE_JWT_SECRET=(set)\n" in printed.stdout
    assert SECRET not in printed.stdout + printed.stderr
    assert "did you mean WIDGETWIRE_PORT?" in printed.stderr


def test_config_json_is_one_array() -> None:
    settings = json.loads(_widgetwire("config", "--json", GRAPHIQL="off").stdout)
    graphiql = next(one for one in settings if one["variable"] == "WIDGETWIRE_GRAPHIQL")
    assert (graphiql["value"], graphiql["default"]) == (False, True)
    assert graphiql["meaning"]


@pytest.mark.parametrize("command", ["serve", "config", "migrate", "token"])
def test_wrong_settings_are_a_line_each_and_exit_code_2(command: str) -> None:
    printed = _widgetwire(command, PORT="x", ANONYMOUS="y")
    assert printed.returncode == 2
    assert printed.stdout == ""
    assert printed.stderr.splitlines() == [
        "widgetwire: WIDGETWIRE_PORT: expected a whole number from 0 to 65535, got 'x'",
        "widgetwire: WIDGETWIRE_ANONYMOUS: expected one of allow, read, deny, got 'y'",
    ]


@pytest.mark.parametrize("command", ["serve", "config"])
def test_production_does_not_start_with_a_weak_secret(command: str) -> None:
    printed = _widgetwire(command, ENV="production", JWT_SECRET="a" * 32, TRUSTED_PROXIES="::/0")
    assert printed.returncode == 2
    assert printed.stderr.splitlines() == [
        "widgetwire: WIDGETWIRE_JWT_SECRET: expected a random secret in production, got one that "
        "repeats itself; make one with: openssl rand -base64 48",
        "widgetwire: WIDGETWIRE_TRUSTED_PROXIES: expected the addresses of your proxies, got ::/0: "
        "everybody could pass for any address",
    ]


def test_config_names_the_defaults_of_both_profiles() -> None:
    printed = _widgetwire("config", ENV="production", JWT_SECRET=STRONG).stdout
    assert "WIDGETWIRE_ANONYMOUS=read\n" in printed
    assert "(default: allow, in production: read)" in printed
    assert "WIDGETWIRE_PORT=8000\n    TCP port; 0 lets the system choose one\n" in printed


def test_a_key_that_cannot_be_used_is_told_at_start() -> None:
    pem = "-----BEGIN PUBLIC KEY-----\nabc\n-----END PUBLIC KEY-----"
    printed = _widgetwire("serve", JWT_PUBLIC_KEY=pem)
    assert printed.returncode == 2
    assert "expected an RSA (2048 to 8192 bits), EC P-256 or Ed25519 public key" in printed.stderr


@pytest.mark.parametrize("command", ["serve", "config"])
def test_a_listed_document_that_cannot_be_executed_is_told_at_start(
    command: str, tmp_path: Path
) -> None:
    """Before a database is started, and with the id: it may be one of hundreds."""
    file = tmp_path / "documents.json"
    file.write_text(json.dumps({"good": "{ viewer { sub } }", "old": "{ gone }"}))
    printed = _widgetwire(command, DOCUMENTS="known", DOCUMENTS_FILE=str(file))
    assert (printed.returncode, printed.stdout) == (2, "")
    assert printed.stderr == (
        "widgetwire: WIDGETWIRE_DOCUMENTS_FILE: document 'old': Cannot query field 'gone' on type "
        "'Query'.\n"
    )


def test_token_signs_what_the_service_accepts() -> None:
    printed = _widgetwire(
        *("token", "--sub", "u1", "--username", "Ada", "--project", "P1", "--project", "P2"),
        *("--permission", "search", "--permission", "admin", "--expires-in", "60"),
        JWT_SECRET=SECRET,
    )
    assert printed.returncode == 0, printed.stderr
    token = printed.stdout.strip()
    viewer = Authenticator(Verification([VerificationKey.from_secret(SECRET)])).viewer(token)
    assert (viewer.subject, viewer.username) == ("u1", "Ada")
    assert viewer.projects == frozenset({"P1", "P2"})
    assert viewer.permissions == frozenset({Permission.SEARCH, Permission.ADMIN})
    claims = jwt.decode(token, SECRET, algorithms=["HS256"])
    assert claims["exp"] == claims["iat"] + 60


def test_token_signs_for_the_audience_and_by_the_issuer_of_the_settings() -> None:
    printed = _widgetwire("token", JWT_SECRET=SECRET, JWT_AUDIENCE="a,b", JWT_ISSUER="i,j")
    assert printed.returncode == 0, printed.stderr
    claims = jwt.decode(printed.stdout.strip(), SECRET, ["HS256"], audience="a", issuer="i")
    assert claims["sub"] == "developer"


def test_serve_refuses_keys_from_a_place_that_cannot_be_trusted() -> None:
    printed = _widgetwire("serve", JWKS_URL="http://issuer.example/keys")
    assert printed.returncode == 2
    assert "WIDGETWIRE_JWKS_URL: expected https://" in printed.stderr


@pytest.mark.parametrize(
    ("settings", "arguments", "text"),
    [
        ({}, (), "WIDGETWIRE_JWT_SECRET: expected at least 32 bytes to sign with, got nothing"),
        ({"JWT_PUBLIC_KEY": "-----BEGIN PUBLIC KEY-----"}, (), "JWT_PUBLIC_KEY verifies tokens"),
        ({"JWKS_URL": "https://issuer.example"}, (), "JWKS_URL verifies tokens and cannot sign"),
        ({"JWT_SECRET": SECRET}, ("--sub", ""), "claim 'sub'"),
    ],
)
def test_token_says_why_it_cannot_sign(
    settings: dict[str, str], arguments: tuple[str, ...], text: str
) -> None:
    printed = _widgetwire("token", *arguments, **settings)
    assert printed.returncode == 2
    assert text in printed.stderr
    assert "Traceback" not in printed.stderr


def test_serve_refuses_an_old_schema_with_the_command_to_run(empty_database_url: str) -> None:
    printed = _widgetwire("serve", "--port", "0", DATABASE_URL=empty_database_url)
    assert printed.returncode == 2
    assert "run `widgetwire migrate`, or `widgetwire serve --migrate`" in printed.stderr
    assert "Traceback" not in printed.stderr


def test_migrate_makes_it_fit_and_may_be_repeated(
    empty_database_url: str, serve: Callable[..., Served]
) -> None:
    for _ in range(2):
        printed = _widgetwire("migrate", DATABASE_URL=empty_database_url)
        assert (printed.returncode, printed.stdout) == (0, "the schema is up to date\n")
    served = serve(database_url=empty_database_url)
    assert httpx.get(f"{served.url}/healthz/ready").json()["status"] == "ready"


def test_serve_migrates_when_it_is_told_to(
    empty_database_url: str, serve: Callable[..., Served]
) -> None:
    served = serve("--migrate", database_url=empty_database_url)
    assert httpx.get(f"{served.url}/healthz/live").status_code == 200
    served.terminate()
    assert served.wait() == 0


@pytest.mark.parametrize("command", ["serve", "migrate"])
def test_a_database_that_stays_away_is_waited_for_and_then_exit_code_1(command: str) -> None:
    """Exit code 2 said that a setting was wrong, and a supervisor gave up."""
    began = time.monotonic()
    printed = _widgetwire(
        command, DATABASE_URL="postgresql://127.0.0.1:1/none", PORT="0", DATABASE_WAIT_SECONDS="2"
    )
    assert printed.returncode == 1
    assert time.monotonic() - began > 2
    assert printed.stderr.count("waiting for it, 2 s at the most") == 1
    (last,) = printed.stderr.splitlines()[1:]
    assert last.startswith("widgetwire: the database at 127.0.0.1:1/none cannot be reached (")


def test_without_a_wait_a_database_that_is_away_ends_the_start_at_once() -> None:
    printed = _widgetwire(
        "serve", DATABASE_URL="postgresql://127.0.0.1:1/none", PORT="0", DATABASE_WAIT_SECONDS="0"
    )
    assert printed.returncode == 1
    assert len(printed.stderr.splitlines()) == 1


def test_a_database_that_refuses_is_not_waited_for(database_url: str) -> None:
    url = database_url.replace("/widgetwire_test_", "/no_such_database_")
    printed = _widgetwire("serve", DATABASE_URL=url, PORT="0")
    assert printed.returncode == 2
    assert "waiting" not in printed.stderr
    assert "does not exist" in printed.stderr
    assert "Traceback" not in printed.stderr


def test_a_database_that_starts_late_is_served_once_it_is_there(
    serve: Callable[..., Served],
) -> None:
    """A unit whose database starts with the machine, and after it, gave up."""
    with tempfile.TemporaryDirectory() as directory:
        late = EmbeddedPostgres(Path(directory) / "data")
        with late:
            url = late.url
        served = serve("--migrate", wait=False, database_url=url)
        served.wait_for_output("cannot be reached .* waiting for it, 60 s at the most")
        with late:
            served.wait_until_ready()
            assert httpx.get(f"{served.url}/healthz/ready").json()["status"] == "ready"
            served.terminate()
            assert served.wait() == 0
    assert "Traceback" not in served.output


def test_sigterm_while_it_waits_for_a_database_is_an_end_in_order(
    serve: Callable[..., Served],
) -> None:
    served = serve(wait=False, database_url="postgresql://127.0.0.1:1/none")
    served.wait_for_output("waiting for it")
    served.terminate()
    assert served.wait(10) == 0
    assert "Traceback" not in served.output


@pytest.mark.parametrize("workers", ["1", "2"])
def test_serve_runs_whole_on_its_embedded_database_and_ends_with_exit_code_0(
    serve: Callable[..., Served], tmp_path: Path, workers: str
) -> None:
    for _ in range(2):  # the second start finds the first one's data
        served = serve("--workers", workers, database_url=None, WIDGETWIRE_DATA_DIR=str(tmp_path))
        assert httpx.get(f"{served.url}/healthz/ready").json()["status"] == "ready"
        served.terminate()
        assert served.wait(10) == 0
        assert "Traceback" not in served.output
    assert not (tmp_path / "postgres" / "postmaster.pid").exists()


def test_sigterm_while_it_starts_is_an_end_too(
    serve: Callable[..., Served], tmp_path: Path
) -> None:
    served = serve(wait=False, database_url=None, WIDGETWIRE_DATA_DIR=str(tmp_path))
    served.wait_for_output("making a database")
    served.terminate()
    assert served.wait(30) == 0
    assert "Traceback" not in served.output


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_sigterm_that_python_drops_is_not_forgotten() -> None:
    """It came within a finalizer: the service started, and nobody asked it to end again."""

    class Finalized:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    def start() -> None:
        with cli._ended_by_sigterm() as end:
            Finalized()
            assert end.asked
            end.come_if_asked()

    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as ended:
            start()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert ended.value.code == 0


def test_indexes_are_added_and_listed_on_the_database_of_the_settings(database_url: str) -> None:
    arguments = ("indexes", "add", "data.user", "--sort", "data.score")
    added = _widgetwire(*arguments, DATABASE_URL=database_url)
    assert (added.returncode, added.stdout[:6]) == (0, "built "), added.stderr
    assert "data.user, data.score" in _widgetwire("indexes", DATABASE_URL=database_url).stdout
