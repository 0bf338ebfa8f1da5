"""Whoever begins to listen waits for the database, within bounds."""

import pytest

from app.errors import Forbidden, ShuttingDown, Unavailable
from app.services.live import patience
from app.services.live.patience import patiently

pytestmark = pytest.mark.anyio

AWAY = Unavailable("the database is away")


class Table:
    """Fails as it is told, then answers."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = [*failures]
        self.asked = 0

    async def read(self) -> int:
        self.asked += 1
        if self.failures:
            raise self.failures.pop(0)
        return self.asked


async def test_what_works_is_done_once() -> None:
    assert await patiently(Table().read) == 1


async def test_a_database_that_is_away_is_asked_until_it_answers() -> None:
    assert await patiently(Table(AWAY, AWAY, AWAY).read) == 4


@pytest.mark.parametrize(
    "final", [Unavailable("too many ask", 250), ShuttingDown(), Forbidden("no"), ValueError("no")]
)
async def test_what_does_not_pass_by_waiting_is_told_at_once(final: Exception) -> None:
    for table in (Table(final), Table(AWAY, final)):
        with pytest.raises(type(final)):
            await patiently(table.read)
        assert not table.failures


async def test_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "_PATIENCE_SECONDS", 0.05)
    with pytest.raises(Unavailable):
        await patiently(Table(*[AWAY] * 1000).read)
