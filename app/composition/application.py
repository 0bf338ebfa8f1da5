"""The application of one process: its transports on its services."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Final

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from app import setting_names
from app.composition.executor import executor_of
from app.composition.metrics import METRICS, Parts, reading
from app.composition.services import Started, bus_backend, started
from app.composition.tokens import check_keys, started_authenticator
from app.config import Settings
from app.domain.viewer import Viewer
from app.errors import ConfigurationError, Unavailable
from app.peer import Peer
from app.profile import check_profile
from app.schema.context import Context
from app.storage.database import Database
from app.storage.schema_probe import SchemaProbe
from app.storage.write_probe import WriteProbe
from app.telemetry.loop_lag import LoopLag
from app.telemetry.traces import exported
from app.telemetry.workers import ALONE, WorkerPlace, Workers
from app.transports.auth.authenticator import Authenticator
from app.transports.graphql.http import GraphQLHttp, HttpLimits
from app.transports.graphql.operations import OperationLimits
from app.transports.graphql.plain_posts import PlainPosts
from app.transports.graphql.session import SessionLimits
from app.transports.graphql.websocket import GraphQLSocket
from app.transports.health import Health
from app.transports.legacy.calls import LegacyLimits
from app.transports.legacy.player_api import player_api_routes
from app.transports.legacy.session import LegacyServices
from app.transports.legacy.socket import LegacySockets
from app.transports.metrics import MetricsPage
from app.transports.origins import OriginPolicy
from app.transports.pages.graphiql import graphiql_page
from app.transports.pages.routes import page_routes
from app.wire.exchange import RESPONDER
from app.wire.upgrade import ENDPOINTS, SocketEndpoint

__all__ = ["Application", "create_app"]

GRAPHQL_PATH: Final = "/graphql"


class Process:
    """The parts of one server process, from start to end."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._leaving = False
        self._executor = executor_of(settings)
        self._started: Started | None = None
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
            if self._settings.tracing:
                await stack.enter_async_context(exported())
            below = self._started = await started(stack, self._settings)
            authenticator = started_authenticator(stack, self._settings, below.services.client_ids)
            metrics = await self._metrics(stack, below, app.place)
            app.router.routes.extend([*self._routes(below, authenticator), metrics.route()])
            app.graphql = self._graphql
            app.state.leave = self.leave
            app.state.drain = self.drain
            yield {RESPONDER: self._plain_posts, ENDPOINTS: self._socket_endpoint}

    def leave(self) -> None:
        """Begin to go away: not ready any more; deletions end between two batches.

        Connections are told by the server: it calls `shutdown` on each of them.
        """
        self._leaving = True
        if self._started is not None:
            self._started.services.deletion.close()

    async def drain(self) -> None:
        """End every HTTP stream that is left, so that its client comes back, and begin no more."""
        if self._graphql is not None:
            self._graphql.shutdown()

    async def _metrics(
        self, stack: AsyncExitStack, below: Started, place: WorkerPlace
    ) -> MetricsPage:
        loop_lag = LoopLag()
        loop_lag.start()
        stack.callback(loop_lag.stop)
        parts = Parts(below, loop_lag, self._settings.workers)
        workers = Workers(partial(reading, parts), place)
        await workers.start()
        stack.push_async_callback(workers.stop)
        token = self._settings.metrics_token
        return MetricsPage(METRICS, workers, None if token is None else token.get_secret_value())

    def _routes(self, below: Started, authenticator: Authenticator) -> list[BaseRoute]:
        settings, services, pools = self._settings, below.services, below.pools
        origins = OriginPolicy(settings.allowed_origins)
        executor = self._executor

        def context(viewer: Viewer, connection: bool, peer: Peer) -> Context:
            # Who asks by one socket is one asker; requests without a token tell nothing.
            return Context(viewer, services, object() if connection else None, peer=peer)

        graphql = self._graphql = GraphQLHttp(
            executor,
            authenticator.viewer,
            context,
            landing=graphiql_page if settings.pages else None,
            limits=HttpLimits(
                max_body_bytes=settings.max_request_bytes,
                max_anonymous_bytes=settings.max_anonymous_bytes,
                max_streams=settings.max_streams,
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
            max_anonymous_bytes=settings.max_anonymous_bytes,
        )
        sockets = self._graphql_sockets = GraphQLSocket(
            executor,
            authenticator.viewer,
            context,
            origins,
            max_outbound_bytes=settings.max_outbound_bytes,
            limits=SessionLimits(
                init_timeout_seconds=settings.handshake_timeout_seconds,
                max_anonymous_bytes=settings.max_anonymous_bytes,
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
                max_anonymous_bytes=settings.max_anonymous_bytes,
                publishes_in_flight=settings.max_operations_in_flight,
                searches_waiting=settings.max_operations_in_flight,
                result_bytes=settings.max_outbound_bytes // 2,
            ),
            max_outbound_bytes=settings.max_outbound_bytes,
        )
        probe = WriteProbe(pools.leasing, pools.incidents)
        database = partial(_database_state, pools.leasing, probe)
        health = Health(
            {
                "database": database,
                "schema": SchemaProbe(pools.leasing).state,
                "bus": below.hub.trouble,
                "process": self._state,
            }
        )
        return [
            Route(GRAPHQL_PATH, graphql),
            WebSocketRoute(GRAPHQL_PATH, sockets),
            *player_api_routes(),
            legacy.route(),
            *health.routes(),
            *page_routes(settings.pages, console=settings.console),
        ]

    def _socket_endpoint(self, path: str) -> SocketEndpoint | None:
        if path == GRAPHQL_PATH:
            return self._graphql_sockets
        legacy = self._legacy_sockets
        return legacy if legacy is not None and legacy.serves(path) else None

    async def _state(self) -> str | None:
        return "the process is shutting down" if self._leaving else None


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
    # A bad key, a bad bus or an unsafe service is told at start.
    check_profile(settings)
    check_keys(settings)
    bus_backend(settings)
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
    place: WorkerPlace = ALONE
    """Among the workers of the service; whoever starts this one of several sets it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI calls it."""
        await self._answering(scope)(scope, receive, send)

    def _answering(self, scope: Scope) -> ASGIApp:
        if self.graphql is None or scope["type"] != "http" or scope["path"] != GRAPHQL_PATH:
            return super().__call__
        if any(name == b"origin" for name, _ in scope["headers"]):
            return super().__call__
        return self.graphql


async def _database_state(database: Database, probe: WriteProbe) -> str | None:
    try:
        await database.fetch("SELECT 1")
    except Unavailable as error:
        return error.message
    return await probe.state()
