"""The outputs that MONITORING.md shows have the form of what the service writes."""

import json
import re
from typing import Final

import httpx
import pytest

from tests.documents.blocks import ROOT, block
from tests.hosted import hosted

DOCUMENT: Final = "docs/MONITORING.md"


@pytest.mark.anyio
async def test_readiness_names_these_parts(database_url: str) -> None:
    """The block `ready`."""
    async with hosted(database_url) as host, httpx.AsyncClient() as client:
        answer = (await client.get(f"http://{host}/healthz/ready")).json()
    shown = json.loads(block(DOCUMENT, "ready"))
    assert shown.keys() == answer.keys()
    assert shown["checks"].keys() == answer["checks"].keys()


def test_the_log_line_has_documented_fields() -> None:
    """The block `log`: each of its fields stands in a table."""
    text = (ROOT / DOCUMENT).read_text(encoding="utf-8").partition("## Logs")[2]
    for line in block(DOCUMENT, "log").splitlines():
        assert json.loads(line).keys() <= set(re.findall(r"`(\w+)`", text))
