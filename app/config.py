"""The settings: environment variables `WIDGETWIRE_*`, validated once, then frozen.

Owns names, bounds, defaults and meanings; `widgetwire config` prints them from here. Only
`app.cli` and `app.composition` read a `Settings`: every other part is given plain values.
"""

import difflib
import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from platformdirs import user_data_dir
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app import defaults
from app.config_words import printable, problem
from app.domain.origin import ORIGIN_FORMS, OriginList
from app.errors import ConfigurationError
from app.profile import PRODUCTION
from app.setting_names import PREFIX
from app.wire.trusted_proxies import TrustedProxies

__all__ = ["SettingDescription", "Settings", "broadcast_scheme", "unknown_variables"]

_BROADCAST_PACKAGES: Final = {"redis": "redis", "rediss": "redis", "kafka": "aiokafka"}
_DATABASE_SCHEMES: Final = ("postgresql", "postgres")
_MIN_SECRET_BYTES: Final = 32
_MAX_CLIENT_SECRETS: Final = 8
"""Each one costs whoever sends a bad client token another look."""
_MIB: Final = 1024 * 1024
_MILLION: Final = 1_000_000
_BY_PUBLISHER: Final = "by one publisher that a token's sub or a signed client id proves"
_BY_ADDRESS: Final = "from one address by clients without a token's sub"
_BY_PROJECT: Final = "in one project"


def _number(default: float, least: float, most: float, meaning: str) -> Any:
    return Field(default, ge=least, le=most, description=meaning)


def _rate(what: str, whose: str) -> Any:
    return _number(0, 0, _MILLION, f"{what} a second {whose}: RATE_LIMITED above; 0: no limit")


def _parts(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _data_dir() -> Path:
    return Path(user_data_dir("widgetwire", appauthor=False))


def broadcast_scheme(url: str) -> str:
    """Return the kind of bus that `url` names: `postgres`, `memory`, `redis(s)` or `kafka`.

    Raises:
        ValueError: this version has no such bus, or not the package that it needs.
    """
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower()
    if scheme in {"postgres", "memory"} and not rest:
        return scheme
    if scheme not in _BROADCAST_PACKAGES or not separator or not rest.split("/")[0]:
        raise ValueError(
            "'postgres' (the database carries it), redis://host:port, rediss://… (TLS), "
            "kafka://host:port/topic or 'memory://' (one process)"
        )
    package = _BROADCAST_PACKAGES[scheme]
    if importlib.util.find_spec(package) is None:
        extra = "kafka" if scheme == "kafka" else "redis"
        raise ValueError(
            f"the package {package!r} for {scheme}://: pip install 'widgetwire[{extra}]'"
        )
    return scheme


@dataclass(frozen=True, slots=True)
class SettingDescription:
    """One setting as an operator sees it; secrets are masked."""

    variable: str
    value: str | int | float | bool | None
    default: str | int | float | bool | None
    production_default: str | int | float | bool | None
    """In the profile `production`; most are the same."""
    meaning: str


class Settings(BaseSettings):
    """Every setting. Keyword arguments take precedence over the environment.

    Raises:
        ConfigurationError: one line per wrong variable: expected what, got what.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, env_ignore_empty=True, extra="forbid"
    )

    env: Literal["development", "production"] = Field(
        "development",
        description="profile: production has safer defaults, and does not start with a weak secret",
    )

    # Serving
    host: str = Field("127.0.0.1", description="address to listen on; 0.0.0.0 or :: for all")
    port: int = _number(8000, 0, 65535, "TCP port; 0 lets the system choose one")
    workers: int = _number(1, 1, 64, "server processes; one per core is enough")
    backlog: int = _number(
        defaults.BACKLOG, 16, 65535, "connections the kernel queues before accept"
    )
    keep_alive_seconds: int = _number(
        defaults.KEEP_ALIVE_SECONDS, 1, 3600, "an idle HTTP connection is closed after this"
    )
    body_timeout_seconds: float = _number(
        defaults.BODY_TIMEOUT_SECONDS,
        0.1,
        600,
        "a request's body must arrive within this after its head",
    )
    header_timeout_seconds: float = _number(
        defaults.HEADER_TIMEOUT_SECONDS,
        0.1,
        300,
        "a request's head must arrive within this, or the connection is closed",
    )
    max_header_bytes: int = _number(
        defaults.MAX_HEADER_BYTES, 1024, _MIB, "largest request head; a larger one is answered 431"
    )
    shutdown_grace_seconds: float = _number(
        defaults.SHUTDOWN_GRACE_SECONDS,
        0.1,
        9,
        "after SIGTERM, acknowledged work gets this long; the process ends within 10 s",
    )
    shutdown_spread_seconds: float = _number(
        defaults.SHUTDOWN_SPREAD_SECONDS,
        0,
        8,
        "after SIGTERM, connections are closed over this long, so that clients do not come back "
        "all at once; sooner when they are few (400 a second); at most half of "
        "SHUTDOWN_GRACE_SECONDS",
    )
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="addresses and networks of proxies whose X-Forwarded-For is believed, "
        "separated by commas: 10.0.0.5,10.0.0.0/8",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="least severe log record that is written"
    )
    log_format: Literal["text", "json"] = Field(
        "text", description="text for a person, json for one JSON object a line"
    )
    access_log: bool = Field(False, description="log one line per HTTP request (costs throughput)")
    tracing: bool = Field(
        False,
        description="send traces by OpenTelemetry to a collector (OTLP over HTTP) as the OTEL_* "
        "variables say; needs the extra 'tracing'",
    )

    # Storage and delivery
    database_url: str | None = Field(
        None, repr=False, description="postgresql://… of PostgreSQL 15 or newer; unset: embedded"
    )
    database_wait_seconds: float = _number(
        60, 0, 3600, "at start, a database that takes no connections yet is waited for this long"
    )
    database_pool_size: int = _number(
        defaults.DATABASE_POOL_SIZE,
        2,
        200,
        "database connections per process for joining, replaying and counting; publishing, "
        "presence and the bus have five more, searches have SEARCH_POOL_SIZE and "
        "QUICK_SEARCH_POOL_SIZE",
    )
    search_pool_size: int = _number(
        defaults.SEARCH_POOL_SIZE,
        1,
        200,
        "database connections per process for searches that may read more than 5,000 messages: "
        "so many run at once",
    )
    quick_search_pool_size: int = _number(
        defaults.QUICK_SEARCH_POOL_SIZE,
        1,
        200,
        "database connections per process for all other searches",
    )
    search_wait_seconds: float = _number(
        defaults.SEARCH_WAIT_SECONDS,
        0.1,
        60,
        "a search that has waited this long for its turn, or would have to: UNAVAILABLE with "
        "retryAfterMs",
    )
    search_queue_max: int = _number(
        defaults.SEARCH_QUEUE_MAX,
        1,
        100_000,
        "searches of a kind that wait for their turn, per process; the newest of the longest "
        "line beyond: UNAVAILABLE with retryAfterMs",
    )
    search_max_scan: int = _number(
        defaults.SEARCH_MAX_SCAN,
        0,
        10_000_000_000,
        "a search that would read more messages than this: BAD_USER_INPUT; 0: no limit",
    )
    statement_timeout_seconds: float = _number(
        defaults.STATEMENT_TIMEOUT_SECONDS,
        0.1,
        300,
        "a search that runs longer is cancelled: UNAVAILABLE",
    )
    slow_seconds: float = _number(
        defaults.SLOW_SECONDS,
        0,
        300,
        "a statement of a search, or the storing of messages, that takes longer is a line in the "
        "log, once a minute for each channel; 0: none is",
    )
    search_indexes: int = _number(
        defaults.SEARCH_INDEXES,
        0,
        32,
        "indexes that the service builds by itself for what is searched; 0: none",
    )
    search_index_messages: int = _number(
        defaults.SEARCH_INDEX_MESSAGES,
        0,
        1_000_000_000,
        "searches of channels with fewer messages do not ask for an index",
    )
    answer_cache_bytes: int = _number(
        defaults.ANSWER_CACHE_BYTES,
        0,
        1024 * _MIB,
        "answers of searches kept in memory while their channel is unchanged; least recent goes "
        "first; 0 keeps none",
    )
    retention_days: int | None = Field(
        None,
        ge=1,
        le=36_500,
        description="stored messages are deleted in the background when they are older; unset: "
        "never",
    )
    broadcast_url: str = Field(
        "postgres",
        repr=False,
        description="bus between processes: postgres (the database), redis://…, rediss://… (TLS), "
        "kafka://host:port/topic or memory:// (one process)",
    )
    data_dir: Path = Field(
        default_factory=_data_dir, description="directory of the embedded database"
    )

    # Who may do what
    jwt_secret: SecretStr | None = Field(
        None, description="tokens are signed with this secret, HS256; at least 32 bytes"
    )
    jwt_public_key: str | None = Field(
        None,
        repr=False,
        description="tokens are verified with this key: PEM text or the path of a PEM file; "
        "RSA: RS256, EC P-256: ES256, Ed25519: EdDSA",
    )
    jwks_url: str | None = Field(
        None,
        description="tokens are verified with the public keys of this key set (JWKS), fetched "
        "every 5 minutes; https://…, or http://… on a loopback address",
    )
    jwt_audience: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="a token's `aud` must have one of these, separated by commas; unset: `aud` is "
        "not looked at",
    )
    jwt_issuer: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="a token's `iss` must be one of these, separated by commas; unset: `iss` is "
        "not looked at",
    )
    client_secret: SecretStr | None = Field(
        None,
        description="client ids are signed with the first of these secrets, and verified with "
        "all: 1 to 8 of at least 32 bytes, separated by commas; unset: one that the database keeps",
    )
    anonymous: Literal["allow", "read", "deny"] = Field(
        "allow",
        description="without a token: allow everything but moderate and admin, read (subscribe "
        "and search), or deny",
    )
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="origins of pages that may connect besides this host's own: "
        "https://example.com, https://*.example.com (its subdomains), null (sandboxed frames), "
        "separated by commas; or * for all",
    )
    max_token_bytes: int = _number(
        defaults.MAX_TOKEN_BYTES, 256, 65536, "longest token; a longer one is refused"
    )
    metrics_token: SecretStr | None = Field(
        None,
        description="/metrics answers whoever sends this as a bearer token, at least 32 bytes; "
        "unset: everybody who reaches the port",
    )
    graphiql: bool = Field(True, description="serve GraphiQL and the demonstration page")
    console: bool = Field(
        True,
        description="serve the console at /admin; it needs a token with moderate or admin",
    )
    introspection: bool = Field(
        True,
        description="answer introspection (__schema, __type), and suggest names in errors",
    )

    # Bounds of requests
    max_data_bytes: int = _number(
        defaults.MAX_DATA_BYTES, 16, _MIB, "largest data of a message as JSON"
    )
    max_request_bytes: int = _number(
        defaults.MAX_REQUEST_BYTES, 1024, 64 * _MIB, "largest HTTP body: 413 above"
    )
    max_frame_bytes: int = _number(
        defaults.MAX_FRAME_BYTES,
        1024,
        64 * _MIB,
        "largest WebSocket message from a client that is accepted: close 1009 above",
    )
    max_anonymous_bytes: int = _number(
        defaults.MAX_ANONYMOUS_BYTES,
        1024,
        64 * _MIB,
        "the same two of a client without a token",
    )
    max_query_depth: int = _number(
        defaults.MAX_QUERY_DEPTH, 2, 100, "deepest selection of a GraphQL operation"
    )
    max_query_tokens: int = _number(
        defaults.MAX_QUERY_TOKENS, 50, 100_000, "most tokens of a GraphQL document"
    )
    max_query_aliases: int = _number(
        defaults.MAX_QUERY_ALIASES, 1, 1000, "most root fields and aliases of a GraphQL operation"
    )
    document_cache_size: int = _number(
        defaults.DOCUMENT_CACHE_SIZE,
        1,
        100_000,
        "parsed and validated GraphQL documents kept; least recent goes first",
    )
    documents: Literal["any", "known"] = Field(
        "any",
        description="GraphQL documents that are executed: any, or known: those of DOCUMENTS_FILE "
        "alone, without GraphiQL and the demonstration page",
    )
    documents_file: Path | None = Field(
        None,
        description="JSON file of known documents: an object of id to text, or Apollo's manifest",
    )

    # Bounds of connections
    max_connections: int = _number(
        defaults.MAX_CONNECTIONS,
        1,
        1_000_000,
        "open connections per process; the next is answered 503",
    )
    max_connections_per_address: int = _number(
        defaults.MAX_CONNECTIONS_PER_ADDRESS,
        0,
        _MILLION,
        "open connections of one address (IPv6: of one /64 network) per process; the next is "
        "answered 429; 0: no limit",
    )
    max_streams: int = _number(
        defaults.MAX_STREAMS,
        0,
        _MILLION,
        "subscriptions over HTTP (SSE, multipart) open per process; the next is answered 503",
    )
    max_subscriptions_per_connection: int = _number(
        defaults.MAX_SUBSCRIPTIONS_PER_CONNECTION,
        1,
        10_000,
        "subscriptions on one socket: error RATE_LIMITED above",
    )
    max_filter_bytes_per_connection: int = _number(
        defaults.MAX_FILTER_BYTES_PER_CONNECTION,
        64 * 1024,
        1024 * _MIB,
        "memory of the filters of one socket's subscriptions: error RATE_LIMITED above",
    )
    max_filter_bytes: int = _number(
        defaults.MAX_FILTER_BYTES,
        _MIB,
        16 * 1024 * _MIB,
        "memory of the filters of all subscriptions of a process: error UNAVAILABLE above",
    )
    max_operations_in_flight: int = _number(
        defaults.MAX_OPERATIONS_IN_FLIGHT,
        1,
        10_000,
        "unanswered operations per socket; reading pauses until one is answered; legacy searches "
        "that wait above: RATE_LIMITED",
    )
    max_outbound_bytes: int = _number(
        defaults.MAX_OUTBOUND_BYTES,
        4096,
        1024 * _MIB,
        "bytes waiting for one subscriber: close 1013 above; a stream over HTTP ends",
    )
    handshake_timeout_seconds: float = _number(
        defaults.HANDSHAKE_TIMEOUT_SECONDS,
        0.1,
        300,
        "a socket's connection_init or open must come within this: close 4408",
    )
    ping_interval_seconds: float = _number(
        defaults.PING_INTERVAL_SECONDS, 0.1, 3600, "a quiet socket is pinged this often"
    )
    ping_timeout_seconds: float = _number(
        defaults.PING_TIMEOUT_SECONDS,
        0.1,
        3600,
        "a socket that does not answer a ping for this long is closed",
    )

    # Rates, of each process
    publisher_publishes_per_second: float = _rate("publishes", _BY_PUBLISHER)
    address_publishes_per_second: float = _rate("publishes", _BY_ADDRESS)
    project_publishes_per_second: float = _rate("publishes", _BY_PROJECT)
    publisher_searches_per_second: float = _rate("searches", _BY_PUBLISHER)
    address_searches_per_second: float = _rate("searches", _BY_ADDRESS)
    project_searches_per_second: float = _rate("searches", _BY_PROJECT)
    rate_burst_seconds: float = _number(
        defaults.RATE_BURST_SECONDS,
        0,
        3600,
        "after a rest, so many seconds' worth of each rate may come at once, at least one",
    )

    # Publishing, replay, live queries, counts
    publish_timeout_seconds: float = _number(
        defaults.PUBLISH_TIMEOUT_SECONDS,
        0.1,
        60,
        "a publish that is not committed by then fails: UNAVAILABLE",
    )
    publish_batch_max: int = _number(
        defaults.PUBLISH_BATCH_MAX, 1, 10_000, "messages written by one statement"
    )
    publish_queue_max: int = _number(
        defaults.PUBLISH_QUEUE_MAX, 1, 1_000_000, "publishes waiting per process: UNAVAILABLE above"
    )
    publish_queue_max_bytes: int = _number(
        defaults.PUBLISH_QUEUE_MAX_BYTES,
        2 * _MIB,
        1024 * _MIB,
        "bytes of publishes waiting per process: UNAVAILABLE above",
    )
    replay_max_messages: int = _number(
        defaults.REPLAY_MAX_MESSAGES, 1, 100_000, "most messages `last` may ask for"
    )
    max_held_messages: int = _number(
        defaults.MAX_HELD_MESSAGES,
        1,
        1_000_000,
        "messages of one channel that wait for a moderator: UNAVAILABLE above",
    )
    live_query_interval_seconds: float = _number(
        defaults.LIVE_QUERY_INTERVAL_SECONDS,
        0.01,
        60,
        "a live query reports changes at most this often",
    )
    max_live_result_bytes: int = _number(
        defaults.MAX_LIVE_RESULT_BYTES,
        0,
        16 * 1024 * _MIB,
        "memory of live results per process; those that find no room are searched for each time",
    )
    count_interval_seconds: float = _number(
        defaults.COUNT_INTERVAL_SECONDS,
        0.01,
        60,
        "a connection count reports changes at most this often",
    )
    presence_heartbeat_seconds: float = _number(
        defaults.PRESENCE_HEARTBEAT_SECONDS,
        0.1,
        60,
        "each process renews its connection counts this often",
    )
    presence_lease_seconds: float = _number(
        7, 0.3, 300, "counts of a process not renewed for this long are dropped"
    )

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            # `from None`: pydantic's text holds the input, secrets included.
            lines = [problem(type(self).model_fields, details) for details in error.errors()]
            raise ConfigurationError("\n".join(lines)) from None

    @field_validator("host")
    @classmethod
    def _check_host(cls, host: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9_.:%-]{1,255}", host):
            raise ValueError("a host name or an IP address")
        return host

    @field_validator("tracing")
    @classmethod
    def _check_tracing(cls, tracing: bool) -> bool:
        if tracing and importlib.util.find_spec("opentelemetry") is None:
            raise ValueError("the package 'opentelemetry': pip install 'widgetwire[tracing]'")
        return tracing

    @field_validator("database_url")
    @classmethod
    def _check_database_url(cls, url: str | None) -> str | None:
        if url is not None and url.partition("://")[0] not in _DATABASE_SCHEMES:
            raise ValueError("postgresql://user:password@host:port/database")
        return url

    @field_validator("broadcast_url")
    @classmethod
    def _check_broadcast_url(cls, url: str) -> str:
        broadcast_scheme(url)
        return url

    @field_validator("jwt_secret", "metrics_token")
    @classmethod
    def _check_secret(cls, secret: SecretStr | None) -> SecretStr | None:
        # RFC 7518, 3.2: "A key of the same size as the hash output (for instance, 256 bits
        # for "HS256") or larger MUST be used with this algorithm."
        if secret is not None and len(secret.get_secret_value().encode()) < _MIN_SECRET_BYTES:
            raise ValueError(f"at least {_MIN_SECRET_BYTES} bytes")
        return secret

    @field_validator("client_secret")
    @classmethod
    def _check_client_secrets(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None:
            each = _parts(secret.get_secret_value())
            short = any(len(one.encode()) < _MIN_SECRET_BYTES for one in each)
            if short or not 1 <= len(each) <= _MAX_CLIENT_SECRETS:
                raise ValueError(
                    f"1 to {_MAX_CLIENT_SECRETS} secrets of at least {_MIN_SECRET_BYTES} bytes, "
                    "separated by commas"
                )
        return secret

    @property
    def pages(self) -> bool:
        """Whether GraphiQL and the demonstration page are served: both send their own documents."""
        return self.graphiql and self.documents == "any"

    @property
    def client_secrets(self) -> tuple[str, ...]:
        """The secrets of client ids, the one that signs first; empty: the database keeps one."""
        return () if self.client_secret is None else _parts(self.client_secret.get_secret_value())

    @field_validator("jwt_public_key")
    @classmethod
    def _read_public_key(cls, key: str | None) -> str | None:
        """Return the PEM text, read from the file if `key` is a path."""
        if key is None:
            return None
        if "-----BEGIN" not in key:
            try:
                key = Path(key).expanduser().read_text(encoding="ascii")
            except (OSError, ValueError):
                raise ValueError("PEM text or the path of a readable PEM file") from None
        # Env files and YAML often carry the line ends as the two characters \n.
        key = key.replace("\\n", "\n")
        if "PRIVATE KEY-----" in key:
            raise ValueError("a public key: a private one does not belong on this server")
        return key

    @field_validator(
        "allowed_origins", "trusted_proxies", "jwt_audience", "jwt_issuer", mode="before"
    )
    @classmethod
    def _split(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return _parts(value)

    @field_validator("allowed_origins")
    @classmethod
    def _check_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        lowered = tuple(origin.lower() for origin in origins)
        try:
            OriginList(lowered)
        except ValueError:
            raise ValueError(ORIGIN_FORMS) from None
        return lowered

    @field_validator("trusted_proxies")
    @classmethod
    def _check_proxies(cls, proxies: tuple[str, ...]) -> tuple[str, ...]:
        try:
            TrustedProxies(proxies)
        except ValueError:
            raise ValueError("IP addresses and networks such as 10.0.0.0/8") from None
        return proxies

    @field_validator("data_dir", "documents_file")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        return None if path is None else path.expanduser().absolute()

    @model_validator(mode="before")
    @classmethod
    def _take_profile(cls, values: Any) -> Any:
        """Give what is unset the default of the profile."""
        if isinstance(values, dict) and values.get("env") == "production":
            return {**PRODUCTION, **values}
        return values

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        for wrong, text in (
            (
                self.workers > 1 and broadcast_scheme(self.broadcast_url) == "memory",
                f"{PREFIX}BROADCAST_URL: expected a bus that joins processes when "
                f"{PREFIX}WORKERS is above 1, got memory://",
            ),
            (
                self.documents == "known" and self.documents_file is None,
                f"{PREFIX}DOCUMENTS_FILE: expected a file when {PREFIX}DOCUMENTS is known, got "
                "nothing",
            ),
            (
                self.presence_lease_seconds < 3 * self.presence_heartbeat_seconds,
                f"{PREFIX}PRESENCE_LEASE_SECONDS: expected at least three times "
                f"{PREFIX}PRESENCE_HEARTBEAT_SECONDS ({self.presence_heartbeat_seconds:g}), "
                f"got {self.presence_lease_seconds:g}",
            ),
            (
                self.max_data_bytes > min(self.max_request_bytes, self.max_frame_bytes),
                f"{PREFIX}MAX_DATA_BYTES: expected no more than {PREFIX}MAX_REQUEST_BYTES and "
                f"{PREFIX}MAX_FRAME_BYTES, got {self.max_data_bytes}",
            ),
            (
                self.max_anonymous_bytes < self.max_data_bytes,
                f"{PREFIX}MAX_ANONYMOUS_BYTES: expected no less than {PREFIX}MAX_DATA_BYTES "
                f"({self.max_data_bytes}), got {self.max_anonymous_bytes}",
            ),
        ):
            if wrong:
                raise ConfigurationError(text)
        return self

    @property
    def verifies_tokens(self) -> bool:
        """Whether there is a key that tokens are verified with."""
        keys = (self.jwt_secret, self.jwt_public_key, self.jwks_url)
        return any(key is not None for key in keys)

    def describe(self) -> list[SettingDescription]:
        """Return each setting in the order of this file, secrets masked."""
        return [
            SettingDescription(
                variable=PREFIX + name.upper(),
                value=printable(name, getattr(self, name)),
                default=(default := printable(name, field.get_default(call_default_factory=True))),
                production_default=PRODUCTION.get(name, default),
                meaning=field.description or "",
            )
            for name, field in type(self).model_fields.items()
        ]


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """Return a warning for each `WIDGETWIRE_*` variable that is no setting: most are typos.

    Not errors: Kubernetes sets such variables by itself for a service named `widgetwire`.
    """
    known = [PREFIX + name.upper() for name in Settings.model_fields]
    warnings = []
    for variable in sorted(environ):
        if variable.startswith(PREFIX) and variable not in known:
            close = difflib.get_close_matches(variable, known, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            warnings.append(f"{variable} is not a setting and has no effect{hint}")
    return warnings
