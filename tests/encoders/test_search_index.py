"""The search index: scores equal the formula, whatever was put and removed before."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearline.encoders.prefixes import APART, PrefixDictionary
from nearline.encoders.search_index import BEGINNING, STEM, SearchIndex
from nearline.kernels.term_scores import K1, B

WORDS = ["tea", "teapot", "green", "grün", "red", "7"]
texts = st.lists(st.sampled_from(WORDS), max_size=5).map(" ".join)
changes = st.lists(st.tuples(st.integers(0, 5), texts), max_size=25)
ALL = np.ones(6, dtype=np.bool_)


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    """Compile the kernels, which would take the time of the first example."""
    SearchIndex([(0, [("tea", 1)])]).search("tea", 1, ALL)


def found(index: SearchIndex, text: str, k: int = 10) -> list[tuple[int, float]]:
    items, scores = index.search(text, k, ALL)
    return list(zip(items.tolist(), scores.tolist(), strict=True))


def bm25(documents: dict[int, list[str]], asked: str, beginning: str) -> dict[int, float]:
    """The formula in words of its own; no word here has a stem other than itself."""
    documents = {item: words for item, words in documents.items() if words}
    mean = sum(map(len, documents.values())) / max(1, len(documents))

    def rarity(df: float) -> float:
        return math.log(1 + (max(0, len(documents) - df) + 0.5) / (df + 0.5))

    def part(word: str, words: list[str]) -> float:
        f = words.count(word)
        return f * (K1 + 1) / (f + K1 * (1 - B + B * len(words) / mean)) if f else 0.0

    near = {
        w for words in documents.values() for w in words if beginning and w.startswith(beginning)
    }
    total = sum(sum(word in words for words in documents.values()) for word in near)
    scores = {}
    for item, words in documents.items():
        df = sum(asked in other for other in documents.values())
        score = rarity(df) * part(asked, words)
        score += BEGINNING * rarity(min(total, len(documents))) * sum(part(w, words) for w in near)
        if score > 0:
            scores[item] = score
    return scores


@settings(deadline=None)
@given(changes, st.sampled_from(["tea", "te", "green", "gre", "red", "7", "x"]))
def test_scores_equal_the_formula_after_any_changes(
    done: list[tuple[int, str]], asked: str
) -> None:
    index = SearchIndex()
    for item, text in done:
        index.put(item, [(text.replace("grün", "blue"), 1)])
    documents = {item: text.replace("grün", "blue").split() for item, text in done}
    expected = bm25(documents, asked, asked)
    assert dict(found(index, asked)) == pytest.approx(expected, rel=1e-5)
    order = [item for item, _ in found(index, asked)]
    scores = dict(found(index, asked))
    assert order == sorted(order, key=lambda item: (-scores[item], item))


@settings(deadline=None)
@given(changes)
def test_changed_item_by_item_or_made_at_once(done: list[tuple[int, str]]) -> None:
    index = SearchIndex()
    for item, text in done:
        index.put(item, [(text, 2)])
    last = sorted({item: [(text, 2)] for item, text in done}.items())
    fresh = SearchIndex(last)
    for asked in (*WORDS, "te", "gr", "g", "tea green"):
        assert dict(found(index, asked)) == pytest.approx(dict(found(fresh, asked)), rel=1e-6)
    for item, _ in last:
        index.put(item, ())
    assert len(index) == 0
    assert index._lists == {}
    assert all(not found(index, asked) for asked in WORDS)


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("Wooden trains for children", "train"),
        ("Wooden train for the child", "trains"),
        ("Chaussures rouges pour les enfants", "chaussure"),
        ("Eine Holzeisenbahn aus Buche für die Kinder", "HOLZ"),
        ("Grüner Tee mit Minze", "gruner"),
        ("Café crème", "cafe"),
        ("绿茶 茶叶", "绿茶"),
        ("中国绿茶", "茶"),
        ("緑茶ティーバッグ", "ティー"),
        ("緑茶ティーバッグ", "テ"),
        ("ชาเขียวญี่ปุ่น", "ชาเขียว"),
        ("شاي أخضر بالنعناع", "النعناع"),
        ("녹차를 마시다", "녹차"),
        ("USB-C cable 2m", "usb-c 2m"),
        ("XYLOPHONE", "x"),
    ],
)
def test_words_beginnings_and_scripts(text: str, asked: str) -> None:
    others = ["Garden hose of ten metres", "Der Schlauch ist zehn Meter lang", "园艺水管", "掃除機"]
    index = SearchIndex([(at, [(one, 1)]) for at, one in enumerate([*others, text])])
    assert [item for item, _ in found(index, asked)] == [4]


def test_a_whole_word_comes_before_its_beginning() -> None:
    index = SearchIndex([(0, [("teapot teapot", 1)]), (1, [("tea", 1)]), (2, [("teak", 1)])])
    assert found(index, "tea")[0][0] == 1
    assert {item for item, _ in found(index, "tea")} == {0, 1, 2}
    assert [item for item, _ in found(index, "tea ")] == [1]  # a complete word
    assert STEM > BEGINNING


def test_only_allowed_items_and_k() -> None:
    index = SearchIndex([(n, [("tea", 1)]) for n in range(6)])
    assert index.search("tea", 2, ALL).items.tolist() == [0, 1]
    allowed = np.array([False, True, False, True])
    assert index.search("tea", 10, allowed).items.tolist() == [1, 3]
    assert index.search("tea", 10, np.zeros(0, dtype=np.bool_)).items.tolist() == []


@pytest.mark.parametrize("text", ["", " ", "!?", "\u200b", "\x00", "的" * 1_000, "a" * 1_000])
def test_odd_texts_find_nothing_or_little(text: str) -> None:
    index = SearchIndex([(0, [("tea", 1)]), (1, [(text, 1)])])
    assert {item for item, _ in found(index, text)} <= {1}


def test_nearest_vectors() -> None:
    index = SearchIndex()
    assert index.nearest(np.ones(2, np.float32), 3, ALL).items.tolist() == []
    for item, vector in enumerate([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [1.0, 1.0]]):
        index.put_vector(item, np.array(vector, dtype=np.float32))
    assert index.nearest(np.array([1.0, 0.1], np.float32), 3, ALL).items.tolist() == [0, 3, 1]
    index.put_vector(0, None)
    assert index.nearest(np.array([1.0, 0.1], np.float32), 3, ALL).items.tolist() == [3, 1]
    assert index.nearest(np.ones(3, np.float32), 3, ALL).items.tolist() == []  # another encoder


def test_a_prefix_dictionary_merges_new_words() -> None:
    known = {f"w{n}" for n in range(100)}
    words = PrefixDictionary(known)
    for n in range(APART + 10):
        words.add(f"x{n:05}")
        known.add(f"x{n:05}")
    assert words.beginning("x0000", 100, known) == [f"x{n:05}" for n in range(10)]
    known.discard("x00003")
    assert "x00003" not in words.beginning("x0000", 100, known)
    words.add("x0000")
    assert words.beginning("x0000", 2, {*known, "x0000"}) == ["x0000", "x00000"]
