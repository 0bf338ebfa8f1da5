"""The list of documents."""

from pathlib import Path

from app.transports.pages.contents import Entry, contents, title_of
from app.transports.pages.published import published_files

ROOT = Path(__file__).parents[3]


def test_it_is_what_the_readme_links_to_in_its_order(tmp_path: Path) -> None:
    for name, text in (
        (
            "README.md",
            "# Read\n\n| | |\n| - | - |\n| [b](docs/B.md#x) | [a](docs/A.md) |\n[b](docs/B.md)",
        ),
        ("A.md", "# The first\n"),
        ("B.md", "text\n# The second\n"),
        ("C.md", "# Not linked\n"),
    ):
        (tmp_path / name).write_text(text)
    files = {path.name: path for path in tmp_path.iterdir()}
    assert contents(files) == [
        Entry("README.md", "Read"),
        Entry("B.md", "The second"),
        Entry("A.md", "The first"),
    ]
    assert contents({}) == []


def test_a_changed_document_has_its_new_title(tmp_path: Path) -> None:
    page = tmp_path / "A.md"
    page.write_text("# One\n")
    assert title_of(page) == "One"
    page.write_text("no heading, but longer\n")
    assert title_of(page) == "A"


def test_every_document_is_in_the_readme() -> None:
    """What is not listed there, nobody finds."""
    documents = {path.name for path in (ROOT / "docs").glob("*.md")}
    assert documents <= {entry.path for entry in contents(published_files())}
