"""Chunks: any text fits notifications and comes out whole."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.delivery.chunks import Assembler, chunked

# NUL cannot be in a Postgres text; lone surrogates are in no text of ours.
CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
texts = st.text(CHARACTERS, max_size=50) | st.builds(
    lambda part, times: part * times,
    st.text(CHARACTERS, min_size=1, max_size=5),
    st.integers(1_000, 9_000),
)


@given(st.lists(texts, min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_texts_come_out_as_they_went_in(sent: list[str], order: random.Random) -> None:
    chunks = [chunk for text in sent for chunk in chunked(text)]
    for chunk in chunks:
        assert 0 < len(chunk.encode()) < 8_000
    order.shuffle(chunks)
    assembler = Assembler()
    received = [text for chunk in chunks if (text := assembler.add(chunk)) is not None]
    assert sorted(received) == sorted(sent)


def test_in_order_they_come_out_in_order() -> None:
    sent = ["a" * 20_000, "b", "é" * 20_000]
    assembler = Assembler()
    received = [assembler.add(chunk) for text in sent for chunk in chunked(text)]
    assert [text for text in received if text is not None] == sent


def test_a_repeated_chunk_changes_nothing() -> None:
    first, *rest = chunked("x" * 20_000)
    assembler = Assembler()
    assert [assembler.add(chunk) for chunk in (first, first, *rest)][-1] == "x" * 20_000


def test_what_stays_incomplete_is_bounded() -> None:
    assembler = Assembler()
    oldest, *others = [chunked("x" * 20_000) for _ in range(100)]
    for first, *_ in (oldest, *others):
        assert assembler.add(first) is None
    assert assembler.add(oldest[1]) is None
    assert assembler.add(oldest[2]) is None, "its first part was given up"
    assert [assembler.add(chunk) for chunk in others[-1][1:]][-1] == "x" * 20_000


@pytest.mark.parametrize("foreign", ["", "hello", "key/one/2/x", "a/b", "key/0/x/y"])
def test_what_is_no_chunk_is_refused(foreign: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  its text is nobody's business
        Assembler().add(foreign)
