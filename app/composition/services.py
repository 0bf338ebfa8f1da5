"""The services of one process and what they stand on, started from the bottom up."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from app.config import Settings, broadcast_scheme
from app.delivery.backends.backend import Backend
from app.delivery.backends.chosen import chosen_backend
from app.delivery.bus import Bus
from app.delivery.hub import Hub
from app.delivery.matching_turns import MatchingTurns
from app.schema.context import Services
from app.services.admission import Admission
from app.services.answers import Answers
from app.services.bans import BanService
from app.services.channels import ChannelService
from app.services.client_ids import ClientIds
from app.services.deletion import DeletionService
from app.services.following import RuleFollower
from app.services.held import HeldService
from app.services.live.held import LiveHeld
from app.services.live.kept_searches import KeptSearches
from app.services.live.results import LiveResults
from app.services.messages import MessageService
from app.services.open_filters import FilterLimits, OpenFilters
from app.services.policies import PolicyService
from app.services.presence import PresenceService
from app.services.rates import PerSecond, Rates
from app.services.retention import Retention
from app.services.rights import Rights
from app.services.shadow import ShadowMessages
from app.services.shadow_ids import ShadowIds
from app.services.shared_search import SharedSearch
from app.storage.ages import Ages
from app.storage.bans import BanStore
from app.storage.channels import ChannelStore
from app.storage.client_secret import kept_client_secret
from app.storage.deletion import MessageDeletion
from app.storage.earlier import EarlierMessages
from app.storage.estimates import EstimatedByPlace
from app.storage.group_commit import CommitBounds, GroupCommit
from app.storage.held import HeldMessages
from app.storage.held_writer import HeldWriter
from app.storage.history import MessageHistory
from app.storage.indexes.catalogue import SearchIndexes
from app.storage.indexes.demand import Demand
from app.storage.indexes.tuner import IndexTuner
from app.storage.policies import PolicyStore
from app.storage.pools import Pools
from app.storage.presence import PresenceStore
from app.storage.result_reads import ResultReads
from app.storage.retractions import MessageRetractions
from app.storage.rules import RulesVersion
from app.storage.search import MessageSearch
from app.storage.search_lanes import SearchLanes
from app.storage.shared_history import SharedHistory
from app.storage.writer import MessageWriter
from app.wire.shared import after_writes

__all__ = ["Started", "bus_backend", "started"]


@dataclass(frozen=True, slots=True)
class Started:
    """What runs below the transports."""

    services: Services
    hub: Hub
    pools: Pools
    writers: Mapping[str, GroupCommit[Any]]
    """By what they do with messages: `publish`, `hold`."""
    lanes: SearchLanes


async def started(stack: AsyncExitStack, settings: Settings) -> Started:
    """Start the services and what they stand on.

    Args:
        stack: ends them, from the top down.
        settings: with a database URL.

    Raises:
        Unavailable: the database is away.
    """
    url = settings.database_url
    assert url is not None, "the command line starts the embedded database"
    pools = await Pools.open(
        stack,
        url,
        reading=settings.database_pool_size,
        searching=settings.search_pool_size,
        quick_searching=settings.quick_search_pool_size,
        publish_timeout_seconds=settings.publish_timeout_seconds,
        search_timeout_seconds=settings.statement_timeout_seconds,
    )
    process_id = str(uuid4())
    rights = Rights()
    bans = BanService(BanStore(pools.leasing), rights)
    policies = PolicyService(PolicyStore(pools.leasing), rights)
    rules = RuleFollower(RulesVersion(pools.leasing).read, (policies.followed, bans.followed))
    await rules.start()
    stack.push_async_callback(rules.stop)
    history = SharedHistory(MessageHistory(pools.reading))
    hub = Hub(Bus(bus_backend(settings), process_id), history, after_writes)
    policies.tell(hub.tell_policy)
    await hub.start()
    stack.push_async_callback(hub.stop)
    presence = PresenceService(
        hub,
        PresenceStore(
            pools.reading,
            process_id,
            settings.presence_lease_seconds,
            writing=pools.leasing,
        ),
        interval_seconds=settings.count_interval_seconds,
        heartbeat_seconds=settings.presence_heartbeat_seconds,
        rights=rights,
    )
    await presence.start()
    stack.push_async_callback(presence.stop)
    bounds = CommitBounds(
        batch_max=settings.publish_batch_max,
        queue_max=settings.publish_queue_max,
        queue_max_bytes=settings.publish_queue_max_bytes,
        timeout_seconds=settings.publish_timeout_seconds,
        slow_seconds=settings.slow_seconds,
    )
    writer = MessageWriter(pools.writing, hub.publish_stored, **bounds)
    stack.push_async_callback(writer.close)
    indexes, demand = SearchIndexes(), Demand()
    tuner = IndexTuner(
        url,
        pools.reading,
        indexes,
        demand,
        limit=settings.search_indexes,
        large_channel_messages=settings.search_index_messages,
    )
    await tuner.start()
    stack.push_async_callback(tuner.stop)
    turns = MatchingTurns()
    lanes = SearchLanes(
        pools.quick_searching,
        pools.searching,
        estimate=EstimatedByPlace(history.heads, pools.reading),
        max_scan=settings.search_max_scan,
        queue_max=settings.search_queue_max,
        wait_seconds=settings.search_wait_seconds,
        request_seconds=settings.statement_timeout_seconds,
        slow_seconds=settings.slow_seconds,
    )
    search = MessageSearch(lanes, indexes=indexes, demand=demand)
    searching = SharedSearch(search)
    live_results = LiveResults(
        hub,
        history,
        searching,
        await ResultReads.of(search, pools.reading),
        settings.live_query_interval_seconds,
        settings.max_live_result_bytes,
        rights,
    )
    kept = KeptSearches(searching, live_results)
    stack.callback(kept.close)
    secrets = settings.client_secrets or [await kept_client_secret(pools.reading)]
    held_messages = HeldMessages(pools.reading, hub.publish_stored)
    live_held = LiveHeld(hub, held_messages)
    await live_held.start()
    stack.push_async_callback(live_held.stop)
    held_writer = HeldWriter(
        pools.reading,
        live_held.tell,
        most=settings.max_held_messages,
        **bounds,
    )
    stack.push_async_callback(held_writer.close)
    held = HeldService(writer=held_writer, store=held_messages, live=live_held, rights=rights)
    messages = MessageService(
        hub=hub,
        writer=writer,
        history=history,
        retractions=MessageRetractions(pools.reading, hub.publish_stored),
        search=kept,
        admission=Admission(policies),
        held=held,
        max_data_bytes=settings.max_data_bytes,
        replay_max_messages=settings.replay_max_messages,
        turns=turns,
        rights=rights,
        publishes=Rates(
            "publishes",
            PerSecond(
                publisher=settings.publisher_publishes_per_second,
                address=settings.address_publishes_per_second,
                project=settings.project_publishes_per_second,
            ),
            settings.rate_burst_seconds,
        ),
        searches=Rates(
            "searches",
            PerSecond(
                publisher=settings.publisher_searches_per_second,
                address=settings.address_searches_per_second,
                project=settings.project_searches_per_second,
            ),
            settings.rate_burst_seconds,
        ),
        shadow=ShadowMessages(ShadowIds(secrets), EarlierMessages(pools.reading), hub.last_created),
    )
    limits = FilterLimits(
        bytes_per_connection=settings.max_filter_bytes_per_connection,
        bytes_per_process=settings.max_filter_bytes,
    )
    answers = Answers(history, settings.answer_cache_bytes)
    deletion = MessageDeletion(pools.reading)
    deleting = DeletionService(hub, history, search, deletion, rights)
    retention = Retention(
        url,
        Ages(pools.reading),
        deletion,
        deleting,
        retention_days=settings.retention_days,
        kept_seconds=policies.kept_seconds,
    )
    retention.start()
    stack.push_async_callback(retention.stop)
    services = Services(
        messages,
        presence,
        live_results,
        answers,
        OpenFilters(limits),
        policies=policies,
        client_ids=ClientIds(secrets),
        bans=bans,
        held=held,
        rights=rights,
        deletion=deleting,
        channels=ChannelService(ChannelStore(pools.reading), presence, rights),
    )
    return Started(services, hub, pools, {"publish": writer, "hold": held_writer}, lanes)


def bus_backend(settings: Settings) -> Backend:
    """Return what the bus of a process goes over.

    Args:
        settings: with a database URL.

    Raises:
        ConfigurationError: it cannot go over that.
    """
    assert settings.database_url is not None
    scheme = broadcast_scheme(settings.broadcast_url)
    return chosen_backend(scheme, settings.broadcast_url, settings.database_url)
