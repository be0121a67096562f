"""Pages of sorted IDs: nothing twice, and nothing missed that was there all the time."""

from hypothesis import given, settings
from hypothesis import strategies as st

from nearline.state.vocabulary import Vocabulary

names = st.text("abc", min_size=1, max_size=3)
steps = st.lists(st.tuples(st.sampled_from("+-"), names), max_size=8)


@settings(deadline=None)
@given(st.sets(names, max_size=20), st.lists(steps, max_size=10), st.integers(1, 5))
def test_pages_while_ids_come_and_go(
    first: set[str], between: list[list[tuple[str, str]]], n: int
) -> None:
    vocabulary = Vocabulary.from_table(sorted(first, reverse=True))
    always, ever = set(first), set(first)
    seen: list[str] = []
    last = ""
    for changes in [*between, *([[]] * 60)]:
        page = vocabulary.after(last, n)
        assert len(page) <= n
        assert all(name in vocabulary for name in page)
        seen += page
        if not page:
            break
        last = page[-1]
        for sign, name in changes:
            if sign == "+":
                vocabulary.add(name)
                ever.add(name)
            elif name in vocabulary:
                vocabulary.remove(name)
                always.discard(name)
    assert seen == sorted(set(seen))
    assert always <= set(seen) <= ever
    assert vocabulary.after("", 1_000) == sorted(name for name in ever if name in vocabulary)
