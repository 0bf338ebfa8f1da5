"""Runs it, and ends with 1 after a server error or a line of the log above INFO."""

import os
import re
import subprocess
import sys
import tempfile
from typing import Final

import benchmarks.fuzz
from benchmarks.fuzz.environment import python
from benchmarks.report import options, show
from benchmarks.rooms.tokens import SETTINGS, token
from benchmarks.servers import postgres
from benchmarks.tree import TREE
from tests.served import Served

_COMPLAINT: Final = re.compile(r"^.* (?:WARNING|ERROR|CRITICAL) .*$|^Traceback.*$", re.MULTILINE)
_CASES: Final = re.compile(r"([\d,]+) generated")
_SMALL_SECONDS: Final = 3
_STARTING_SECONDS: Final = 60


def _asked(url: str, seconds: int) -> subprocess.CompletedProcess[str]:
    command = [str(python()), "-m", "schemathesis.cli", "--no-color", "run", f"{url}/graphql"]
    # One operation after the other: each failure is that of one request.
    command += ["--phases", "fuzzing", "--max-time", str(seconds), "--request-timeout", "20"]
    command += ["--checks", "no_server_error", "--continue-on-failure", "--mode", "all"]
    command += ["--suppress-health-check", "all", "--warnings", "off"]
    command += ["--header", f"Authorization: Bearer {token('fuzz', 'admin')}"]
    # Not here: it keeps what it has found beside where it runs.
    with tempfile.TemporaryDirectory() as directory:
        return subprocess.run(
            command,
            cwd=directory,
            env=os.environ
            | {"SCHEMATHESIS_HOOKS": "benchmarks.fuzz.values", "PYTHONPATH": str(TREE)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds + _STARTING_SECONDS,
            check=False,
        )


def main() -> None:
    chosen = options(benchmarks.fuzz.__doc__ or "")
    seconds = _SMALL_SECONDS if chosen.small else max(1, int(chosen.seconds))
    with postgres() as url:
        served = Served(url, SETTINGS, ("--migrate",))
        try:
            served.wait_until_ready()
            done = _asked(served.url, seconds)
        finally:
            served.close()
    complaints = _COMPLAINT.findall(served.output)
    found = _CASES.search(done.stdout)
    rows: list[list[object]] = [
        ["requests", found[1] if found else "-"],
        ["server errors", "none" if done.returncode == 0 else "see below"],
        ["lines of the log above INFO", len(complaints)],
    ]
    show("Whatever it is asked", ["", f"in {seconds} s"], rows, chosen.json)
    if complaints:
        print(served.output, file=sys.stderr)
    if done.returncode != 0:
        print(done.stdout, done.stderr, file=sys.stderr)
    sys.exit(bool(complaints) or done.returncode != 0)


if __name__ == "__main__":
    main()
