"""Each module of `app/` has tests of its own at the same path: `app/a/b.py`, `a/test_b.py`."""

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]

WITHOUT: Final[dict[str, str]] = {
    "__main__.py": "one call; tests/test_cli.py runs it",
}
"""Modules without tests of their own yet, and what tests them meanwhile. It only gets shorter."""


def modules_without_tests() -> set[str]:
    """Return the modules of `app/` that have no test module at the mirrored path."""
    return {
        str(path.relative_to(ROOT / "app"))
        for path in (ROOT / "app").rglob("*.py")
        if path.name != "__init__.py"
        and not (ROOT / "tests" / path.relative_to(ROOT / "app"))
        .with_name(f"test_{path.name}")
        .exists()
    }


def test_each_module_has_a_test_module_of_its_own() -> None:
    found = modules_without_tests() - WITHOUT.keys()
    assert not found, f"without a test module at the mirrored path: {sorted(found)}"


def test_the_exceptions_get_fewer() -> None:
    done = WITHOUT.keys() - modules_without_tests()
    assert not done, f"these have tests now, or are gone: take them off the list: {sorted(done)}"
