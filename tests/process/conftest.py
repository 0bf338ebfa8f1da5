"""What only processes of their own run: their lines are counted in those."""

import pytest


@pytest.fixture(autouse=True)
def _counted(request: pytest.FixtureRequest) -> None:
    request.getfixturevalue("counted_processes")
