"""`docs/MONITORING.md` names each event that the log can have, and its facts, and no others."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
_COMMON: Final = {"peer"}
"""Of `event`: it becomes `address` and `connection_id`."""


@cache
def calls() -> list[tuple[set[str], set[str]]]:
    """Return the names that each call of `event` may have, and its facts."""
    return [*_calls()]


def _calls() -> Iterator[tuple[set[str], set[str]]]:
    for path in (ROOT / "app").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if "log_fields import event" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if not (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in {"event", "logged"}
                and node.args
            ):
                continue
            names = {
                one.value
                for one in ast.walk(node.args[0])
                if isinstance(one, ast.Constant) and isinstance(one.value, str)
            }
            yield names, {str(one.arg) for one in node.keywords} - _COMMON


def documented(cell: int) -> set[str]:
    """Return what stands in backquotes in a cell of each row of the two tables."""
    text = (ROOT / "docs" / "MONITORING.md").read_text(encoding="utf-8")
    section = text.partition("## Logs")[2].partition("\n## ")[0]
    rows = [line.split(" | ") for line in section.splitlines() if line.startswith("| `")]
    return {
        word for row in rows if len(row) > cell for word in re.findall(r"`([\w.]+)`", row[cell])
    }


def test_every_event_is_listed_and_every_listed_one_can_happen() -> None:
    moderated = {"held.approved", "held.rejected"}  # told by one function that takes the name
    known = {name for names, _ in calls() for name in names if "." in name} | moderated
    listed = {word for word in documented(0) if "." in word}
    assert listed == known


def test_every_fact_is_explained() -> None:
    facts = {fact for _, facts in calls() for fact in facts}
    missing = facts - documented(0) - documented(2)
    assert not missing
