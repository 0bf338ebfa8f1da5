"""The npm package of clients/js: its types, its units, its size, and how it is installed."""

import json
import re
import shutil
from pathlib import Path

from tests.clients.built_package import SOURCES, run_node
from tests.npm import npm_command

ROOT = SOURCES.parents[1]


def test_its_types_are_those_of_the_schema(node_path: Path, js_package: Path) -> None:
    """Where this fails: `npm run generate` in clients/js."""
    run_node(node_path, js_package, "codegen.mjs", "--check", SCHEMA=str(ROOT / "schema.graphql"))


def test_types_hold_and_units_work(node_path: Path, js_package: Path) -> None:
    run_node(node_path, js_package, "node_modules/typescript/bin/tsc")
    said = run_node(node_path, js_package, "--test", "--test-isolation=none", "test/*.test.ts")
    assert re.search(r"pass [1-9]\d+\n.* fail 0\n", said), said


def test_it_stays_small_and_only_what_is_used_is_bundled(node_path: Path, js_package: Path) -> None:
    """docs/JAVASCRIPT.md promises these."""
    sizes = json.loads(run_node(node_path, js_package, "size.mjs"))
    assert sizes["widgetwire and graphql-ws"] < 8 << 10
    assert sizes["widgetwire"] < 5_250
    assert sizes["widgetwire, graphql-ws and the hooks"] < 9_150
    assert sizes["WidgetwireError alone"] < 200
    assert sizes["useCount alone"] < 700


def test_it_is_packed_and_installed_as_documented(
    node_path: Path, js_package: Path, tmp_path: Path
) -> None:
    document = (ROOT / "docs" / "JAVASCRIPT.md").read_text(encoding="utf-8")
    assert "(cd clients/js && npm ci && npm pack)" in document
    packed = re.search(r"^npm install \./clients/js/(\S+\.tgz)$", document, re.MULTILINE)
    assert packed is not None
    # As `npm ci` leaves it: the packages are there.
    place = tmp_path / "clients" / "js"
    shutil.copytree(js_package, place, symlinks=True, ignore=shutil.ignore_patterns("dist"))
    npm = npm_command()
    run_node(npm[0], place, *npm[1:], "pack")
    (tmp_path / "package.json").write_text("{}")
    run_node(npm[0], tmp_path, *npm[1:], "install", "--no-audit", f"./clients/js/{packed[1]}")
    installed = tmp_path / "node_modules" / "widgetwire"
    names = {str(one.relative_to(installed)) for one in installed.rglob("*") if one.is_file()}
    assert {"package.json", "README.md", "dist/index.js", "dist/index.d.ts"} <= names
    assert {name.partition("/")[0] for name in names} == {"package.json", "README.md", "dist"}
    run_node(node_path, tmp_path, "--input-type=module", "-e", "await import('widgetwire')")
