"""What is refused at the door, in the log: once a minute for each cause, however often.

An operator finds here why a page or a client does not get in. The lines of one process are
bounded whatever strangers send: see `LogThrottle`.
"""

import logging
from typing import Final

from app import setting_names
from app.errors import TokenExpired, Unauthenticated, shown
from app.peer import Peer
from app.telemetry.counters import COUNTED
from app.telemetry.log_fields import event
from app.telemetry.logs import LogThrottle

__all__ = ["log_refused_origin", "log_refused_token"]

_logger: Final = logging.getLogger(__name__)

_origins = LogThrottle(others="others, too many to name,")
_tokens = LogThrottle(others="other reasons, too many to name")


def log_refused_origin(origin: str, host: str | None, peer: Peer | None = None) -> None:
    """Log that a page may not connect, and which setting would let it.

    Args:
        origin: the `Origin` header.
        host: the `Host` header: a proxy that changes it refuses the service's own pages.
        peer: who asked; None: the log knows by its own, or does not.
    """
    COUNTED.refusals["origin"] += 1
    line = _origins.admit(shown(origin, 120))
    if line is not None:
        _logger.warning(
            "refused the origin %s at the host %s: add it to %s to allow its pages%s",
            line.key,
            shown(host, 120),
            setting_names.ALLOWED_ORIGINS,
            line.more,
            extra=event(
                "origin.refused",
                origin=line.key,
                withheld=line.withheld,
                peer=peer,
            ),
        )


def log_refused_token(error: Unauthenticated, peer: Peer | None = None) -> None:
    """Log why a token is refused, never the token itself.

    Args:
        error: its reason is logged.
        peer: as for `log_refused_origin`.
    """
    COUNTED.refusals["token"] += 1
    line = _tokens.admit(error.reason)
    if line is not None:
        # Tokens expire every day; the others are somebody's mistake.
        level = logging.INFO if isinstance(error, TokenExpired) else logging.WARNING
        _logger.log(
            level,
            "authentication refused: %s%s",
            line.key,
            line.more,
            extra=event(
                "token.refused",
                reason=line.key,
                withheld=line.withheld,
                peer=peer,
            ),
        )
