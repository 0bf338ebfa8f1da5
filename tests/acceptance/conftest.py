"""Two processes on one database, shared by all tests that leave them as they were."""

from collections.abc import Iterator
from typing import Final

import pytest

from app.embedded.postgres import EmbeddedPostgres
from tests.conftest import cloned
from tests.served import Served

SECRET: Final = "a secret of more than thirty-two bytes"


@pytest.fixture(scope="package")
def pair(postgres: EmbeddedPostgres, template_database: str) -> Iterator[tuple[Served, Served]]:
    """Two services that know of each other through their database only.

    Each test uses a channel of its own (`Widget.new()`). Tokens are signed with `SECRET`.
    """
    settings = {"WIDGETWIRE_JWT_SECRET": SECRET}
    for url in cloned(postgres, template_database):
        first, second = Served(url, settings, ()), Served(url, settings, ())
        try:
            first.wait_until_ready()
            second.wait_until_ready()
            yield first, second
        finally:
            second.close()
            first.close()
