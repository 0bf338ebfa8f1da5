"""Every code block of README.md and docs/ is run by a test, or has a reason why not."""

from typing import Final

from tests.documents.blocks import ROOT, all_blocks

CODE: Final = {"sh", "js", "jsx", "mjs", "html", "python", "php", "graphql", "json"}
"""Languages whose blocks a reader runs or sends; others show types, SQL or output."""

COMMANDS: Final = "tests/documents/test_commands.py"
GRAPHQL: Final = "tests/documents/test_graphql.py"
PROGRAMS: Final = "tests/documents/test_programs.py"
FRAMES: Final = "tests/documents/test_frames.py"
RECIPES: Final = "tests/clients/test_documented.py"
TUTORIALS: Final = "tests/browser/test_tutorials.py"
WIDGETS: Final = "tests/browser/test_documented_widgets.py"

RUN_BY: Final = {
    "README.md sh subscribe": COMMANDS,
    "README.md sh publish": COMMANDS,
    "README.md sh search": COMMANDS,
    "README.md html legacy.html": WIDGETS,
    "docs/AUTHENTICATION.md sh secret": COMMANDS,
    "docs/AUTHENTICATION.md sh serve": COMMANDS,
    "docs/AUTHENTICATION.md sh token": COMMANDS,
    "docs/AUTHENTICATION.md sh viewer": COMMANDS,
    "docs/AUTHENTICATION.md js token.mjs": PROGRAMS,
    "docs/AUTHENTICATION.md php token.php": PROGRAMS,
    "docs/AUTHENTICATION.md python token_for.py": PROGRAMS,
    "docs/CHAT.md sh serve": COMMANDS,
    "docs/CHAT.md sh pages": COMMANDS,
    "docs/CHAT.md html chat.html": TUTORIALS,
    "docs/POLL.md sh serve": COMMANDS,
    "docs/POLL.md sh pages": COMMANDS,
    "docs/POLL.md html poll.html": TUTORIALS,
    "docs/QUIZ.md sh serve": COMMANDS,
    "docs/QUIZ.md sh pages": COMMANDS,
    "docs/QUIZ.md html quiz.html": TUTORIALS,
    "docs/CONSOLE.md sh token": COMMANDS,
    "docs/GRAPHQL.md sh publish": COMMANDS,
    "docs/GRAPHQL.md sh stream": COMMANDS,
    "docs/GRAPHQL.md js socket.mjs": RECIPES,
    "docs/GRAPHQL.md js messages.mjs": RECIPES,
    "docs/GRAPHQL.md js apollo.mjs": RECIPES,
    "docs/GRAPHQL.md js urql.mjs": RECIPES,
    "docs/GRAPHQL.md js relay.mjs": RECIPES,
    "docs/GRAPHQL.md js count.mjs": RECIPES,
    "docs/GRAPHQL.md python messages.py": RECIPES,
    "docs/JAVASCRIPT.md js listen.mjs": RECIPES,
    "docs/JAVASCRIPT.md js loop.mjs": RECIPES,
    "docs/JAVASCRIPT.md js publish.mjs": RECIPES,
    "docs/JAVASCRIPT.md js token.mjs": RECIPES,
    "docs/JAVASCRIPT.md jsx chat.jsx": "tests/browser/test_examples.py",
    "docs/JAVASCRIPT.md sh serve": COMMANDS,
    "docs/LIVE_SHOW.md sh token": COMMANDS,
    "docs/MIGRATING.md html script": WIDGETS,
    "docs/MIGRATING.md html token-tag": WIDGETS,
    "docs/MIGRATING.md js token-option": WIDGETS,
    "docs/MIGRATING.md js vote": WIDGETS,
    "docs/MONITORING.md json ready": "tests/documents/test_shapes.py",
    "docs/MONITORING.md json log": "tests/documents/test_shapes.py",
    "docs/OPERATIONS.md sh serve": COMMANDS,
    "docs/OPERATIONS.md sh indexes": COMMANDS,
    "docs/OPERATIONS.md sh backup": COMMANDS,
    "docs/OPERATIONS.md sh move": COMMANDS,
    "docs/PROTOCOL.md json publish": FRAMES,
    "docs/PROTOCOL.md json search": FRAMES,
    "docs/PROTOCOL.md json vote": FRAMES,
    "docs/ROOMS.md json policy": GRAPHQL,
    "docs/SECURITY.md sh erase": COMMANDS,
    "docs/UPGRADING.md sh takeover": COMMANDS,
}

NOT_RUN: Final = {
    "README.md sh run": "installs from a package registry; `.ci/run` runs the same installation",
    "README.md sh test": "`.ci/run` runs it, and this test with it",
    "docs/AUTHENTICATION.md sh jwks": "needs an identity provider; tests/transports/auth has one",
    "docs/GRAPHQL.md json documents": "an excerpt; tests/composition/test_document_list.py",
    "docs/JAVASCRIPT.md sh pack": "installs from npm; tests/clients/test_package.py packs it",
    "docs/JAVASCRIPT.md sh example": "starts what tests/browser/test_examples.py starts, via npm",
}


def ran_by(document: str, language: str) -> str | None:
    """Return what runs all blocks of a kind, whatever their names."""
    if language != "graphql":
        return None
    return "tests/acceptance/test_live_show.py" if "LIVE_SHOW" in document else GRAPHQL


def test_every_block_is_run_or_has_a_reason() -> None:
    blocks = [block for block in all_blocks() if block.language in CODE]
    listed = RUN_BY.keys() | NOT_RUN.keys()
    unlisted = [
        str(block)
        for block in blocks
        if str(block) not in listed and ran_by(block.document, block.language) is None
    ]
    assert not unlisted
    assert not listed - {str(block) for block in blocks}, "no such block any more"


def test_what_runs_a_block_is_there_and_names_it() -> None:
    for name, path in RUN_BY.items():
        text = (ROOT / path).read_text(encoding="utf-8")
        document, _, block = name.split(" ", 2)
        stem = document.removeprefix("docs/").removesuffix(".md")
        assert stem in text or stem.lower() in text, f"{path} does not name {document}"
        assert block.partition(".")[0] in text, f"{path} does not name {name}"
