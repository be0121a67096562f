"""Whatever the schema accepts as a catalogue can be trained on, written and read back."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from nearline import Config, Event, Item, Recommender
from nearline.schema.rules import check_item
from nearline.testing.inspector import inspect

NOW = 1.8e9

labels = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)
names = labels.filter(lambda name: len(name.encode()) <= 512)
numbers = st.floats(-1e15, 1e15) | st.sampled_from([0.0, 5e-324, 1e-300, 1e15, -1e15, 1e-40])
vectors = st.lists(numbers, min_size=1, max_size=4).filter(any)
items = st.fixed_dictionaries(
    {
        "text": st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
        "categories": st.lists(names, max_size=3),
        "attributes": st.dictionaries(names, numbers | st.booleans() | labels, max_size=3),
        "vectors": st.dictionaries(names, vectors, max_size=3),
    }
)


def trained(folder: Path, catalogue: list[dict[str, Any]]) -> Recommender:
    """Return a recommender that was trained on 8 users and this catalogue."""
    rec = Recommender(folder, config=Config(online=True), clock=lambda: NOW)
    entries = [
        Item(item_id=f"i{number}", timestamp=NOW, **fields)
        for number, fields in enumerate(catalogue)
    ]
    for entry in entries:
        check_item(entry, now=NOW)
    rec.put_items(entries).result()
    rec.append_events(
        [
            Event(user_id=f"u{user}", item_id=f"i{(user + step) % 5}", timestamp=NOW - 99 + step)
            for user in range(8)
            for step in range(3)
        ]
    ).result()
    return rec.fit()


@given(catalogue=st.lists(items, min_size=1, max_size=4))
@example(catalogue=[{"vectors": {"image embedding": [1.0, 2.0]}}])
@example(catalogue=[{"vectors": {"größe": [1.0], "v" * 300: [2.0]}}])
@example(catalogue=[{"vectors": {"a/index/b": [1.0], "a": [1.0], "%2F": [2.0], "/": [1.0]}}])
@example(catalogue=[{"vectors": {"v": [5e-324]}}, {"vectors": {"v": [1e15]}}])
@example(catalogue=[{"vectors": {"v": [1.0]}}, {"vectors": {"v": [1.0, 2.0]}}])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_catalogue_that_is_accepted_can_be_trained_on_and_read_back(
    catalogue: list[dict[str, Any]],
) -> None:
    with TemporaryDirectory() as folder:
        with trained(Path(folder), catalogue) as rec:
            lists = [rec.recommend(f"u{user}", k=5) for user in range(8)]
            likes = [rec.similar(f"i{item}") for item in range(len(catalogue))]
        with Recommender(folder, clock=lambda: NOW) as again:
            assert again.model_id != "untrained"
            assert [again.recommend(f"u{user}", k=5) for user in range(8)] == lists
            assert [again.similar(f"i{item}") for item in range(len(catalogue))] == likes


def test_the_names_of_vectors_are_shown_as_given(tmp_path: Path) -> None:
    catalogue = [{"vectors": {"größe / cm": [1.0, 2.0]}}, {"vectors": {"größe / cm": [1.0, 2.1]}}]
    with trained(tmp_path, catalogue) as rec:
        relations = inspect(rec).model.relations  # type: ignore[attr-defined]
    assert "vector:größe / cm" in relations
