"""Code in documents, marked."""

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.transports.pages.highlighting import highlighted


@pytest.mark.parametrize(
    ("language", "code", "marked"),
    [
        ("sh", "# why\ncurl -N 'x'", {"t-comment", "t-string"}),
        ("graphql", 'query { a(b: "c", d: 5) }', {"t-word", "t-string", "t-number"}),
        ("js", "const a = 1; // b", {"t-word", "t-number", "t-comment"}),
        ("json", '{"a": true}', {"t-word"}),
        ("html", "<p class='a'>", {"t-word", "t-string"}),
    ],
)
def test_known_languages_are_marked(language: str, code: str, marked: set[str]) -> None:
    assert set(re.findall(r'class="([^"]*)"', highlighted(code, language))) >= marked


@given(st.text(), st.sampled_from(["", "sh", "js", "graphql", "nonsense", "html"]))
def test_what_is_shown_is_the_code(code: str, language: str) -> None:
    """Nothing is lost, and nothing becomes markup."""
    shown = re.sub(r"</?span[^>]*>", "", highlighted(code, language))
    assert html.unescape(shown).replace("\r\n", "\n").replace("\r", "\n") == html.unescape(
        html.escape(code)
    ).replace("\r\n", "\n").replace("\r", "\n")


def test_very_long_code_stays_plain() -> None:
    assert "span" not in highlighted("const a = 1;\n" * 5_000, "js")
