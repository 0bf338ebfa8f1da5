"""The composition root: the only place that knows every part."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final
from uuid import uuid4

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from app import setting_names
from app.config import Settings, broadcast_scheme
from app.delivery.backends.backend import Backend
from app.delivery.backends.chosen import chosen_backend
from app.delivery.bus import Bus
from app.delivery.hub import Hub
from app.delivery.matching_turns import MatchingTurns
from app.domain.viewer import Viewer
from app.engine.direct import Resolvers
from app.engine.execution import Executor
from app.engine.limits import DocumentLimits
from app.errors import ConfigurationError, Unavailable
from app.schema import build_schema
from app.schema.context import Context, Services
from app.schema.operations import answer, publish, search, searched, subscribe
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
from app.services.retention import Retention
from app.services.rights import Rights
from app.services.shadow import ShadowMessages
from app.services.shadow_ids import ShadowIds
from app.services.shared_search import SharedSearch
from app.storage.ages import Ages
from app.storage.bans import BanStore
from app.storage.channels import ChannelStore
from app.storage.client_secret import kept_client_secret
from app.storage.database import Database
from app.storage.deletion import MessageDeletion
from app.storage.earlier import EarlierMessages
from app.storage.estimates import EstimatedByPlace
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
from app.storage.write_probe import WriteProbe
from app.storage.writer import MessageWriter
from app.transports.auth import Authenticator, VerificationKey
from app.transports.graphql.http import GraphQLHttp, HttpLimits
from app.transports.graphql.operations import OperationLimits
from app.transports.graphql.plain_posts import PlainPosts
from app.transports.graphql.session import SessionLimits
from app.transports.graphql.websocket import GraphQLSocket
from app.transports.health import Health
from app.transports.legacy.player_api import player_api_routes
from app.transports.legacy.session import LegacyLimits, LegacyServices
from app.transports.legacy.socket import LegacySockets
from app.transports.origins import OriginPolicy
from app.transports.pages.graphiql import graphiql_page
from app.transports.pages.routes import page_routes
from app.wire.exchange import RESPONDER
from app.wire.upgrade import ENDPOINTS, SocketEndpoint

__all__ = ["create_app"]

GRAPHQL_PATH: Final = "/graphql"


class Process:
    """The parts of one server process, from start to end."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._process_id = str(uuid4())
        self._draining = False
        self._hub: Hub | None = None
        self._database: Database | None = None
        self._write_probe: WriteProbe | None = None
        self._deleting: DeletionService | None = None
        self._graphql: GraphQLHttp | None = None
        self._graphql_sockets: GraphQLSocket | None = None
        self._plain_posts: PlainPosts | None = None
        self._legacy_sockets: LegacySockets | None = None

    @asynccontextmanager
    async def lifespan(self, app: "Application") -> AsyncIterator[Mapping[str, object]]:
        """Start the parts from the bottom up, and stop them from the top down.

        Yields the lifespan's state, in which connections find what answers without an ASGI call.
        """
        async with AsyncExitStack() as stack:
            services = await self._start(stack)
            app.router.routes.extend(self._routes(services))
            app.graphql = self._graphql
            app.state.drain = self.drain
            yield {RESPONDER: self._plain_posts, ENDPOINTS: self._socket_endpoint}

    async def drain(self) -> None:
        """End every HTTP stream so that its client comes back, and deletions between two batches.

        Sockets are told by the server: it calls `shutdown` on each connection's session.
        """
        self._draining = True
        if self._deleting is not None:
            self._deleting.close()
        if self._graphql is not None:
            self._graphql.shutdown()

    async def _start(self, stack: AsyncExitStack) -> Services:
        settings = self._settings
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
        self._database = pools.leasing
        self._write_probe = WriteProbe(pools.leasing, pools.incidents)
        rights = Rights()
        bans = BanService(BanStore(pools.leasing), rights)
        policies = PolicyService(PolicyStore(pools.leasing), rights)
        rules = RuleFollower(RulesVersion(pools.leasing).read, (policies.followed, bans.followed))
        await rules.start()
        stack.push_async_callback(rules.stop)
        history = SharedHistory(MessageHistory(pools.reading))
        hub = self._hub = Hub(Bus(_backend(settings), self._process_id), history)
        policies.tell(hub.tell_policy)
        await hub.start()
        stack.push_async_callback(hub.stop)
        presence = PresenceService(
            hub,
            PresenceStore(
                pools.reading,
                self._process_id,
                settings.presence_lease_seconds,
                writing=pools.leasing,
            ),
            interval_seconds=settings.count_interval_seconds,
            heartbeat_seconds=settings.presence_heartbeat_seconds,
            rights=rights,
        )
        await presence.start()
        stack.push_async_callback(presence.stop)
        writer = MessageWriter(
            pools.writing,
            hub.publish_stored,
            batch_max=settings.publish_batch_max,
            queue_max=settings.publish_queue_max,
            queue_max_bytes=settings.publish_queue_max_bytes,
            timeout_seconds=settings.publish_timeout_seconds,
        )
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
            batch_max=settings.publish_batch_max,
            queue_max=settings.publish_queue_max,
            queue_max_bytes=settings.publish_queue_max_bytes,
            timeout_seconds=settings.publish_timeout_seconds,
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
            shadow=ShadowMessages(
                ShadowIds(secrets), EarlierMessages(pools.reading), hub.last_created
            ),
        )
        limits = FilterLimits(
            bytes_per_connection=settings.max_filter_bytes_per_connection,
            bytes_per_process=settings.max_filter_bytes,
        )
        answers = Answers(history, settings.answer_cache_bytes)
        deletion = MessageDeletion(pools.reading)
        deleting = self._deleting = DeletionService(hub, history, search, deletion, rights)
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
        return Services(
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

    def _routes(self, services: Services) -> list[BaseRoute]:
        settings = self._settings
        authenticator = Authenticator(
            _verification_key(settings),
            client_ids=services.client_ids,
            anonymous=settings.anonymous,
            max_token_bytes=settings.max_token_bytes,
        )
        origins = OriginPolicy(settings.allowed_origins)
        executor = Executor.of(
            build_schema(),
            DocumentLimits(
                tokens=settings.max_query_tokens,
                depth=settings.max_query_depth,
                aliases=settings.max_query_aliases,
                root_fields=settings.max_query_aliases,
            ),
            settings.document_cache_size,
            Resolvers(publish, subscribe, search, answer, searched),
        )

        def context(viewer: Viewer, connection: bool) -> Context:
            # Who asks by one socket is one asker; requests without a token tell nothing.
            return Context(viewer, services, object() if connection else None)

        graphql = self._graphql = GraphQLHttp(
            executor,
            authenticator.viewer,
            context,
            landing=graphiql_page if settings.graphiql else None,
            limits=HttpLimits(
                max_body_bytes=settings.max_request_bytes,
                max_outbound_bytes=settings.max_outbound_bytes,
            ),
        )
        self._plain_posts = PlainPosts(
            GRAPHQL_PATH,
            executor,
            authenticator.viewer,
            context,
            origins,
            max_body_bytes=settings.max_request_bytes,
        )
        sockets = self._graphql_sockets = GraphQLSocket(
            executor,
            authenticator.viewer,
            context,
            origins,
            max_outbound_bytes=settings.max_outbound_bytes,
            limits=SessionLimits(
                init_timeout_seconds=settings.handshake_timeout_seconds,
                operations=OperationLimits(
                    max_subscriptions=settings.max_subscriptions_per_connection,
                    max_in_flight=settings.max_operations_in_flight,
                ),
            ),
        )
        legacy = self._legacy_sockets = LegacySockets(
            LegacyServices(
                services.messages,
                services.presence,
                authenticator,
                services.client_ids,
                services.policies,
                services.rights,
            ),
            origins,
            LegacyLimits(
                open_timeout_seconds=settings.handshake_timeout_seconds,
                publishes_in_flight=settings.max_operations_in_flight,
                result_bytes=settings.max_outbound_bytes // 2,
            ),
            max_outbound_bytes=settings.max_outbound_bytes,
        )
        health = Health(
            {"database": self._database_state, "bus": self._bus_state, "process": self._state}
        )
        return [
            Route(GRAPHQL_PATH, graphql),
            WebSocketRoute(GRAPHQL_PATH, sockets),
            *player_api_routes(),
            legacy.route(),
            *health.routes(),
            *page_routes(settings.graphiql),
        ]

    def _socket_endpoint(self, path: str) -> SocketEndpoint | None:
        if path == GRAPHQL_PATH:
            return self._graphql_sockets
        legacy = self._legacy_sockets
        return legacy if legacy is not None and legacy.serves(path) else None

    async def _database_state(self) -> str | None:
        assert self._database is not None
        assert self._write_probe is not None
        try:
            await self._database.fetch("SELECT 1")
        except Unavailable as error:
            return error.message
        return await self._write_probe.state()

    async def _bus_state(self) -> str | None:
        assert self._hub is not None
        return await self._hub.trouble()

    async def _state(self) -> str | None:
        return "the process is shutting down" if self._draining else None


def create_app(settings: Settings | None = None) -> Starlette:
    """Return the ASGI application of one process.

    Args:
        settings: with a database URL; None: read from the environment.

    Raises:
        ConfigurationError: a setting is wrong, or has no database URL: `widgetwire serve`
            starts the embedded database and hands its URL over.
    """
    settings = settings or Settings()
    if settings.database_url is None:
        raise ConfigurationError(
            f"{setting_names.DATABASE_URL}: expected postgresql://…, got nothing; "
            "`widgetwire serve` starts an embedded database"
        )
    # A bad key or a bad bus is told at start.
    _verification_key(settings)
    _backend(settings)
    process = Process(settings)
    return Application(
        lifespan=process.lifespan, middleware=[OriginPolicy(settings.allowed_origins).cors()]
    )


class Application(Starlette):
    """Starlette, with a short way to the endpoint that most requests are for.

    A request without an Origin header needs no CORS, and `/graphql` no router. Ordinary POSTs and
    sockets do not even come here: see `Process.lifespan`.
    """

    graphql: GraphQLHttp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI calls it."""
        await self._answering(scope)(scope, receive, send)

    def _answering(self, scope: Scope) -> ASGIApp:
        if self.graphql is None or scope["type"] != "http" or scope["path"] != GRAPHQL_PATH:
            return super().__call__
        if any(name == b"origin" for name, _ in scope["headers"]):
            return super().__call__
        return self.graphql


def _backend(settings: Settings) -> Backend:
    assert settings.database_url is not None
    scheme = broadcast_scheme(settings.broadcast_url)
    return chosen_backend(scheme, settings.broadcast_url, settings.database_url)


def _verification_key(settings: Settings) -> VerificationKey | None:
    if settings.jwt_secret is not None:
        return VerificationKey.from_secret(settings.jwt_secret.get_secret_value())
    if settings.jwt_public_key is not None:
        return VerificationKey.from_pem(settings.jwt_public_key)
    return None
