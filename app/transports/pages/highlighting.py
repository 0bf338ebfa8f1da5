"""The code in documents, its words, strings, numbers and comments marked."""

import html
from typing import Final

from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.token import Comment, Keyword, Name, Number, String, Token
from pygments.util import ClassNotFound

__all__ = ["highlighted"]

# The classes of demo.css, which the code on the demonstration page has too.
_CLASSES: Final = (
    (Comment, "t-comment"),
    (String, "t-string"),
    (Number, "t-number"),
    (Keyword, "t-word"),
    (Name.Tag, "t-word"),
    (Name.Builtin, "t-word"),
)
_LONGEST: Final = 50_000
"""Characters of code that are looked at; longer code stays plain."""


def highlighted(code: str, language: str, _attributes: str = "") -> str:
    """Return code as HTML.

    Args:
        code: as it stands in the document.
        language: of its fence, such as `sh` or `graphql`; what is not known stays plain.
    """
    lexer = _lexer(language)
    if lexer is None or len(code) > _LONGEST:
        return html.escape(code)
    return "".join(_marked(kind, text) for kind, text in lexer.get_tokens(code))


def _lexer(language: str) -> Lexer | None:
    if not language:
        return None
    try:
        return get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return None


def _marked(kind: Token, text: str) -> str:  # type: ignore[valid-type]
    escaped = html.escape(text)
    name = next((name for group, name in _CLASSES if kind in group), None)
    return escaped if name is None else f'<span class="{name}">{escaped}</span>'
