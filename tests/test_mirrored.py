"""Each module of `app/` has tests of its own at the same path: `app/a/b.py`, `a/test_b.py`."""

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]

_BACKENDS: Final = "delivery/test_backends.py: one suite for every bus"
_EMBEDDED: Final = "storage/test_embedded.py: only a real server shows it"
_TYPES: Final = "declarations only: mypy holds their users to them"
_PIPELINE: Final = "transports/graphql/test_execution.py, test_session.py and test_http.py"

WITHOUT: Final = {
    "__main__.py": "one call, which tests/test_cli.py runs",
    "delivery/postgres_backend.py": _BACKENDS,
    "delivery/remote_backend.py": _BACKENDS,
    "domain/query/operands.py": "domain/query/test_filter_parser.py",
    "domain/query/operators.py": _TYPES,
    "schema/context.py": _TYPES,
    "schema/scalars.py": "schema/test_json_scalar.py",
    "service_database.py": "tests/test_cli.py and tests/acceptance/test_embedded_database.py",
    "services/live/source.py": "transports/graphql/test_execution.py: it declares, and refuses",
    "storage/embedded_cluster.py": _EMBEDDED,
    "transports/compat/session.py": "transports/compat/test_socket.py",
    "transports/graphql/context.py": _TYPES,
    "transports/graphql/operations.py": _PIPELINE,
    "transports/graphql/projection.py": "transports/graphql/test_direct.py",
    "transports/http_answer.py": "transports/test_http_protocol.py: byte by byte",
    "transports/pages/graphiql.py": "transports/pages/test_routes.py",
    "transports/socket.py": _TYPES,
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
