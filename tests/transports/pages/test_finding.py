"""Search in the documents."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.transports.pages.finding import found
from app.transports.pages.published import published_files


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    (tmp_path / "A.md").write_text(
        "# Doc A\n\nSubscriptions and [a link](B.md).\n\n## Replay `after`\n\n"
        + "filler text " * 40
        + "subscribe\n\n```sh\ncurl subscribe\n```\n"
    )
    (tmp_path / "B.md").write_text("# Doc B\n\n| a |\n| - |\n| subscribe to tables |\n")
    (tmp_path / "c.svg").write_text("subscribe")
    return {path.name: path for path in tmp_path.iterdir()}


def test_sections_with_all_words_are_found_best_first(files: dict[str, Path]) -> None:
    sections, words = found("SUBSCRI", files)
    assert words == ["subscri"]
    assert [(one.page, one.heading) for one in sections] == [
        ("B.md", "Doc B"),
        ("A.md", "Doc A"),
        ("A.md", "Replay after"),
    ]
    (one,), _ = found("after subscribe", files)
    assert (one.title, one.anchor) == ("Doc A", "replay-after")
    assert one.excerpt(["subscribe"]).startswith("… ")
    assert "subscribe" in one.excerpt(["subscribe"])
    assert sections[1].excerpt(words) == "Subscriptions and a link."
    assert found("nothing here", files) == ([], ["nothing", "here"])


@given(st.text(max_size=300))
def test_any_query_is_bounded(query: str) -> None:
    sections, words = found(query, {})
    assert sections == []
    assert len(words) <= 8


def test_the_documents_answer_what_people_ask() -> None:
    for query, page in (("restore", "OPERATIONS.md"), ("slowModeSeconds", "ROOMS.md")):
        assert page in {one.page for one in found(query, published_files())[0]}
