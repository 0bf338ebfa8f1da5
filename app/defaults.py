"""The defaults of settings that a part has too: one definition for both.

`app.config.Settings` and the parts read them here, so that a part made without a setting, as
tests make it, has the limits that users get. Each is named after its setting, which says what
it means and which values are allowed.
"""

from typing import Final

_KIB: Final = 1024
_MIB: Final = 1024 * _KIB

# Serving
BACKLOG: Final = 2048
KEEP_ALIVE_SECONDS: Final = 15
BODY_TIMEOUT_SECONDS: Final = 30
HEADER_TIMEOUT_SECONDS: Final = 10
MAX_HEADER_BYTES: Final = 64 * _KIB
SHUTDOWN_GRACE_SECONDS: Final = 8
SHUTDOWN_SPREAD_SECONDS: Final = 3

# Storage
DATABASE_POOL_SIZE: Final = 4
SEARCH_POOL_SIZE: Final = 1
QUICK_SEARCH_POOL_SIZE: Final = 2
SEARCH_WAIT_SECONDS: Final = 5
SEARCH_QUEUE_MAX: Final = 2000
SEARCH_MAX_SCAN: Final = 5_000_000
STATEMENT_TIMEOUT_SECONDS: Final = 10
SLOW_SECONDS: Final = 1
SEARCH_INDEXES: Final = 8
SEARCH_INDEX_MESSAGES: Final = 10_000
ANSWER_CACHE_BYTES: Final = 32 * _MIB

# Bounds of requests
MAX_TOKEN_BYTES: Final = 8 * _KIB
MAX_DATA_BYTES: Final = 64 * _KIB
MAX_REQUEST_BYTES: Final = _MIB
MAX_ANONYMOUS_BYTES: Final = 256 * _KIB
MAX_FRAME_BYTES: Final = _MIB
MAX_QUERY_DEPTH: Final = 20
MAX_QUERY_TOKENS: Final = 2000
MAX_QUERY_ALIASES: Final = 50
DOCUMENT_CACHE_SIZE: Final = 1000

# Bounds of connections
MAX_CONNECTIONS: Final = 50_000
MAX_CONNECTIONS_PER_ADDRESS: Final = 0
MAX_STREAMS: Final = 20_000
MAX_SUBSCRIPTIONS_PER_CONNECTION: Final = 100
MAX_FILTER_BYTES_PER_CONNECTION: Final = 2 * _MIB
MAX_FILTER_BYTES: Final = 48 * _MIB
MAX_OPERATIONS_IN_FLIGHT: Final = 100
MAX_OUTBOUND_BYTES: Final = _MIB
HANDSHAKE_TIMEOUT_SECONDS: Final = 10
PING_INTERVAL_SECONDS: Final = 20
PING_TIMEOUT_SECONDS: Final = 20

# Rates
RATE_BURST_SECONDS: Final = 5

# Publishing, replay, live queries, counts
PUBLISH_TIMEOUT_SECONDS: Final = 5
PUBLISH_BATCH_MAX: Final = 500
PUBLISH_QUEUE_MAX: Final = 10_000
PUBLISH_QUEUE_MAX_BYTES: Final = 64 * _MIB
REPLAY_MAX_MESSAGES: Final = 1000
MAX_HELD_MESSAGES: Final = 10_000
LIVE_QUERY_INTERVAL_SECONDS: Final = 0.25
MAX_LIVE_RESULT_BYTES: Final = 64 * _MIB
COUNT_INTERVAL_SECONDS: Final = 0.25
PRESENCE_HEARTBEAT_SECONDS: Final = 2
