"""The GraphQL documents that the console sends, for a server that executes known ones only."""

import re
from hashlib import sha256
from typing import Final

from app.transports.pages.files import STATIC

__all__ = ["console_documents"]

_FILES: Final = (STATIC / "console" / "documents.js", STATIC / "demo" / "graphql.js")
_DOCUMENT: Final = re.compile(r"^export const [A-Z_]+ = `([^`$]*(?:\$\w[^`$]*)*)`;$", re.MULTILINE)
"""A plain template: `$name` is a variable of GraphQL, `${` would put something in."""


def console_documents() -> dict[str, str]:
    """Return the texts by their ids, `sha256:` and the text's hash."""
    texts = [
        text for file in _FILES for text in _DOCUMENT.findall(file.read_text(encoding="utf-8"))
    ]
    return {f"sha256:{sha256(text.encode()).hexdigest()}": text for text in texts}
