"""One suite for every backend: what the bus relies on, whatever carries its events."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NoReturn

import pytest
from broadcaster import Broadcast

from app.delivery.backends.remote import RemoteBackend
from app.delivery.bus import TOPICS, Bus
from app.delivery.events import Event, PresenceChanged
from app.domain.channel import Channel
from app.errors import ConfigurationError
from tests.delivery.media import Medium, PostgresMedium
from tests.link import Link

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(90)]

PATIENCE_SECONDS = 40


class Station:
    """One process's end: a `Broadcast` over a backend of its own, and what it is handed."""

    def __init__(self, medium: Medium) -> None:
        self.missed = asyncio.Event()
        self.backend = medium.backend()
        self.backend.attach(self._receive, self.missed.set)
        self.broadcast = Broadcast(backend=self.backend)
        self._came: dict[str, asyncio.Queue[str]] = {}

    @asynccontextmanager
    async def hearing(self, topic: str) -> AsyncIterator["asyncio.Queue[str]"]:
        """Subscribe to a topic by way of broadcaster; yield where its texts will be."""
        came = self._came[topic] = asyncio.Queue()
        async with self.broadcast.subscribe(topic):
            yield came

    def _receive(self, topic: str, text: str) -> None:
        self._came[topic].put_nowait(text)


@asynccontextmanager
async def stations(medium: Medium, number: int) -> AsyncIterator[list[Station]]:
    """Connect so many ends; when they are disconnected, nothing of them runs any more."""
    before = asyncio.all_tasks()
    connected: list[Station] = []
    try:
        for _ in range(number):
            station = Station(medium)
            await station.broadcast.connect()
            connected.append(station)
        yield connected
    finally:
        for station in connected:
            await station.broadcast.disconnect()
            await asyncio.gather(station.broadcast._listener_task, return_exceptions=True)
    left = asyncio.all_tasks() - before
    assert not left, f"disconnected, and these still run: {left}"


async def take(came: "asyncio.Queue[str]", number: int) -> list[str]:
    """Return the texts of the next events."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        return [await came.get() for _ in range(number)]


async def test_events_arrive_in_the_order_they_were_published(medium: Medium) -> None:
    async with stations(medium, 1) as (one,), one.hearing("topic") as heard:
        texts = [f"text {number}" for number in range(500)]
        # As the bus does it: begun in order, not waited for one by one.
        await asyncio.gather(*(one.broadcast.publish("topic", text) for text in texts))
        assert await take(heard, 500) == texts


async def test_a_subscription_holds_for_what_is_published_right_after_it(joining: Medium) -> None:
    async with stations(joining, 2) as (one, two):

        async def in_turn(numbers: range) -> None:
            for number in numbers:
                topic = f"topic_{number}"
                async with two.hearing(topic) as heard:
                    await one.broadcast.publish(topic, f"{number}")
                    assert await take(heard, 1) == [f"{number}"]

        # A broker of Kafka's protocol takes a quarter of a second for each.
        await asyncio.gather(*(in_turn(range(first, 30, 6)) for first in range(6)))


async def test_two_processes_hear_each_other_and_themselves(joining: Medium) -> None:
    async with (
        stations(joining, 2) as (one, two),
        one.hearing("topic") as first,
        two.hearing("topic") as second,
    ):
        await one.broadcast.publish("topic", "from one")
        await two.broadcast.publish("topic", "from two")
        for heard in (first, second):
            assert sorted(await take(heard, 2)) == ["from one", "from two"]


async def test_many_publishing_at_once_lose_nothing_and_each_keeps_its_order(
    joining: Medium,
) -> None:
    async with stations(joining, 3) as ends, ends[0].hearing("topic") as heard:

        async def publish(end: int, series: int) -> None:
            for number in range(20):
                await ends[end].broadcast.publish("topic", f"{end}.{series} {number}")

        await asyncio.gather(*(publish(end, series) for end in (1, 2) for series in range(25)))
        came = await take(heard, 2 * 25 * 20)
        for name in {text.split()[0] for text in came}:
            numbers = [int(text.split()[1]) for text in came if text.split()[0] == name]
            assert numbers == list(range(20))


async def test_a_topic_does_not_hear_another(medium: Medium) -> None:
    async with (
        stations(medium, 1) as (one,),
        one.hearing("topic_1") as first,
        one.hearing("topic_11") as second,
    ):
        await one.broadcast.publish("topic_11", "b")
        await one.broadcast.publish("topic_2", "nobody's")
        await one.broadcast.publish("topic_1", "a")
        await one.broadcast.publish("topic_11", "c")
        assert await take(first, 1) == ["a"]
        assert await take(second, 2) == ["b", "c"]


async def test_large_texts_of_any_characters_arrive_whole(medium: Medium) -> None:
    texts = ["aé€\U0001f600\\/\n\"'" * 15_000, "", "€" * 70_000, "/1/2/"]
    async with stations(medium, 1) as (one,), one.hearing("topic") as heard:
        await asyncio.gather(*(one.broadcast.publish("topic", text) for text in texts))
        assert await take(heard, len(texts)) == texts


async def test_channels_opened_and_closed_at_once_and_again_keep_their_events(
    joining: Medium,
) -> None:
    heard: asyncio.Queue[Event] = asyncio.Queue()
    sender, receiver = (Bus(joining.backend(), name) for name in ("sender", "receiver"))
    await sender.start(lambda _event: None)
    await receiver.start(heard.put_nowait)
    channels = [Channel("project", f"widget-{number}") for number in range(2 * TOPICS)]
    try:
        for _ in range(3):
            await asyncio.gather(*(receiver.open(channel) for channel in channels))
            await asyncio.gather(*(receiver.close(channel) for channel in channels))
        await asyncio.gather(*(receiver.open(channel) for channel in channels))
        for channel in channels:
            assert sender.post(channel, PresenceChanged("sender", channel.key))
        async with asyncio.timeout(PATIENCE_SECONDS):
            came = {(await heard.get()).channel for _ in channels}
        assert came == {channel.key for channel in channels}
    finally:
        await sender.stop()
        await receiver.stop()


async def test_after_a_cut_it_says_so_and_events_flow_again(joining: Medium) -> None:
    async with (
        stations(joining, 2) as (one, two),
        one.hearing("topic") as first,
        two.hearing("topic") as second,
    ):
        await one.broadcast.publish("topic", "before")
        assert await take(first, 1) == await take(second, 1) == ["before"]
        await joining.cut()
        await joining.restore()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await one.missed.wait()
            await two.missed.wait()
        # Both have subscribed again before they said so: nothing from here on is missed.
        await two.broadcast.publish("topic", "after")
        await one.broadcast.publish("topic", "after, too")
        for heard in (first, second):
            assert sorted(await take(heard, 2)) == ["after", "after, too"]
        for station in (one, two):
            backend = station.backend
            assert backend.reconnects >= 1
            assert backend.outbox is not None
            assert (backend.outbox.dropped, backend.inbox.dropped) == (0, 0)
            assert backend.outbox.posted >= 1
            assert backend.inbox.taken >= 3


async def test_a_listener_that_meets_an_unknown_error_says_so_and_listens_again(
    joining: Medium, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It ended without a line in the log, and the process was deaf and ready."""
    async with stations(joining, 2) as (one, two), two.hearing("topic") as heard:
        backend = two.backend
        assert isinstance(backend, RemoteBackend)
        listen, fails = backend._listen, asyncio.Event()

        async def fails_once() -> NoReturn:
            listening = asyncio.create_task(listen())
            failing = asyncio.create_task(fails.wait())
            try:
                await asyncio.wait({listening, failing}, return_when=asyncio.FIRST_COMPLETED)
                if not failing.done():
                    await listening  # it failed by itself
            finally:
                for task in (listening, failing):
                    task.cancel()
                await asyncio.gather(listening, failing, return_exceptions=True)
            monkeypatch.undo()
            raise RuntimeError("nobody thought of this")

        # The one that runs now is replaced when its connection is lost.
        monkeypatch.setattr(backend, "_listen", fails_once)
        await joining.cut()
        await joining.restore()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await two.missed.wait()
            two.missed.clear()
            fails.set()
            await two.missed.wait()
        assert "nobody thought of this" in caplog.text
        assert "Traceback" in caplog.text
        await one.broadcast.publish("topic", "after")
        assert (await take(heard, 1)) == ["after"]


async def test_the_pulse_tells_whether_events_flow(medium: Medium) -> None:
    bus = Bus(medium.backend(), "process", pulse_interval_seconds=0.1, pulse_stale_seconds=1)
    await bus.start(lambda _event: None)
    try:
        # Asked at once: the first echo is waited for.
        assert await bus.trouble() is None
        if medium.joins_processes:
            await medium.cut()
            async with asyncio.timeout(PATIENCE_SECONDS):
                if not isinstance(medium, PostgresMedium):  # whose server stays
                    while (trouble := await bus.trouble()) is None:  # noqa: ASYNC110
                        await asyncio.sleep(0.1)
                    assert re.match("the last event came back from the bus \\d+ s ago", trouble)
                await medium.restore()
                while await bus.trouble() is not None:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
    finally:
        await bus.stop()


async def test_what_is_published_while_the_broker_is_away_arrives_once_or_is_told_missed(
    joining: Medium,
) -> None:
    async with stations(joining, 2) as (one, two), two.hearing("topic") as heard:
        await one.broadcast.publish("topic", "before")
        assert await take(heard, 1) == ["before"]
        await joining.cut()
        publishing = [
            asyncio.create_task(one.broadcast.publish("topic", f"{number}")) for number in range(50)
        ]
        # Opened while there is no link: subscribed with the others when it is back.
        async with two.hearing("late") as late:
            await joining.restore()
            async with asyncio.timeout(PATIENCE_SECONDS):
                await asyncio.gather(*publishing)
                # Both: the tests' Kafka swallows what is sent to a partition it has not.
                await one.missed.wait()
                await two.missed.wait()
            await one.broadcast.publish("late", "end")
            assert await take(late, 1) == ["end"]
        await one.broadcast.publish("topic", "end")
        came = await take(heard, 1)
        while came[-1] != "end":
            came += await take(heard, 1)
        numbers = [int(text) for text in came[:-1]]
        assert numbers == sorted(set(numbers)), "in order, none twice"


async def test_it_disconnects_cleanly_while_the_broker_is_away(joining: Medium) -> None:
    async with stations(joining, 1) as (one,), one.hearing("topic"):
        await joining.cut()
        publishing = asyncio.create_task(one.broadcast.publish("topic", "in vain"))
        await asyncio.sleep(0)
    await asyncio.gather(publishing, return_exceptions=True)
    await joining.restore()


@pytest.mark.parametrize("times", [1, 2_000])
async def test_what_is_sent_again_because_its_confirmation_was_lost_is_received_once(
    linked: tuple[Medium, Link], times: int
) -> None:
    """A message that is not stored came twice over Postgres.

    Its NOTIFY was committed, the confirmation did not come, and it was sent again; of a stored
    message a feed drops the repeat, by its sequence. The text of 2,000 times goes in chunks.
    """
    medium, link = linked
    async with stations(medium, 2) as (one, two), two.hearing("topic") as heard:
        await one.broadcast.publish("topic", "before")
        link.lose_the_answer_to(b"transient")
        texts = [f"{number} {'transient ' * times}" for number in range(2)]
        await asyncio.gather(*(one.broadcast.publish("topic", text) for text in texts))
        assert link.answers_lost == 1
        await one.broadcast.publish("topic", "after")
        assert await take(heard, 4) == ["before", *texts, "after"]


async def test_a_broker_that_is_away_at_the_start_is_told_with_the_reason(
    linked: tuple[Medium, Link],
) -> None:
    medium, link = linked
    link.close()
    with pytest.raises(ConfigurationError, match=r"the bus: \w+ cannot be used: .+"):
        await medium.backend().connect()
