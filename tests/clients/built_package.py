"""The npm package of `clients/js`, compiled as its users get it."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

__all__ = ["SOURCES", "build_package", "run_node", "with_package"]

SOURCES: Final = Path(__file__).parents[2] / "clients" / "js"
_TIMEOUT_SECONDS: Final = 60


def build_package(node: Path, installed: Path, directory: Path) -> Path:
    """Copy the package's sources into a directory to be made, and compile them there.

    Args:
        node: runs the compiler.
        installed: has the packages of its package.json in node_modules.
        directory: of the session's own: the tree stays as it is.
    """
    left_out = shutil.ignore_patterns("node_modules", "dist", "*.tgz")
    shutil.copytree(SOURCES, directory, ignore=left_out)
    (directory / "node_modules").symlink_to(installed / "node_modules")
    run_node(node, directory, "node_modules/typescript/bin/tsc", "-p", "tsconfig.build.json")
    return directory


def run_node(node: Path, directory: Path, *arguments: str | Path, **environment: str) -> str:
    """Run a program of Node's and return what it printed.

    Raises:
        AssertionError: it failed, or took over 60 s; the text is what it printed.
    """
    done = subprocess.run(
        [node, *arguments],
        cwd=directory,
        env=os.environ | {"PATH": f"{node.parent}{os.pathsep}{os.environ['PATH']}"} | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_TIMEOUT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(map(str, arguments))}:\n{done.stdout[-4000:]}"
    return done.stdout


def with_package(others: Path, package: Path, directory: Path) -> Path:
    """Return a directory whose node_modules has other packages and `widgetwire`.

    Args:
        others: has them in its node_modules; it is shared, and stays as it is.
        package: the compiled one.
        directory: to be made.
    """
    modules = directory / "node_modules"
    modules.mkdir(parents=True)
    for one in (others / "node_modules").iterdir():
        (modules / one.name).symlink_to(one)
    (modules / "widgetwire").symlink_to(package)
    return directory
