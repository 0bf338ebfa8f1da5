"""Documents as HTML: what GitHub shows of them, the pages show too."""

import pytest

from app.transports.pages.markdown import rendered


@pytest.mark.parametrize(
    ("heading", "anchor"),
    [
        ("The picture", "the-picture"),
        ("`open` (client → server)", "open-client--server"),
        ("3. Who's there?", "3-whos-there"),
        ("WebSockets: `graphql-transport-ws`", "websockets-graphql-transport-ws"),
        ("snake_case and [a link](x.md)", "snake_case-and-a-link"),
    ],
)
def test_headings_have_the_ids_that_github_gives_them(heading: str, anchor: str) -> None:
    """All 19 links within the documents were dead: headings had no ids."""
    assert f'<h3 id="{anchor}">' in rendered(f"### {heading}\n", "A.md").html


def test_the_second_heading_of_a_name_is_numbered() -> None:
    """As on GitHub."""
    html = rendered("# One\n\n## Same\n\n## Same\n", "A.md").html
    assert 'id="same"' in html
    assert 'id="same-1"' in html


def test_links_and_images_are_rewritten_and_code_is_not() -> None:
    """An example in a document is no link."""
    html = rendered("[a](../README.md) ![b](plot.svg) `[c](../README.md)`\n", "A.md").html
    assert 'href="README.md"' in html
    assert 'src="plot.svg"' in html
    assert "[c](../README.md)" in html


def test_cells_carry_the_name_of_their_column() -> None:
    """On a phone a row is a list of its cells."""
    html = rendered("| `a` | |\n| - | - |\n| 1 | 2 |\n\n| b |\n| - |\n| 3 |\n", "A.md").html
    assert '<td data-label="a">1</td>' in html
    assert "<td>2</td>" in html
    assert '<td data-label="b">3</td>' in html


def test_sections_are_told_beside() -> None:
    """For the list of contents."""
    found = rendered("# A\n\n## One `x`\n\n### Deeper\n\n## One\n", "A.md").headings
    assert [(one.text, one.anchor) for one in found] == [("One x", "one-x"), ("One", "one")]
