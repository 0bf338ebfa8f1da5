"""What we stand on: bounds where we look inside, locks without addresses, true lower bounds."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Final

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT: Final = Path(__file__).parents[1]

_PROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
_PINNED: Final = re.compile(r"^([\w.-]+)==([^\s;]+)", re.MULTILINE)


def requirements(*extras: str) -> list[Requirement]:
    """Return what pyproject.toml asks for, without those that are made of extras."""
    texts = [*_PROJECT["dependencies"]]
    for extra in extras:
        texts += _PROJECT["optional-dependencies"][extra]
    return [one for one in map(Requirement, texts) if one.name != "widgetwire"]


def pinned(name: str) -> dict[str, Version]:
    """Return the version of each package that a file of requirements/ names."""
    text = (ROOT / "requirements" / name).read_text(encoding="utf-8")
    return {canonicalize_name(name): Version(version) for name, version in _PINNED.findall(text)}


def inside(path: Path) -> Iterator[str]:
    """Yield the packages whose classes a module inherits from, or whose private parts it names."""
    names: dict[str, str] = {}
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            package, *rest = node.module.split(".")
            names |= {alias.asname or alias.name: package for alias in node.names}
            if any(part.startswith("_") for part in [*rest, *(one.name for one in node.names)]):
                yield package
        elif isinstance(node, ast.Import):
            names |= {
                alias.asname or alias.name.split(".")[0]: alias.name.split(".")[0]
                for alias in node.names
            }
    for node in ast.walk(tree):
        for base in node.bases if isinstance(node, ast.ClassDef) else ():
            named = base
            while isinstance(named, ast.Subscript | ast.Attribute):
                named = named.value
            if isinstance(named, ast.Name) and named.id in names:
                yield names[named.id]


def looked_into() -> set[str]:
    """Return the distributions that we know the inside of."""
    packages = {package for path in (ROOT / "app").rglob("*.py") for package in inside(path)}
    distributions = packages_distributions()
    return {
        canonicalize_name(distributions[package][0])
        for package in packages - sys.stdlib_module_names - {"app"}
    }


def test_what_we_inherit_from_or_look_into_has_an_upper_bound() -> None:
    bounded = {
        canonicalize_name(one.name)
        for one in requirements("redis", "kafka", "tracing")
        if any(part.operator in {"<", "=="} for part in one.specifier)
    }
    found = looked_into()
    assert {"uvicorn", "starlette", "broadcaster", "graphql-core"} <= found
    assert found <= bounded, f"without an upper bound: {sorted(found - bounded)}"
    # Attributes that no import names: `_schema`, `_client`.
    assert {"strawberry-graphql", "aiokafka"} <= bounded


@pytest.mark.parametrize("name", ["locked.txt", "lowest.txt"])
def test_the_locks_have_no_address(name: str) -> None:
    text = (ROOT / "requirements" / name).read_text(encoding="utf-8")
    assert "//" not in text
    assert "--index" not in text
    assert " @ " not in text


def test_the_lock_has_all_that_is_asked_for_with_hashes() -> None:
    locked = pinned("locked.txt")
    for one in requirements("redis", "kafka", "tracing", "test", "dev"):
        assert locked[canonicalize_name(one.name)] in one.specifier, f"run .ci/lock: {one}"
    text = (ROOT / "requirements" / "locked.txt").read_text(encoding="utf-8")
    entries = re.split(r"^(?=\w)", text, flags=re.MULTILINE)[1:]
    assert len(entries) == len(locked)
    assert all("--hash=sha256:" in entry for entry in entries)


def test_the_lowest_versions_are_the_lower_bounds() -> None:
    lowest = pinned("lowest.txt")
    for one in requirements("redis", "kafka", "tracing", "test"):
        (least,) = (part.version for part in one.specifier if part.operator == ">=")
        assert lowest[canonicalize_name(one.name)] == Version(least), f"run .ci/lock: {one}"
