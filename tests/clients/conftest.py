"""The clients from npm, and our own package among them."""

from pathlib import Path

import pytest

from tests.clients.built_package import with_package


@pytest.fixture(scope="session")
def client_packages(
    npm_packages: Path, js_package: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A directory with the clients of package.json, and `widgetwire`, in its node_modules."""
    return with_package(npm_packages, js_package, tmp_path_factory.mktemp("clients") / "packages")
