"""Which backend carries the bus."""

from app.delivery.backends.backend import Backend
from app.delivery.backends.memory import MemoryBackend
from app.delivery.backends.postgres import PostgresBackend

__all__ = ["chosen_backend"]


def chosen_backend(scheme: str, broadcast_url: str, database_url: str) -> Backend:
    """Return a backend that is not connected yet.

    Args:
        scheme: `postgres`, `memory`, `redis`, `rediss` or `kafka`.
        broadcast_url: of the broker, where there is one.
        database_url: of the database, where that is the broker.

    Raises:
        ConfigurationError: the broker's address is wrong.
    """
    # Redis and Kafka are extras: their packages are asked for where they are chosen only.
    match scheme:
        case "memory":
            return MemoryBackend()
        case "redis" | "rediss":
            from app.delivery.backends.redis import RedisBackend  # noqa: PLC0415

            return RedisBackend(broadcast_url)
        case "kafka":
            from app.delivery.backends.kafka import KafkaBackend  # noqa: PLC0415

            return KafkaBackend(broadcast_url)
    return PostgresBackend(database_url)
