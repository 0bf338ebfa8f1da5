"""Where a Kafka cluster is and how to log in to it, as one URL says it.

kafka://user:password@host:9092,host:9093/topic?security_protocol=SASL_SSL&ssl_cafile=…
"""

import re
from dataclasses import dataclass, field
from ssl import SSLContext
from typing import Any, Final, Literal, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from aiokafka.helpers import create_ssl_context

from app.errors import ConfigurationError

__all__ = ["KafkaAddress"]

_PROTOCOLS: Final = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
_MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_OPTIONS: Final = frozenset({"security_protocol", "sasl_mechanism", "ssl_cafile"})
_DEFAULT_TOPIC: Final = "widgetwire-events"
_DEFAULT_PORT: Final = 9092
_SERVER: Final = re.compile(r"(?:[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?", re.ASCII)
_TOPIC: Final = re.compile(r"[A-Za-z0-9_.-]{1,249}", re.ASCII)


@dataclass(frozen=True, slots=True)
class KafkaAddress:
    """A cluster, a topic in it, and the login."""

    servers: tuple[str, ...]
    """host:port each; one that answers is enough to find the others."""
    topic: str
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ssl_cafile: str | None = None

    @classmethod
    def parse(cls, url: str) -> Self:
        """Return what a URL says.

        Without `security_protocol`, a user means SASL_PLAINTEXT and no user PLAINTEXT.

        Raises:
            ConfigurationError: it is no such URL; the text names the part that is wrong.
        """
        parts = urlsplit(url)
        user, _, hosts = parts.netloc.rpartition("@")
        name, _, password = user.partition(":")
        servers = tuple(_server(one) for one in hosts.split(","))
        topic = unquote(parts.path.strip("/")) or _DEFAULT_TOPIC
        if not _TOPIC.fullmatch(topic) or topic in {".", ".."}:
            raise _wrong("a topic of 1 to 249 letters, digits, '.', '_' and '-' as its path")
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        if unknown := sorted(options.keys() - _OPTIONS):
            raise _wrong(f"no options but {', '.join(sorted(_OPTIONS))}", ", ".join(unknown))
        protocol = options.get("security_protocol", "SASL_PLAINTEXT" if user else "PLAINTEXT")
        mechanism = options.get("sasl_mechanism", "PLAIN")
        if protocol not in _PROTOCOLS:
            raise _wrong(f"security_protocol to be one of {', '.join(_PROTOCOLS)}", protocol)
        if mechanism not in _MECHANISMS:
            raise _wrong(f"sasl_mechanism to be one of {', '.join(_MECHANISMS)}", mechanism)
        if protocol.startswith("SASL") != bool(name and password):
            raise _wrong("user:password@ with a security_protocol of SASL, and only with one")
        return cls(
            servers=servers,
            topic=topic,
            security_protocol=protocol,  # type: ignore[arg-type]  # one of them: checked
            sasl_mechanism=mechanism,  # type: ignore[arg-type]  # likewise
            username=unquote(name) or None,
            password=unquote(password) or None,
            ssl_cafile=options.get("ssl_cafile"),
        )

    def client_options(self) -> dict[str, Any]:
        """Return the arguments that every client of aiokafka takes.

        Raises:
            ConfigurationError: the file of authorities cannot be read.
        """
        options: dict[str, Any] = {
            "bootstrap_servers": list(self.servers),
            "security_protocol": self.security_protocol,
        }
        if self.security_protocol.endswith("SSL"):
            options["ssl_context"] = self._ssl_context()
        if self.security_protocol.startswith("SASL"):
            options["sasl_mechanism"] = self.sasl_mechanism
            options["sasl_plain_username"] = self.username
            options["sasl_plain_password"] = self.password
        return options

    def _ssl_context(self) -> SSLContext:
        try:
            context: SSLContext = create_ssl_context(cafile=self.ssl_cafile)
        except OSError:
            raise _wrong("ssl_cafile to be a readable PEM file", str(self.ssl_cafile)) from None
        return context


def _server(text: str) -> str:
    if not _SERVER.fullmatch(text):
        raise _wrong("host:port, or several with commas between them", text)
    has_port = text.rpartition(":")[2].isdigit() and not text.endswith("]")
    return text if has_port else f"{text}:{_DEFAULT_PORT}"


def _wrong(expected: str, got: str | None = None) -> ConfigurationError:
    # What came may hold the password when the URL is malformed: only short parts are shown.
    came = "" if got is None else f", got {got[:60]!r}"
    return ConfigurationError(f"the bus: expected kafka://host:9092/topic with {expected}{came}")
