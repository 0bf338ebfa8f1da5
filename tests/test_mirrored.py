"""Each module of `app/` has tests of its own at the same path: `app/a/b.py`, `a/test_b.py`."""

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]

_BACKENDS: Final = "delivery/backends/test_backends.py: one suite for every bus"
_EMBEDDED: Final = "embedded/test_postgres.py: only a real server shows it"
_TYPES: Final = "declarations only: mypy holds their users to them"

WITHOUT: Final = {
    "__main__.py": "one call, which tests/test_cli.py runs",
    "commands/erase.py": "acceptance/test_deletion.py",
    "delivery/backends/postgres.py": _BACKENDS,
    "delivery/backends/remote.py": _BACKENDS,
    "domain/query/operands.py": "domain/query/test_filter_parser.py",
    "domain/query/operators.py": _TYPES,
    "domain/results/effect.py": _TYPES,
    "domain/results/found.py": _TYPES,
    "embedded/cluster.py": _EMBEDDED,
    "engine/projection.py": "engine/test_direct.py",
    "process/database.py": "commands/test_serve.py and acceptance/test_embedded_database.py",
    "schema/context.py": _TYPES,
    "schema/scalars.py": "schema/test_json_scalar.py",
    "services/live/source.py": "engine/test_execution.py: it declares, and refuses",
    "services/searching.py": _TYPES,
    "transports/graphql/context.py": _TYPES,
    "transports/graphql/operations.py": "transports/graphql/test_session.py and test_websocket.py",
    "transports/legacy/session.py": "transports/legacy/test_socket.py",
    "transports/pages/graphiql.py": "transports/pages/test_routes.py",
    "wire/http_answer.py": "wire/test_http.py: byte by byte",
    "wire/session.py": _TYPES,
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
