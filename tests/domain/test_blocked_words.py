"""Blocked words: found whatever their case, accents and surroundings, and nothing else is."""

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.blocked_words import _FOLDED_MAX, BlockedWords, _folding, words_of
from app.domain.json_value import JsonValue, encode_json


def found(words: list[str], data: JsonValue) -> bool:
    return BlockedWords(words).are_in(data, encode_json(data))


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("idiot", "You IDIOT!"),
        ("Idiot", "idiot"),
        ("idiot", "Ídïôt"),
        ("crème", "creme"),
        ("idiot", "id\u200bi\u00adot"),  # zero-width space, soft hyphen
        ("idiot", "\uff49\uff44\uff49\uff4f\uff54"),  # full width
        ("strasse", "Straße"),
        ("idiot", "my_idiot"),
        ("idiot", "a\nidiot"),
        ("idiot", "a\u0001idiot"),
        ("idiot", 'a\\"idiot'),
        ("shut up", "Shut-up!"),
        ("shut  up", "oh shut up"),
        ("shut up now", "shut shut up now"),
        ("\U0001f595", "x\U0001f595\U0001f3ffx"),  # an emoji, with a colour of skin
        ("<>", "a <> b"),
        ("笨蛋", "你笨蛋啊"),
        ("42", "the 42nd is 42"),
    ],
)
def test_a_blocked_word_is_found(word: str, text: str) -> None:
    assert found([word], text)
    assert found(["other", word, "and one"], {"a": [1, {"b": text}]})


@pytest.mark.parametrize(
    ("word", "data"),
    [
        ("idiot", "idiots"),
        ("ass", "class"),
        ("shut up", "shut the door up"),
        ("shut up", ["shut", "up"]),
        ("up", "u p"),
        ("42", 42),
        ("true", True),
        ("null", None),
        ("nidiot", "a\nidiot"),
        ("idiot", ""),
    ],
)
def test_nothing_else_is(word: str, data: JsonValue) -> None:
    assert not found([word], data)


def test_keys_are_strings_of_data_too() -> None:
    assert found(["idiot"], {"a": {"Idiot": 1}})


def _naive_words(text: str) -> list[str]:
    """As `words_of`, for what the alphabet below has: all at once instead of by character."""
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    words = [""]
    for one in folded:
        category = unicodedata.category(one)
        if category in {"Mn", "Cf"}:
            continue
        if category[0] in "LN":
            words[-1] += one
        elif category[0] == "S":
            words += [one, ""]
        else:
            words.append("")
    return [word for word in words if word]


def _naive(words: list[str], data: JsonValue) -> bool:
    if isinstance(data, str):
        text = " ".join(["", *_naive_words(data), ""])
        return any(" ".join(["", *_naive_words(word), ""]) in text for word in words)
    if isinstance(data, dict):
        return any(_naive(words, key) or _naive(words, item) for key, item in data.items())
    return isinstance(data, list) and any(_naive(words, item) for item in data)


TEXTS = st.text('aAbBéE\u0301ßſ -_.\n\t\\"\u200b\x01€<1½', max_size=12)  # noqa: RUF001  it is one of those that fold
WORDS = TEXTS.filter(lambda text: bool(words_of(text)))
DATA = st.recursive(
    st.none() | st.booleans() | st.integers(0, 11) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@given(words=st.lists(WORDS, min_size=1, max_size=5), data=DATA)
def test_it_agrees_with_looking_for_each_word(words: list[str], data: JsonValue) -> None:
    assert found(words, data) == _naive(words, data)


@given(data=st.data(), texts=st.lists(st.text(max_size=8), min_size=1, max_size=4))
def test_the_look_at_all_strings_at_once_overlooks_nothing(
    data: st.DataObject, texts: list[str]
) -> None:
    """It is on the JSON text, with its escapes; that of each string by itself is what counts."""
    words = [word for text in texts for word in words_of(text)] or ["word"]
    blocked = [data.draw(st.sampled_from(words)), data.draw(WORDS)]
    in_each = BlockedWords(blocked)
    expected = any(in_each._in_words(words_of(text)) for text in texts)
    assert found(blocked, [*texts]) == expected


@pytest.mark.parametrize(
    "text",
    [
        "e" + "\u0327\u0301" * 16_000,  # NFKD of all of it at once takes a second
        "\ufdfa" * 20_000,  # each becomes 18 characters
        "a " * 32_000,
    ],
)
def test_time_is_linear_in_the_text(text: str) -> None:
    words = BlockedWords(["a " * 31 + word for word in ("b", "c")])
    text_json = encode_json(text)
    begun = time.process_time()
    assert not words.are_in(text, text_json)
    assert time.process_time() - begun < 1


def test_many_blocked_words_that_begin_alike_take_no_longer() -> None:
    """Each place of the text was followed as far as the longest of them goes: 32 words."""
    text = "a " * 16_000
    text_json = encode_json(text)

    def seconds(length: int) -> float:
        words = BlockedWords("a " * length + str(number) for number in range(50))
        begun = time.process_time()
        assert not words.are_in(text, text_json)
        return time.process_time() - begun

    assert min(seconds(31) for _ in range(5)) < 5 * min(seconds(1) for _ in range(5))


@pytest.mark.parametrize("text", ["a a a c", "a a b c", "x a a a b d", "a b e"])
def test_where_one_of_them_breaks_off_another_may_have_begun(text: str) -> None:
    assert found(["a a b d", "a c", "a b c", "b e"], text)


def test_what_is_remembered_of_characters_is_bounded() -> None:
    words_of("".join(map(chr, range(0x20000, 0x20000 + _FOLDED_MAX + 10))))
    assert len(_folding) <= _FOLDED_MAX
