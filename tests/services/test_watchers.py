"""Watchers by key, against a plain model."""

from hypothesis import given
from hypothesis import strategies as st

from app.services.watchers import Watchers

steps = st.lists(
    st.tuples(st.booleans(), st.sampled_from("kl"), st.sampled_from("abc")), max_size=30
)


@given(steps)
def test_each_key_has_those_that_were_added_and_not_removed(
    steps: list[tuple[bool, str, str]],
) -> None:
    watchers: Watchers[str, str] = Watchers()
    model: dict[str, list[str]] = {"k": [], "l": []}
    for adds, key, watcher in steps:
        if adds:
            watchers.add(key, watcher)
            model[key] += [] if watcher in model[key] else [watcher]
        else:
            watchers.remove(key, watcher)
            model[key] = [one for one in model[key] if one != watcher]
        for each, expected in model.items():
            assert list(watchers.of(each)) == expected
    assert watchers._by_key.keys() == {key for key, there in model.items() if there}
