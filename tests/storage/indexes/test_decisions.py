"""Which index is built or dropped next."""

from dataclasses import replace

from app.storage.indexes.decisions import (
    UNUSED_SECONDS,
    WANTED_SECONDS,
    WANTED_USES,
    Build,
    Drop,
    Known,
    decide,
)
from tests.storage.indexes.conftest import index_on

_WANTED = Known(index_on("w"), uses=WANTED_USES, seconds=WANTED_SECONDS, unused_seconds=0)
_MORE = Known(index_on("m"), uses=WANTED_USES, seconds=2 * WANTED_SECONDS, unused_seconds=0)
_BUSY = Known(index_on("b"), uses=1, seconds=9, unused_seconds=5, built_seconds=9e9, valid=True)
_IDLE = replace(_BUSY, index=index_on("i"), unused_seconds=UNUSED_SECONDS)
_IDLER = replace(_IDLE, index=index_on("j"), unused_seconds=2 * UNUSED_SECONDS)


def test_the_shape_that_took_longest_is_built_first_while_there_is_room() -> None:
    assert decide([_WANTED, _BUSY, _MORE], 2) == Build(_MORE.index)
    assert decide([_WANTED, _BUSY], 2) == Build(_WANTED.index)
    assert decide([_BUSY], 2) is None


def test_few_searches_or_quick_ones_need_no_index() -> None:
    assert decide([replace(_WANTED, uses=WANTED_USES - 1)], 8) is None
    assert decide([replace(_WANTED, seconds=WANTED_SECONDS / 2)], 8) is None


def test_what_an_ended_build_left_goes_first() -> None:
    left = replace(_WANTED, index=index_on("l"), valid=False)
    assert decide([_MORE, left], 8) == Drop(left.index)


def test_what_nobody_used_for_longest_makes_room() -> None:
    assert decide([_WANTED, _BUSY, _IDLE, _IDLER], 3) == Drop(_IDLER.index)


def test_an_index_in_use_stays_so_that_no_two_take_turns() -> None:
    assert decide([_WANTED, _BUSY], 1) is None
    assert decide([_WANTED, replace(_IDLE, built_seconds=1.0)], 1) is None, "it is new"
    assert decide([_WANTED, replace(_IDLE, uses=WANTED_USES)], 1) is None, "it is used as much"
    assert decide([_WANTED, replace(_IDLE, kept=True)], 1) is None, "it was added by hand"


def test_fewer_are_kept_when_fewer_are_allowed() -> None:
    assert decide([_BUSY, _IDLE], 1) == Drop(_IDLE.index)
    assert decide([replace(_BUSY, kept=True), replace(_IDLE, kept=True)], 1) is None


def test_a_failed_build_waits_and_another_goes_ahead() -> None:
    assert decide([_MORE, _WANTED], 8, failed={_MORE.index.name}) == Build(_WANTED.index)


def test_nothing_happens_when_it_is_off() -> None:
    assert decide([_WANTED, _IDLE, replace(_IDLE, valid=False)], 0) is None
