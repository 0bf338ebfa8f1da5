"""The build of GraphiQL's bundle, npm and all, and what happens without it."""

import importlib.util
import json
import shutil
from pathlib import Path
from types import ModuleType

import pytest

from tests.node import missing

ROOT = Path(__file__).parents[3]


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_graphiql", ROOT / "build_graphiql.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def build() -> ModuleType:
    """The build script, as a module."""
    return _load()


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A copy of graphiql/ to change."""
    copy = tmp_path / "graphiql"
    shutil.copytree(ROOT / "graphiql", copy, ignore=shutil.ignore_patterns("node_modules"))
    return copy


def test_a_failed_build_says_why_and_leaves_what_is_there(
    build: ModuleType, sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """npm out of reach: a port where nobody listens, and nothing kept from before."""
    _need_node(build)
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9/")
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "cache"))
    monkeypatch.setenv("npm_config_fetch_retry_mintimeout", "1")
    monkeypatch.setenv("npm_config_fetch_retry_maxtimeout", "1")
    output = tmp_path / "static" / "graphiql"
    output.mkdir(parents=True)
    (output / "index.html").write_text("the build before")
    with pytest.raises(build.GraphiQLBuildError, match="ended with 1"):
        build.build(sources, output)
    assert (output / "index.html").read_text() == "the build before"
    assert [path.name for path in output.parent.iterdir()] == ["graphiql"]


def test_a_machine_without_node_is_told_so(
    build: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the wheel nor one on PATH."""
    monkeypatch.setattr(build.importlib.util, "find_spec", lambda _name: None)
    monkeypatch.setattr(build.shutil, "which", lambda _name: None)
    with pytest.raises(build.GraphiQLBuildError, match="no Node"):
        build.npm_command()


def test_an_output_is_current_until_any_of_its_sources_changes(
    build: ModuleType, sources: Path, tmp_path: Path
) -> None:
    """A second build is skipped, a changed one is not."""
    output = tmp_path / "out"
    assert not build.is_current(sources, output)
    output.mkdir()
    (output / build.STAMP).write_text(build.fingerprint(sources))
    assert build.is_current(sources, output)
    for name in ("package.json", "package-lock.json", "bundle.mjs", "src/page.jsx"):
        file = sources / name
        before = file.read_bytes()
        file.write_bytes(before + b"\n")
        assert not build.is_current(sources, output), name
        file.write_bytes(before)
    assert build.is_current(sources, output)


def test_the_hook_asks_for_node_only_when_there_is_something_to_build(
    build: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """60 MB are not downloaded for nothing."""
    hook = object.__new__(build.GraphiQLBuildHook)
    monkeypatch.setattr(build.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(build, "is_current", lambda: False)
    assert hook.dependencies() == [build.NODE_WHEEL]
    monkeypatch.setattr(build.platform, "machine", lambda: "riscv64")
    assert hook.dependencies() == []
    monkeypatch.setattr(build.platform, "machine", lambda: "arm64")
    monkeypatch.setenv("WIDGETWIRE_BUILD_GRAPHIQL", "false")
    assert hook.dependencies() == []
    monkeypatch.delenv("WIDGETWIRE_BUILD_GRAPHIQL")
    monkeypatch.setattr(build, "is_current", lambda: True)
    assert hook.dependencies() == []


def test_the_lock_file_pins_contents_and_names_no_host() -> None:
    """Whichever mirror npm is set up for serves it."""
    lock = json.loads((ROOT / "graphiql" / "package-lock.json").read_text())
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert packages
    assert all(entry.get("integrity", "").startswith("sha512-") for entry in packages.values())
    assert not [name for name, entry in packages.items() if "resolved" in entry]


def _need_node(build: ModuleType) -> None:
    try:
        build.npm_command()
    except build.GraphiQLBuildError:
        missing("there is no Node on this machine")
