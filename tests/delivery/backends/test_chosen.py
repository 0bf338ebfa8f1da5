"""The bus goes over what its setting names."""

import pytest

from app.delivery.backends.backend import Backend
from app.delivery.backends.chosen import chosen_backend
from app.delivery.backends.kafka import KafkaBackend
from app.delivery.backends.memory import MemoryBackend
from app.delivery.backends.postgres import PostgresBackend
from app.delivery.backends.redis import RedisBackend


@pytest.mark.parametrize(
    ("scheme", "url", "kind"),
    [
        ("postgres", "postgres", PostgresBackend),
        ("memory", "memory://", MemoryBackend),
        ("redis", "redis://localhost", RedisBackend),
        ("rediss", "rediss://localhost", RedisBackend),
        ("kafka", "kafka://localhost:9092", KafkaBackend),
    ],
)
def test_each_scheme_has_its_backend(scheme: str, url: str, kind: type[Backend]) -> None:
    assert type(chosen_backend(scheme, url, "postgresql://app@db/widgetwire")) is kind
