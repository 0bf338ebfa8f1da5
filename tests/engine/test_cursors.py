"""An event stream's payloads tell what can be resumed after, and nothing else does."""

from types import SimpleNamespace
from typing import Any

import pytest

from app.engine.cursors import CursoredPayload, with_cursors
from tests.delivery.recorded import stored, transient

STORED, TRANSIENT = stored(7), transient(2)


@pytest.mark.parametrize(
    ("event", "cursor"),
    [
        (STORED, STORED.id),
        (TRANSIENT, None),
        (SimpleNamespace(message=STORED, cursor=STORED.id), STORED.id),
        (SimpleNamespace(message=TRANSIENT, cursor=TRANSIENT.id), None),
        (SimpleNamespace(cursor="retraction"), "retraction"),
        (SimpleNamespace(cursor=None), None),
        (SimpleNamespace(policy="another"), None),
    ],
)
def test_what_can_be_resumed_after_is_told(event: Any, cursor: str | None) -> None:
    payload = with_cursors(lambda _event: b"{}")(event)
    assert payload == b"{}"
    assert getattr(payload, "cursor", None) == cursor
    assert isinstance(payload, CursoredPayload) is (cursor is not None)
