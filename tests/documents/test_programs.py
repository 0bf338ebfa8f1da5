"""The programs of AUTHENTICATION.md sign tokens that the server accepts."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import pytest

from app.transports.auth.authenticator import Authenticator
from app.transports.auth.keys import own_keys
from app.transports.auth.verification import Verification
from tests.documents.blocks import block
from tests.node import required_program

SECRET: Final = "a secret of more than thirty-two bytes"


@pytest.mark.parametrize("name", ["token.mjs", "token.php", "token_for.py"])
def test_the_program_prints_a_good_token(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(block("docs/AUTHENTICATION.md", name), encoding="utf-8")
    if name.endswith(".py"):
        program = Path(sys.executable)
    else:
        program = required_program("node" if name.endswith(".mjs") else "php")
    printed = subprocess.run(
        [program, name],
        cwd=tmp_path,
        env=os.environ | {"WIDGETWIRE_JWT_SECRET": SECRET},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    viewer = Authenticator(Verification(own_keys(SECRET, None))).viewer(printed.stdout.strip())
    assert (viewer.subject, viewer.username) == ("42", "Ada")
    assert viewer.projects == frozenset({"demo"})
    assert viewer.expires_at is not None
    assert 800 < viewer.expires_at - time.time() <= 900
