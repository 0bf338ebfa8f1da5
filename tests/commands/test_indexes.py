"""Indexes by hand."""

import pytest

from tests.commands.run import widgetwire

pytestmark = pytest.mark.usefixtures("counted_processes")


def test_indexes_are_added_and_listed_on_the_database_of_the_settings(database_url: str) -> None:
    arguments = ("indexes", "add", "data.user", "--sort", "data.score")
    added = widgetwire(*arguments, DATABASE_URL=database_url)
    assert (added.returncode, added.stdout[:6]) == (0, "built "), added.stderr
    assert "data.user, data.score" in widgetwire("indexes", DATABASE_URL=database_url).stdout
