"""A broadcaster backend on one Kafka topic.

Every process reads all partitions from their end, without a consumer group: events matter to
those who are there when they happen. A bus topic is the key of its records, so that it stays
in one partition and in order. What Kafka does not tell (a link that is gone, partitions that
were added, a topic that was made anew) is asked for every two seconds.
"""

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from typing import Any, Final, NoReturn

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    KafkaError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
    for_code,
)
from tenacity import AsyncRetrying, retry_if_exception_type
from tenacity.wait import wait_random_exponential

from app.delivery.backends.kafka_address import KafkaAddress
from app.delivery.backends.remote import RemoteBackend
from app.delivery.budget import text_size
from app.errors import PayloadTooLarge
from app.telemetry.log_fields import event

__all__ = ["KafkaBackend"]

logger = logging.getLogger(__name__)

_CONNECT_TIMEOUT_SECONDS: Final = 10.0
_CHECK_SECONDS: Final = 2.0
_REPLY_TIMEOUT_SECONDS: Final = 3.0
_PRODUCE_TIMEOUT_SECONDS: Final = 2.0
_STOP_TIMEOUT_SECONDS: Final = 2.0
_MAX_RECORD_BYTES: Final = 1_000_000
"""Below the 1,048,588 that a broker takes by default (its message.max.bytes)."""
_MAX_TEXT_BYTES: Final = _MAX_RECORD_BYTES - 1000
"""The rest is for the topic, the sender and the number."""
_PARTITIONS: Final = 8
_RETENTION_MS: Final = 3_600_000
_RETRY_BACKOFF_MS: Final = 500
"""aiokafka logs every try."""


class KafkaBackend(RemoteBackend):
    """Events over one topic, which is made when it is missing."""

    _broker = "Kafka"
    _failures = _send_failures = (KafkaError, OSError, TimeoutError)

    def __init__(self, url: str) -> None:
        """Take the cluster; nothing is opened before `connect`.

        Args:
            url: kafka://host:9092,host:9093/topic; see `KafkaAddress`.

        Raises:
            ConfigurationError: the URL is wrong.
        """
        super().__init__()
        self._address = KafkaAddress.parse(url)
        self._next: dict[int, int] = {}
        """The offset that the next record of a partition has, where none is lost."""
        self._ends: dict[TopicPartition, int] = {}
        self._consumer: AIOKafkaConsumer | None = None
        self._producer: AIOKafkaProducer | None = None

    async def disconnect(self) -> None:
        """Send what waits, for at most a second, and close all connections. Idempotent."""
        await super().disconnect()
        producer, self._producer = self._producer, None
        if producer is not None:
            # `stop` waits for what is unsent, and with the cluster away for ever: no public
            # call gives it up.
            producer._message_accumulator.fail_all(KafkaError("disconnected"))
            await _stopped(producer)

    def post(self, topic: str, text: str) -> bool:
        """Send a text soon; return False where 10,000, or 8 MiB of them, wait already.

        Raises:
            PayloadTooLarge: about 1,000,000 bytes, or more.
        """
        if text_size(text) > _MAX_TEXT_BYTES and (size := len(text.encode())) > _MAX_TEXT_BYTES:
            raise PayloadTooLarge(f"an event of {size} bytes; Kafka takes 1,000,000 by default")
        return super().post(topic, text)

    async def _prepare(self) -> None:
        self._producer = AIOKafkaProducer(
            **self._address.client_options(),
            # The table is the truth about stored messages: speed before certainty.
            acks=1,
            linger_ms=0,
            retry_backoff_ms=_RETRY_BACKOFF_MS,
            max_request_size=2 * _MAX_RECORD_BYTES,
            request_timeout_ms=int(_PRODUCE_TIMEOUT_SECONDS * 1000),
        )
        async with asyncio.timeout(_CONNECT_TIMEOUT_SECONDS):
            await self._producer.start()

    async def _send(self, batch: Sequence[tuple[str, str]]) -> None:
        assert self._producer is not None
        records: list[asyncio.Future[Any]] = []
        try:
            async with asyncio.timeout(2 * _REPLY_TIMEOUT_SECONDS):
                for topic, text in batch:
                    records.append(
                        await self._producer.send(
                            self._address.topic, text.encode(), key=topic.encode()
                        )
                    )
                await asyncio.wait(records)
            for record in records:
                record.result()
        finally:
            for record in records:
                # Of those that failed together, one is told.
                record.add_done_callback(_take_note)

    async def _open(self) -> None:
        """Stand at the end of every partition, with a consumer that is new.

        All topics come: which are subscribed to is looked at when they are here.
        """
        async with asyncio.timeout(_CONNECT_TIMEOUT_SECONDS):
            partitions = await self._find_topic()
            self._consumer = consumer = AIOKafkaConsumer(
                **self._address.client_options(),
                group_id=None,
                enable_auto_commit=False,
                auto_offset_reset="latest",
                max_partition_fetch_bytes=2 * _MAX_RECORD_BYTES,
                request_timeout_ms=int(_REPLY_TIMEOUT_SECONDS * 1000),
                metadata_max_age_ms=5_000,
                retry_backoff_ms=_RETRY_BACKOFF_MS,
            )
            await consumer.start()
            consumer.assign(partitions)
            self._next.clear()
            for partition in partitions:
                self._next[partition.partition] = await consumer.position(partition)
            self._ends = await consumer.end_offsets(partitions)
            if self._producer is not None:
                # A topic made anew may have fewer partitions than this one believes.
                await self._producer.client.force_metadata_update()

    async def _find_topic(self) -> list[TopicPartition]:
        """Return the topic's partitions; make it where it is missing."""
        client = AIOKafkaAdminClient(
            **self._address.client_options(),
            request_timeout_ms=int(_REPLY_TIMEOUT_SECONDS * 1000),
        )
        try:
            await client.start()
            if self._address.topic not in await client.list_topics():
                await self._make_topic(client)
            # Brokers learn of a new topic one after the other.
            async for attempt in AsyncRetrying(
                retry=retry_if_exception_type(UnknownTopicOrPartitionError),
                wait=wait_random_exponential(multiplier=0.05, max=0.5),
            ):
                with attempt:
                    (topic,) = await client.describe_topics([self._address.topic])
                    if not topic["partitions"]:
                        raise UnknownTopicOrPartitionError(self._address.topic)
        finally:
            await client.close()
        numbers = sorted(one["partition"] for one in topic["partitions"])
        return [TopicPartition(self._address.topic, number) for number in numbers]

    async def _make_topic(self, client: AIOKafkaAdminClient) -> None:
        # -1: as many copies as the cluster makes by default (KIP-464).
        topic = NewTopic(
            self._address.topic,
            _PARTITIONS,
            -1,
            replica_assignments={},
            topic_configs={"retention.ms": str(_RETENTION_MS)},
        )
        for _, code, *_ in (await client.create_topics([topic])).topic_errors:
            error = for_code(code)
            # Another process may have been quicker.
            if code and error is not TopicAlreadyExistsError:
                raise error(f"topic {self._address.topic!r} is missing and cannot be made")

    async def _listen(self) -> NoReturn:
        consumer = self._consumer
        assert consumer is not None
        loop = asyncio.get_running_loop()
        checked = loop.time()
        while True:
            for records in (await consumer.getmany(timeout_ms=int(_CHECK_SECONDS * 500))).values():
                for record in records:
                    self._take(record)
            if loop.time() - checked >= _CHECK_SECONDS:
                await self._check(consumer)
                checked = loop.time()

    async def _check(self, consumer: AIOKafkaConsumer) -> None:
        """Prove the link alive, and the topic the one that was opened.

        Raises:
            KafkaError, TimeoutError: open it again.
        """
        assigned = consumer.assignment()
        numbers = consumer.partitions_for_topic(self._address.topic) or set()
        if numbers != {partition.partition for partition in assigned}:
            raise KafkaError("the topic's partitions have changed")
        async with asyncio.timeout(_REPLY_TIMEOUT_SECONDS):
            ends = await consumer.end_offsets(assigned)
        if any(end < self._ends.get(partition, 0) for partition, end in ends.items()):
            raise KafkaError("the topic was made anew")
        self._ends = ends

    def _take(self, record: "ConsumerRecord[bytes, bytes]") -> None:
        if record.offset != self._next.get(record.partition, record.offset):
            # The position was no longer there, and aiokafka went on at the end.
            self._on_missed()
        self._next[record.partition] = record.offset + 1
        try:
            topic, text = (record.key or b"").decode(), (record.value or b"").decode()
        except UnicodeDecodeError:
            logger.warning(
                "a record of partition %d is not UTF-8; ignored",
                record.partition,
                extra=event("bus.not_ours"),
            )
            return
        if topic in self._topics:
            self._inbox.put(topic, text)

    async def _drop(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await _stopped(consumer)


async def _stopped(client: AIOKafkaConsumer | AIOKafkaProducer) -> None:
    await _ended(client.stop())
    # With the cluster away `stop` may end early, by the cancellation of its own tasks, and
    # leave the connections open.
    producing = isinstance(client, AIOKafkaProducer)
    await _ended((client.client if producing else client._client).close())


async def _ended(stop: Coroutine[Any, Any, None]) -> None:
    """Wait for an end, for a while and however it comes about."""
    stopping = asyncio.create_task(stop, name="aiokafka stop")
    stopping.add_done_callback(_take_note)
    await asyncio.wait({stopping}, timeout=_STOP_TIMEOUT_SECONDS)
    if not stopping.done():
        stopping.cancel()
        await asyncio.wait({stopping}, timeout=_STOP_TIMEOUT_SECONDS)


def _take_note(future: "asyncio.Future[Any]") -> None:
    if not future.cancelled():
        future.exception()
