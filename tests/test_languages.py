"""Neighbours and preferences in seven languages, by texts alone, through the engine."""

from pathlib import Path

import pyarrow as pa
import pytest
from tests.texts_in_languages import LANGUAGES, Text, read

import nearline as nl
from nearline.encoders.reading import LANGUAGE, WORDS
from nearline.encoders.text_index import TextIndex
from nearline.encoders.tfidf import TfIdfConfig
from nearline.testing.inspector import inspect

QUICK = nl.Config(settings={"search": {"evaluations": 0}})


def table(texts: list[Text]) -> pa.Table:
    ids = [f"{number}" for number in range(len(texts))]
    return pa.table({"item_id": ids, "text": [text.text for text in texts]})


def right_neighbours(rec: nl.Recommender, texts: list[Text]) -> float:
    """Share of items whose nearest neighbour has their topic."""
    first = [rec.similar(f"{number}", 1)[0].item_id for number in range(len(texts))]
    right = [texts[int(item)].topic == text.topic for item, text in zip(first, texts, strict=True)]
    return sum(right) / len(texts)


def found(rec: nl.Recommender, texts: list[Text], search: str) -> list[str]:
    """Topics of the items that a search text finds."""
    lines = rec.recommend("nobody", k=5, preferences=search)
    return [texts[int(line.item_id)].topic for line in lines if line.tier == "stated"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_neighbours_and_preferences_have_the_topic(language: str) -> None:
    texts, searches = read(language)
    with nl.Recommender(config=QUICK) as rec:
        rec.add(items=table(texts))
        # Learned item by item, before any training.
        assert right_neighbours(rec, texts) >= 0.9
        for topic, search in searches.items():
            assert found(rec, texts, search)[:1] == [topic], search
        # Trained with a few events, and the last texts added afterwards.
        events = pa.table({"user_id": ["ann", "ben"], "item_id": ["0", "21"]})
        rec.fit(events, items=table(texts[:150]))
        rec.add(items=table(texts).slice(150))
        assert right_neighbours(rec, texts) >= 0.9
        for topic, search in searches.items():
            assert found(rec, texts, search)[:1] == [topic], search


def hard_neighbours(texts: list[Text], reading: str) -> float:
    """Share of texts whose nearest other text has their topic, where no phrase is in both."""
    index = TextIndex(TfIdfConfig(reading=reading))
    index.fit([text.text for text in texts], 10)
    right = 0
    for number, text in enumerate(texts):
        others = [texts[other] for other in index.nearest(number, len(texts))[0]]
        apart = [
            other.topic
            for other in others
            if other.topic != text.topic
            or (other.thing != text.thing and other.remark != text.remark)
        ]
        right += apart[:1] == [text.topic]
    return right / len(texts)


@pytest.mark.parametrize("language", LANGUAGES)
def test_other_forms_of_a_word_are_recognised(language: str) -> None:
    texts, _ = read(language)
    after, before = (hard_neighbours(texts, reading) for reading in (LANGUAGE, WORDS))
    assert after >= 0.8
    assert after - before >= 0.2


def test_all_languages_in_one_catalogue() -> None:
    texts: list[Text] = []
    searches: dict[str, str] = {}
    for language in LANGUAGES:
        own, asked = read(language)
        texts += [text._replace(topic=f"{language} {text.topic}") for text in own]
        searches |= {f"{language} {topic}": search for topic, search in asked.items()}
    index = TextIndex(TfIdfConfig(reading=LANGUAGE))
    index.fit([text.text for text in texts], 10)
    first = [texts[index.nearest(number, 1)[0][0]].topic for number in range(len(texts))]
    right = [a == text.topic for a, text in zip(first, texts, strict=True)]
    assert sum(right) >= 0.98 * len(texts)
    for topic, search in searches.items():
        assert texts[index.matching(search, 1)[0][0]].topic == topic, search


def test_accents_and_case_of_preferences_do_not_matter() -> None:
    with nl.Recommender(config=QUICK) as rec:
        rec.put_item("cup", text="café au lait dans une grande tasse")
        rec.put_item("lamp", text="une lampe pour la table")
        for search in ("cafe", "CAFÉS", "ｃａｆé", "tasses"):
            lines = rec.recommend("nobody", preferences=search)
            assert [line.item_id for line in lines if line.tier == "stated"] == ["cup"], search


def test_a_snapshot_records_how_texts_were_read(tmp_path: Path) -> None:
    events = pa.table({"user_id": ["ann", "ben"], "item_id": ["a", "b"]})
    items = pa.table({"item_id": ["a", "b", "c"], "text": ["The mugs", "a mug", "the lamp"]})
    near = {}
    for reading in (WORDS, LANGUAGE):
        config = nl.Config(settings={"content": {"reading": reading}, "search": {"evaluations": 0}})
        with nl.Recommender(tmp_path / reading, config=config) as rec:
            rec.fit(events, items=items)
            rec.put_item("d", text="Mugs")
        # Opened with the defaults, the model reads as it was trained.
        with nl.Recommender(tmp_path / reading, config=QUICK) as rec:
            snapshot = inspect(rec).snapshot
            assert snapshot is not None
            assert snapshot.manifest.config["content"]["reading"] == reading
            rec.put_item("e", text="the mug")
            lines = rec.recommend("nobody", preferences="mugs")
            near[reading] = sorted(line.item_id for line in lines if line.tier == "stated")
    assert near == {WORDS: ["a", "d"], LANGUAGE: ["a", "b", "d", "e"]}
