"""Tokens that the command line signs."""

import jwt
import pytest

from app.domain.viewer import Permission
from app.transports.auth.authenticator import Authenticator
from app.transports.auth.keys import VerificationKey
from app.transports.auth.verification import Verification
from tests.commands.run import SECRET, widgetwire

pytestmark = pytest.mark.usefixtures("counted_processes")


def test_token_signs_what_the_service_accepts() -> None:
    printed = widgetwire(
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
    printed = widgetwire("token", JWT_SECRET=SECRET, JWT_AUDIENCE="a,b", JWT_ISSUER="i,j")
    assert printed.returncode == 0, printed.stderr
    claims = jwt.decode(printed.stdout.strip(), SECRET, ["HS256"], audience="a", issuer="i")
    assert claims["sub"] == "developer"


@pytest.mark.parametrize(
    ("settings", "arguments", "text"),
    [
        ({}, (), "WIDGETWIRE_JWT_SECRET: expected a secret of at least 32 bytes, got nothing"),
        ({"JWT_PUBLIC_KEY": "-----BEGIN PUBLIC KEY-----"}, (), "JWT_PUBLIC_KEY can verify tokens"),
        ({"JWKS_URL": "https://issuer.example"}, (), "JWKS_URL can verify tokens but not sign"),
        ({"JWT_SECRET": SECRET}, ("--sub", ""), "claim 'sub'"),
    ],
)
def test_token_says_why_it_cannot_sign(
    settings: dict[str, str], arguments: tuple[str, ...], text: str
) -> None:
    printed = widgetwire("token", *arguments, **settings)
    assert printed.returncode == 2
    assert text in printed.stderr
    assert "Traceback" not in printed.stderr
