"""Outbox and inbox: in order, in batches, none twice, and each with a bound and a fate at it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import chain

import pytest

from app.delivery.backends import outbox as outbox_module
from app.delivery.backends.outbox import Inbox, Outbox
from app.errors import PayloadTooLarge
from tests.delivery.recorded import until

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024


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

    @property
    def all_texts(self) -> list[str]:
        return list(chain.from_iterable(self.texts))


@pytest.fixture
async def line() -> Line:
    return Line()


def post(outbox: Outbox, *texts: str) -> None:
    """Post texts that there is room for."""
    for text in texts:
        assert outbox.post("topic", text)


async def test_what_comes_while_a_batch_is_sent_is_the_next_batch(line: Line) -> None:
    out = line.outbox()
    line.free.clear()
    post(out, "1")
    await until(lambda: line.batches)
    post(out, "2", "3")
    line.free.set()
    await out.flush()
    assert line.texts == [["1"], ["2", "3"]]
    await out.close()


async def test_a_batch_is_bounded_in_number_and_bytes(line: Line) -> None:
    out = line.outbox()
    post(out, *map(str, range(401)), *("x" * MIB for _ in range(3)))
    await out.flush()
    assert [len(batch) for batch in line.batches] == [200, 200, 2, 1, 1]
    await out.close()


async def test_a_batch_that_failed_is_sent_again_as_it_was(line: Line) -> None:
    """The broker may have had it: the numbers tell the receiver."""
    out = line.outbox()
    line.failures = [ConnectionError("cut"), ConnectionError("cut")]
    post(out, "1", "2/x", "")
    await out.flush()
    assert line.texts == [["1", "2/x", ""]] * 3
    assert line.batches[0] == line.batches[2]
    await out.close()


async def test_what_cannot_be_sent_is_one_line_of_the_log_a_batch_and_costs_no_other(
    line: Line, caplog: pytest.LogCaptureFixture
) -> None:
    """It was one line for each event: thousands, while a broker was away."""
    out = line.outbox()
    line.failures = [PayloadTooLarge("too large"), ZeroDivisionError()]
    post(out, "1", "2")
    await until(lambda: line.batches)
    post(out, "3")
    await out.flush()
    post(out, "4")
    await out.flush()
    assert line.texts == [["1", "2"], ["3"], ["4"]]
    assert [record.getMessage() for record in caplog.records] == [
        "2 events could not be sent: app.errors.PayloadTooLarge: too large",
        "1 events could not be sent: ZeroDivisionError",
    ]
    assert str(out.waiting) == "0 with 0 bytes"
    await out.close()


async def test_whoever_gives_up_waiting_does_not_take_the_batch_along(line: Line) -> None:
    out = line.outbox()
    line.free.clear()
    post(out, "1", "2")
    hurried, patient = (asyncio.create_task(out.flush()) for _ in range(2))
    await asyncio.sleep(0)
    hurried.cancel()
    await asyncio.gather(hurried, return_exceptions=True)
    line.free.set()
    await patient
    assert line.texts == [["1", "2"]]
    await out.close()


async def test_it_refuses_what_would_be_too_many_bytes_and_takes_it_later(
    line: Line, caplog: pytest.LogCaptureFixture
) -> None:
    """10,000 events might wait, whatever their size: 640 MB of the largest."""
    out = line.outbox()
    line.free.clear()
    texts = [f"{number} {'x' * MIB}" for number in range(7)]
    post(out, *texts)
    await until(lambda: line.batches)  # what is on its way takes room too
    assert not out.post("topic", "x" * MIB)
    assert not out.post("topic", "x" * MIB)
    assert caplog.text.count("wait to be sent; events are dropped") == 1
    line.free.set()
    await out.flush()
    post(out, "x" * MIB)
    await out.flush()
    assert line.all_texts == [*texts, "x" * MIB]
    await out.close()


async def test_it_refuses_what_would_be_too_many(line: Line) -> None:
    out = line.outbox()
    post(out, *map(str, range(10_000)))
    assert not out.post("topic", "one more")
    await out.flush()
    assert line.all_texts == [str(number) for number in range(10_000)]
    await out.close()


async def test_closing_sends_what_waits_first(line: Line) -> None:
    out = line.outbox()
    post(out, "1", "2")
    await out.close()
    await out.close()
    assert line.texts == [["1", "2"]]
    assert not out.post("topic", "too late")


async def test_closing_gives_up_what_cannot_be_sent_soon(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "_CLOSE_SECONDS", 0.05)
    out = line.outbox()
    line.free.clear()
    post(out, "1")
    await until(lambda: line.batches)
    post(out, "2")
    await out.close()
    await out.close()
    assert line.texts == [["1"]]
    assert str(out.waiting) == "0 with 0 bytes", "what was given up takes no room"


class Handed:
    """What an inbox has handed over; it fails at one text."""

    def __init__(self, on_missed: Callable[[], None] = lambda: None, fails_at: str = "bad") -> None:
        self.texts: list[str] = []
        self.inbox = Inbox(self._take, on_missed)
        self._fails_at = fails_at

    def _take(self, _topic: str, text: str) -> None:
        if text == self._fails_at:
            raise ZeroDivisionError
        self.texts.append(text)

    @asynccontextmanager
    async def over(self) -> AsyncIterator[list[str]]:
        """Hand over meanwhile."""
        handing = asyncio.create_task(self.inbox.hand_over_forever())
        try:
            yield self.texts
        finally:
            handing.cancel()
            await asyncio.gather(handing, return_exceptions=True)


async def test_a_repeat_passes_once_for_each_sender_and_topic() -> None:
    handed = Handed()
    for topic, wire in (
        ("a", "one/1/x"),
        ("a", "one/2/y/z"),
        ("a", "one/1/x"),
        ("a", "one/2/y/z"),
        ("b", "one/2/other topic"),
        ("a", "two/1/other sender"),
        ("a", "one/3/"),
    ):
        handed.inbox.put(topic, wire)
    async with handed.over() as texts:
        await until(lambda: len(texts) == 5)
    assert texts == ["x", "y/z", "other topic", "other sender", ""]


@pytest.mark.parametrize("foreign", ["", "hello", "a/b/c", "a/-1/c", "a/1", "a/\u0661/c"])
async def test_what_no_outbox_wrote_goes_no_further(foreign: str) -> None:
    handed = Handed()
    handed.inbox.put("topic", foreign)
    handed.inbox.put("topic", "a/1/ours")
    async with handed.over() as texts:
        await until(lambda: texts)
    assert texts == ["ours"]


async def test_an_inbox_drops_what_would_be_too_many_bytes_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """10,000 events might wait, whatever their size."""
    missed: list[bool] = []
    handed = Handed(lambda: missed.append(True))
    for number in range(1, 21):
        handed.inbox.put("topic", f"sender/{number}/{'x' * MIB}")
    assert len(missed) == 20 - 16
    assert caplog.text.count("events are dropped") == 1
    async with handed.over() as texts:
        await until(lambda: len(texts) == 16)
        handed.inbox.put("topic", "sender/21/text")
        await until(lambda: len(texts) == 17)
    assert texts[-1] == "text"
    assert str(handed.inbox.waiting) == "0 with 0 bytes"


async def test_a_text_that_cannot_be_handled_costs_no_other_and_counts_as_missed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A reader that met an exception ended without a line in the log: deaf, and ready."""
    missed: list[bool] = []
    handed = Handed(lambda: missed.append(True))
    for text in ("before", "bad", "after"):
        assert handed.inbox.take("topic", text)
    async with handed.over() as texts:
        await until(lambda: len(texts) == 2)
    assert (texts, missed) == (["before", "after"], [True])
    assert "an event on topic could not be handled" in caplog.text
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize(("size", "portion"), [(10, 200), (10_000, 27)])
async def test_what_has_come_is_handed_over_in_portions(size: int, portion: int) -> None:
    """All that waited was handled in one go: nobody else on the loop had a turn meanwhile."""
    handed = Handed()
    for number in range(1, 1_001):
        handed.inbox.put("topic", f"sender/{number}/{'x' * size}")
    most = 0
    async with handed.over() as texts:
        while len(texts) < 1_000:
            before = len(texts)
            await asyncio.sleep(0)
            most = max(most, len(texts) - before)
    assert most == portion
