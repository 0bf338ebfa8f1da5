"""The units of systemd, as systemd reads them."""

import shutil
import subprocess
import sys
from pathlib import Path

from tests.node import required_program

UNITS = Path(__file__).parents[2] / "deploy" / "systemd"


def test_systemd_has_nothing_to_say_against_them(tmp_path: Path) -> None:
    program = required_program("systemd-analyze")
    for unit in UNITS.iterdir():
        shutil.copy(unit, tmp_path)
    service = tmp_path / "widgetwire.service"
    text = service.read_text()
    command = "/opt/widgetwire/bin/widgetwire serve"
    assert f"ExecStart={command}\n" in text
    # The only thing that is not on this machine.
    service.write_text(text.replace(command, f"{sys.executable} -m app serve"))
    done = subprocess.run(
        [program, "verify", "--man=no", *sorted(tmp_path.iterdir())],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_embedded_database_outlives_the_workers_and_has_the_time_to_end() -> None:
    text = (UNITS / "widgetwire.service").read_text()
    assert "\nKillMode=mixed\n" in text
    assert "\nTimeoutStopSec=15\n" in text
