"""What a log record has besides its text: the name of what happened, and facts about it.

`logger.warning("a worker ended", extra=event("worker.ended", exit_code=-9))`. Names and facts are
listed in `docs/MONITORING.md`, which a test holds to the code. Never a token, a message's data, a
user name or a query; ids of channels and connections, numbers, and words of our own.
"""

import json
import logging
import re
from collections.abc import Mapping
from typing import Final, TypeAlias

from app.peer import Peer
from app.telemetry.log_context import log_context

__all__ = ["Fact", "as_text", "event", "facts_of"]

Fact: TypeAlias = str | int | float | None
"""A fact that is None is left out."""

_PLAIN: Final = re.compile(r"[^\s\"=\\\x00-\x1f\x7f]+")
_KEY: Final = "widgetwire_facts"
_DEFECT: Final = "defect"
"""The event of a record with a traceback and without a name: something that must not happen."""
_OTHER: Final = "other"
"""Of one without either: most are of libraries."""


def event(name: str, peer: Peer | None = None, **facts: Fact) -> Mapping[str, Mapping[str, Fact]]:
    """Return what a logging call takes as `extra`.

    Args:
        name: what happened: `subject.happening`, from a fixed list.
        peer: whom it is about: its address and its connection.
        facts: about it; floats are seconds.
    """
    told: dict[str, Fact] = {"event": name, **facts}
    if peer is not None:
        told["address"] = peer.address
        told["connection_id"] = peer.connection_id
    return {_KEY: told}


def facts_of(record: logging.LogRecord) -> dict[str, Fact]:
    """Return a record's event and facts, with the ids of the request that it is about.

    Call it where the record is made: the ids are those of the running task.
    """
    own: Mapping[str, Fact] = getattr(record, _KEY, {})
    facts: dict[str, Fact] = {"event": _DEFECT if record.exc_info else _OTHER}
    context = log_context()
    if context is not None:
        facts["connection_id"] = context.connection_id
        facts["request_id"] = context.request_id
    facts.update((name, fact) for name, fact in own.items() if fact is not None)
    return {
        name: round(fact, 6) if isinstance(fact, float) else fact for name, fact in facts.items()
    }


def as_text(facts: Mapping[str, Fact]) -> str:
    """Return facts for a person: ` name=value …`, without the event, which the text tells."""
    return "".join(f" {name}={_shown(fact)}" for name, fact in facts.items() if name != "event")


def _shown(fact: Fact) -> str:
    text = str(fact)
    return text if _PLAIN.fullmatch(text) else json.dumps(text)
