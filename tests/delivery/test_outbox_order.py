"""The outbox and the inbox of a bus: in order, in batches, and none twice."""

import asyncio
from collections.abc import Sequence

import pytest

from app.delivery.outbox import Inbox, Outbox

pytestmark = pytest.mark.anyio


class Line:
    """What a broker was sent; it can be busy, and it can fail."""

    def __init__(self) -> None:
        self.batches: list[list[tuple[str, str]]] = []
        self.failures: list[Exception] = []
        self.free = asyncio.Event()
        self.free.set()

    async def send(self, batch: Sequence[tuple[str, str]]) -> None:
        self.batches.append(list(batch))
        await self.free.wait()
        if self.failures:
            raise self.failures.pop(0)

    def outbox(self) -> Outbox:
        return Outbox(self.send, (ConnectionError,))

    @property
    def texts(self) -> list[list[str]]:
        """What was sent, batch by batch, without sender and number."""
        return [[text.split("/", 2)[2] for _, text in batch] for batch in self.batches]


@pytest.fixture
async def line() -> Line:
    return Line()


async def test_what_comes_while_a_batch_is_sent_is_the_next_batch(line: Line) -> None:
    out = line.outbox()
    line.free.clear()
    first = asyncio.create_task(out.put("topic", "1"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    others = [asyncio.create_task(out.put("topic", text)) for text in ("2", "3")]
    await asyncio.sleep(0)
    line.free.set()
    await asyncio.gather(first, *others)
    assert line.texts == [["1"], ["2", "3"]]
    await out.close()


async def test_a_batch_that_failed_is_sent_again_as_it_was(line: Line) -> None:
    """The broker may have had it: the numbers tell the receiver."""
    out = line.outbox()
    line.failures = [ConnectionError("cut"), ConnectionError("cut")]
    await asyncio.gather(*(out.put("topic", text) for text in ("1", "2/x", "")))
    assert line.texts == [["1", "2/x", ""]] * 3
    assert line.batches[0] == line.batches[2]
    await out.close()


async def test_a_refusal_is_told_to_those_of_the_batch_and_to_nobody_else(line: Line) -> None:
    out = line.outbox()
    line.failures = [ValueError("too large")]
    results = await asyncio.gather(
        *(out.put("topic", text) for text in ("1", "2")), return_exceptions=True
    )
    assert [str(result) for result in results] == ["too large", "too large"]
    await out.put("topic", "3")
    assert line.texts == [["1", "2"], ["3"]]
    await out.close()


async def test_whoever_gives_up_does_not_take_the_batch_along(line: Line) -> None:
    out = line.outbox()
    line.free.clear()
    hurried, patient = (asyncio.create_task(out.put("topic", text)) for text in ("1", "2"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    hurried.cancel()
    line.free.set()
    await patient
    assert line.texts == [["1", "2"]]
    await out.close()


async def test_closing_gives_up_what_waits(line: Line) -> None:
    out = line.outbox()
    line.free.clear()
    waiting = asyncio.create_task(out.put("topic", "1"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await out.close()
    await out.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def taken(inbox: Inbox, number: int) -> list[str]:
    async with asyncio.timeout(10):
        return [str((await inbox.get()).message) for _ in range(number)]


async def test_a_repeat_passes_once_for_each_sender_and_topic() -> None:
    inbox = Inbox(lambda: None)
    for topic, wire in (
        ("a", "one/1/x"),
        ("a", "one/2/y/z"),
        ("a", "one/1/x"),
        ("a", "one/2/y/z"),
        ("b", "one/2/other topic"),
        ("a", "two/1/other sender"),
        ("a", "one/3/"),
    ):
        inbox.put(topic, wire)
    assert await taken(inbox, 5) == ["x", "y/z", "other topic", "other sender", ""]


@pytest.mark.parametrize("foreign", ["", "hello", "a/b/c", "a/-1/c", "a/1", "a/\u0661/c"])
async def test_what_no_outbox_wrote_goes_no_further(foreign: str) -> None:
    inbox = Inbox(lambda: None)
    inbox.put("topic", foreign)
    inbox.put("topic", "a/1/ours")
    assert await taken(inbox, 1) == ["ours"]
