"""A result that several show and ask for: who is told of what, and what it is counted as."""

from typing import Any, cast

from app.domain.query import EVERY_MESSAGE
from app.services.live.shared_result import SharedResult
from tests.delivery.recorded import stored


class Kept:
    """A kept result of a size, and what was asked of it."""

    def __init__(self) -> None:
        self.size = 100
        self.changes = True
        self.calls: list[str] = []

    def apply(self, _message: object, _gone_at: object) -> bool:
        return self.changes

    def __getattr__(self, name: str) -> Any:
        return lambda: self.calls.append(name)


class Heard:
    """A listener that writes down what it hears."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return lambda: self.heard.append(name)


class Memory:
    """A bound of memory."""

    def __init__(self, room: int) -> None:
        self.room = room

    def account(self, more: int) -> bool:
        if more > self.room:
            return False
        self.room -= more
        return True


def shared(room: int = 1_000) -> tuple[SharedResult, Kept, Memory, list[SharedResult]]:
    kept, memory, released = Kept(), Memory(room), list[SharedResult]()
    result = SharedResult(cast("Any", kept), EVERY_MESSAGE, memory.account, released.append)
    return result, kept, memory, released


def test_all_who_listen_are_told() -> None:
    result, kept, _, _ = shared()
    one, other = Heard(), Heard()
    result.listen(one)
    result.listen(other)
    result.apply(stored(1))
    kept.changes = False
    result.apply(stored(2))
    result.read_again()
    result.begin_again()
    result.drop()
    assert one.heard == other.heard == ["change", "change", "begin_again", "drop"]
    assert kept.calls == ["forget", "forget"]


def test_it_goes_with_the_last_who_holds_it() -> None:
    result, kept, memory, released = shared()
    listener = Heard()
    result.listen(listener)
    result.hold()
    result.count_memory()
    assert memory.room == 900
    result.stop(listener)
    result.stop(listener)
    assert not released
    result.release()
    assert (released, kept.calls, memory.room) == ([result], ["close"], 1_000)


def test_what_finds_no_room_is_kept_no_more() -> None:
    result, kept, memory, _ = shared(room=150)
    result.hold()
    result.count_memory()
    kept.size = 300
    result.count_memory()
    assert (kept.calls, memory.room) == (["stop_keeping"], 150)
