"""The Autobahn test suite's cases for framing, pings, fragments, UTF-8 and closing.

https://github.com/crossbario/autobahn-testsuite; kosoku runs its case files, since the
suite's own runner needs Python 2.
"""

import asyncio
import json
import sys
from pathlib import Path

import pytest

from app.wire.frames import Opcode, frame
from app.wire.websocket import WebSocketProtocol
from tests.wire.echo import echo
from tests.wire.wire import serving

pytestmark = pytest.mark.anyio

SECTIONS = ("1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*")


def answer_both_kinds(self: WebSocketProtocol, opcode: Opcode, payload: bytes) -> None:
    """The suite wants binary messages back too, which no session of ours would send."""
    self.send_framed(frame(opcode, payload))


async def test_no_case_of_sections_1_to_7_and_10_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WebSocketProtocol, "_message", answer_both_kinds)
    # The suite expects to see what it caused and nothing else: no pings of ours.
    async with serving(echo, ws_max_size=2**20, ws_ping_interval=None) as (_, port):
        includes = [part for section in SECTIONS for part in ("--include", section)]
        runner = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).with_name("kosoku")),
            *includes,
            *("--parallelism", "8", "--outdir", str(tmp_path), f"127.0.0.1:{port}"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await runner.communicate()
    assert runner.returncode == 0, output.decode()
    (cases,) = json.loads((tmp_path / "index.json").read_text()).values()
    assert len(cases) == 247
    for verdict in ("behavior", "behaviorClose"):
        found = {case[verdict] for case in cases.values()}
        assert found <= {"OK", "NON-STRICT", "INFORMATIONAL"}
