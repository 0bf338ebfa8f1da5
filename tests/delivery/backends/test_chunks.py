"""Chunks: any text fits notifications and comes out whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.delivery.backends.chunks import Assembler, chunked

# NUL cannot be in a Postgres text; lone surrogates are in no text of ours.
CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
texts = st.text(CHARACTERS, max_size=50) | st.builds(
    lambda part, times: part * times,
    st.text(CHARACTERS, min_size=1, max_size=5),
    st.integers(1_000, 9_000),
)


def received(chunks: list[str]) -> list[str]:
    """Return the texts that are made of these chunks."""
    assembler = Assembler()
    return [text for chunk in chunks if (text := assembler.add(chunk)) is not None]


@given(st.lists(texts, min_size=1, max_size=5))
def test_texts_come_out_as_they_went_in(sent: list[str]) -> None:
    chunks = [chunk for text in sent for chunk in chunked(text)]
    for chunk in chunks:
        assert 0 < len(chunk.encode()) < 8_000
    assert received(chunks) == sent


def test_a_text_that_is_sent_again_comes_again() -> None:
    assert received(chunked("x" * 20_000) + chunked("x" * 20_000)) == ["x" * 20_000] * 2


@pytest.mark.parametrize("came", range(3))
def test_what_came_in_part_is_not_joined_with_what_comes_next(came: int) -> None:
    """The listening connection was lost, or listened no more, in the middle of a text."""
    lost = chunked("x" * 20_000)
    assert len(lost) == 3
    again = chunked("y" * 20_000)
    assert received(lost[:came] + again) == ["y" * 20_000]
    assert received(lost[:came] + again[1:]) == [], "neither has all of it"
    assert received([*lost[:came], "/short", *again]) == ["short", "y" * 20_000]
    assert received([*lost[:came], *lost]) == ["x" * 20_000]


@pytest.mark.parametrize("foreign", ["", "hello", "key/one/2/x", "a/b", "key/0/x/y"])
def test_what_is_no_chunk_is_refused(foreign: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  its text is nobody's business
        Assembler().add(foreign)
