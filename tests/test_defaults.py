"""Parts have the defaults that users get: a part made without settings is the one they run."""

import inspect
from collections.abc import Callable
from typing import Any, Final

import pytest

from app import defaults
from app.config import Settings
from app.engine.documents import Documents
from app.engine.execution import Executor
from app.engine.limits import DocumentLimits
from app.process.server import ServerOptions
from app.services.answers import Answers
from app.services.live.results import LiveResults
from app.services.messages import MessageService
from app.services.open_filters import FilterLimits
from app.services.presence import PresenceService
from app.services.rates import Rates
from app.storage.database import Database
from app.storage.group_commit import GroupCommit
from app.storage.held_writer import HeldWriter
from app.storage.indexes.tuner import IndexTuner
from app.storage.pools import Pools
from app.storage.search_lanes import SearchLanes
from app.storage.search_queue import SearchQueue
from app.transports.auth.authenticator import Authenticator
from app.transports.graphql.http import HttpLimits
from app.transports.graphql.operations import OperationLimits
from app.transports.graphql.plain_posts import PlainPosts
from app.transports.graphql.session import SessionLimits
from app.transports.graphql.websocket import GraphQLSocket
from app.transports.legacy.calls import LegacyLimits
from app.transports.legacy.protocol import Protocol
from app.transports.legacy.socket import LegacySockets
from app.wire.http import HttpBounds

# Each part's argument, and the setting that composition or a worker gives it.
PARTS: Final[dict[Callable[..., Any], dict[str, str]]] = {
    Answers: {"max_bytes": "answer_cache_bytes"},
    Authenticator: {"max_token_bytes": "max_token_bytes"},
    LegacyLimits: {
        "open_timeout_seconds": "handshake_timeout_seconds",
        "max_anonymous_bytes": "max_anonymous_bytes",
        "publishes_in_flight": "max_operations_in_flight",
        "searches_waiting": "max_operations_in_flight",
    },
    Database.connect: {
        "pool_size": "database_pool_size",
        "statement_timeout_seconds": "statement_timeout_seconds",
    },
    DocumentLimits: {
        "tokens": "max_query_tokens",
        "depth": "max_query_depth",
        "aliases": "max_query_aliases",
        "root_fields": "max_query_aliases",
    },
    Documents: {"cache_size": "document_cache_size"},
    Executor.of: {"document_cache_size": "document_cache_size"},
    FilterLimits: {
        "bytes_per_connection": "max_filter_bytes_per_connection",
        "bytes_per_process": "max_filter_bytes",
    },
    GraphQLSocket: {"max_outbound_bytes": "max_outbound_bytes"},
    # Of both writers, which only pass them on.
    GroupCommit: {
        "batch_max": "publish_batch_max",
        "queue_max": "publish_queue_max",
        "queue_max_bytes": "publish_queue_max_bytes",
        "timeout_seconds": "publish_timeout_seconds",
        "slow_seconds": "slow_seconds",
    },
    HttpBounds: {
        "header_timeout_seconds": "header_timeout_seconds",
        "body_timeout_seconds": "body_timeout_seconds",
        "max_header_bytes": "max_header_bytes",
        "max_connections": "max_connections",
    },
    HttpLimits: {
        "max_body_bytes": "max_request_bytes",
        "max_anonymous_bytes": "max_anonymous_bytes",
        "max_streams": "max_streams",
        "max_outbound_bytes": "max_outbound_bytes",
    },
    HeldWriter: {"most": "max_held_messages"},
    IndexTuner: {
        "limit": "search_indexes",
        "large_channel_messages": "search_index_messages",
    },
    LiveResults: {
        "interval_seconds": "live_query_interval_seconds",
        "max_bytes": "max_live_result_bytes",
    },
    MessageService: {
        "max_data_bytes": "max_data_bytes",
        "replay_max_messages": "replay_max_messages",
    },
    OperationLimits: {
        "max_in_flight": "max_operations_in_flight",
        "max_subscriptions": "max_subscriptions_per_connection",
    },
    Pools.open: {
        "reading": "database_pool_size",
        "searching": "search_pool_size",
        "quick_searching": "quick_search_pool_size",
        "publish_timeout_seconds": "publish_timeout_seconds",
        "search_timeout_seconds": "statement_timeout_seconds",
    },
    PresenceService: {
        "interval_seconds": "count_interval_seconds",
        "heartbeat_seconds": "presence_heartbeat_seconds",
    },
    Protocol: {"open_timeout_seconds": "handshake_timeout_seconds"},
    SearchLanes: {
        "max_scan": "search_max_scan",
        "queue_max": "search_queue_max",
        "wait_seconds": "search_wait_seconds",
        "request_seconds": "statement_timeout_seconds",
        "slow_seconds": "slow_seconds",
    },
    SearchQueue: {
        "waiting_max": "search_queue_max",
        "wait_seconds": "search_wait_seconds",
        "request_seconds": "statement_timeout_seconds",
    },
    Rates: {"burst_seconds": "rate_burst_seconds"},
    ServerOptions: {
        "max_connections_per_address": "max_connections_per_address",
        "max_frame_bytes": "max_frame_bytes",
        "ping_interval_seconds": "ping_interval_seconds",
        "ping_timeout_seconds": "ping_timeout_seconds",
        "keep_alive_seconds": "keep_alive_seconds",
        "backlog": "backlog",
        "shutdown_grace_seconds": "shutdown_grace_seconds",
        "shutdown_spread_seconds": "shutdown_spread_seconds",
        "access_log": "access_log",
    },
    SessionLimits: {
        "init_timeout_seconds": "handshake_timeout_seconds",
        "max_anonymous_bytes": "max_anonymous_bytes",
    },
    PlainPosts: {
        "max_body_bytes": "max_request_bytes",
        "max_anonymous_bytes": "max_anonymous_bytes",
    },
    LegacySockets: {"max_outbound_bytes": "max_outbound_bytes"},
}


def default_of(setting: str) -> Any:
    """Return what a user gets who sets nothing."""
    return Settings.model_fields[setting].default


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__qualname__)
def test_a_part_has_the_defaults_of_its_settings(part: Callable[..., Any]) -> None:
    """Tests ran with 1,000 subscriptions a socket and 10,000 tokens; users had 100 and 2,000."""
    parameters = inspect.signature(part).parameters
    own = {argument: parameters[argument].default for argument in PARTS[part]}
    assert own == {argument: default_of(setting) for argument, setting in PARTS[part].items()}


def test_half_of_what_may_wait_is_the_largest_legacy_result() -> None:
    assert LegacyLimits().result_bytes == default_of("max_outbound_bytes") // 2


def test_each_default_is_that_of_the_setting_of_its_name() -> None:
    ours = {name.lower(): value for name, value in vars(defaults).items() if name.isupper()}
    ours = {name: value for name, value in ours.items() if not name.startswith("_")}
    assert ours == {name: default_of(name) for name in ours}


def test_each_default_is_used_by_a_part() -> None:
    """One that only a setting has stands with the setting."""
    ours = {name.lower() for name in vars(defaults) if name.isupper() and name[0] != "_"}
    assert ours == {setting for arguments in PARTS.values() for setting in arguments.values()} - {
        "access_log"
    }
