"""TF-IDF vectors: against scikit-learn's, by hand, and as texts come and go."""

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction import text as scikit_learn

from nearline.encoders.tfidf import TfIdf, TfIdfConfig, terms
from nearline.errors import Damaged

ScikitLearn: Any = scikit_learn.TfidfVectorizer

WORDS = st.sampled_from(["tea", "green", "Black", "x", "leaf-tin", "čaj", "茶碗", "3in1", "!"])
TEXTS = st.lists(st.lists(WORDS, max_size=6).map(" ".join), max_size=8)


def dense(
    encoder: TfIdf, texts: list[str], columns: np.ndarray, values: np.ndarray
) -> dict[str, float]:
    """Values by term, where `texts` contain all terms."""
    known = list({term for text in texts for term in terms(text, encoder.config.longest)})
    names = dict(zip(encoder.columns_of(known).tolist(), known, strict=True))
    return {names[c]: float(v) for c, v in zip(columns.tolist(), values, strict=True)}


def test_terms_by_hand() -> None:
    assert list(terms("Green tea, a GREEN leaf", 2)) == [
        *("green", "tea", "green", "leaf"),
        *("green tea", "tea green", "green leaf"),
    ]
    assert list(terms("a b !", 3)) == []


def test_weights_by_hand() -> None:
    encoder = TfIdf(TfIdfConfig(longest=1))
    vectors = encoder.fit(["tea tea leaf", "tea"])
    tea = (1 + math.log(2)) * (1 + math.log(3 / 3))
    leaf = 1 + math.log(3 / 2)
    length = math.hypot(tea, leaf)
    assert vectors.weights.tolist() == pytest.approx([tea / length, leaf / length, 1.0])


@settings(deadline=None)
@given(TEXTS, st.integers(1, 3))
def test_vectors_equal_scikit_learn(texts: list[str], longest: int) -> None:
    config = TfIdfConfig(longest=longest)
    encoder = TfIdf(config)
    vectors = encoder.fit(texts)
    worded = [row for row, text in enumerate(texts) if any(terms(text, longest))]
    sizes = np.diff(vectors.indptr)
    assert np.flatnonzero(sizes).tolist() == worded
    if not worded:
        return
    oracle = ScikitLearn(ngram_range=(1, longest), sublinear_tf=True)
    matrix = oracle.fit_transform([texts[row] for row in worded])
    names = oracle.get_feature_names_out()
    for at, row in enumerate(worded):
        part = slice(vectors.indptr[row], vectors.indptr[row + 1])
        found = dense(encoder, texts, vectors.items[part], vectors.weights[part])
        (_, columns), values = matrix[[at]].nonzero(), matrix[[at]].data
        assert found == pytest.approx(
            {str(names[c]): float(v) for c, v in zip(columns, values, strict=True)}, abs=1e-6
        )


@settings(deadline=None)
@given(TEXTS, TEXTS)
def test_adding_and_removing_a_text_restores_the_counts(kept: list[str], gone: list[str]) -> None:
    encoder, expected = TfIdf(), TfIdf()
    encoder.fit(kept)
    expected.fit(kept)
    for columns in [encoder.add([text])[0].items for text in gone]:
        encoder.remove(columns)
    assert encoder.n_texts == expected.n_texts
    before = expected.frequencies.tolist()
    assert encoder.frequencies.tolist() == before + [0] * (encoder.n_terms - len(before))


def test_encoding_learns_nothing() -> None:
    encoder = TfIdf()
    encoder.fit(["green tea", "black tea"])
    columns, values = encoder.encode("red tea")
    assert dense(encoder, ["green tea"], columns, values) == {"tea": 1.0}
    assert encoder.columns_of(["red", "red tea"]).tolist() == [-1, -1]
    assert encoder.n_terms == 5
    assert encoder.encode("")[0].tolist() == []


def test_arrays_round_trip() -> None:
    encoder = TfIdf()
    encoder.fit(["grüner tea", "black tea", ""])
    again = TfIdf.restore(encoder.config, encoder.arrays())
    known = ["grüner", "tea", "grüner tea", "black", "black tea"]
    assert again.columns_of(known).tolist() == [0, 1, 2, 3, 4]
    assert encoder.columns_of(known).tolist() == [0, 1, 2, 3, 4]
    one, two = encoder.add(["black čaj"])[0], again.add(["black čaj"])[0]
    assert one.items.tolist() == two.items.tolist() == [3, 5, 6]
    assert one.weights.tobytes() == two.weights.tobytes()
    empty = TfIdf.restore(TfIdfConfig(), TfIdf().arrays())
    assert (empty.n_terms, empty.n_texts) == (0, 0)


def test_arrays_of_earlier_versions_are_restored() -> None:
    encoder = TfIdf()
    encoder.fit(["grüner tea", "black tea"])
    arrays = encoder.arrays()
    del arrays["hashes"]
    text = "grüner\ntea\ngrüner tea\nblack\nblack tea"
    arrays["terms"] = np.frombuffer(text.encode(), dtype=np.uint8)
    again = TfIdf.restore(encoder.config, arrays)
    assert again.arrays()["hashes"].tolist() == encoder.arrays()["hashes"].tolist()


def naive_add(text: str, learned: list[str]) -> dict[str, float]:
    """TF-IDF weights of a text that is learned after others, by the definition."""
    counts = Counter(terms(text, 2))
    worded = [set(terms(other, 2)) for other in [*learned, text] if terms(other, 2)]
    weights = {
        term: (1 + math.log(count))
        * (1 + math.log((1 + len(worded)) / (1 + sum(term in other for other in worded))))
        for term, count in counts.items()
    }
    length = math.sqrt(math.fsum(weight**2 for weight in weights.values()))
    return {term: weight / length for term, weight in weights.items()}


@settings(deadline=None)
@given(TEXTS, st.integers(0, 8))
def test_texts_that_are_added_together_equal_those_added_one_by_one(
    texts: list[str], first: int
) -> None:
    together, apart = TfIdf(), TfIdf()
    for encoder in (together, apart):
        encoder.fit(texts[:first])
    rows, frequencies = together.add(texts[first:])
    ones = [apart.add([text]) for text in texts[first:]]
    assert rows.items.tolist() == [c for one, _ in ones for c in one.items.tolist()]
    assert rows.weights.tolist() == [v for one, _ in ones for v in one.weights.tolist()]
    assert frequencies.tolist() == [f for _, some in ones for f in some.tolist()]
    for at, text in enumerate(texts[first:]):
        own = slice(rows.indptr[at], rows.indptr[at + 1])
        found = dense(together, texts, rows.items[own], rows.weights[own])
        assert found == pytest.approx(naive_add(text, texts[: first + at]), abs=1e-7)
        assert list(found) == list(dict.fromkeys(terms(text, 2)))


def test_a_table_of_terms_grows() -> None:
    encoder = TfIdf(TfIdfConfig(longest=1))
    names = [f"term{number}" for number in range(5_000)]
    for first in range(0, 5_000, 100):
        encoder.add([" ".join(names[first : first + 100])])
    assert encoder.columns_of(names).tolist() == list(range(5_000))
    assert encoder.frequencies.tolist() == [1] * 5_000


def test_a_vocabulary_is_restricted_to_some_terms() -> None:
    encoder = TfIdf(TfIdfConfig(longest=1))
    encoder.fit(["tea leaf", "tea pot"])
    fewer = encoder.restricted(np.array([0, 2]))
    assert fewer.columns_of(["tea", "leaf", "pot"]).tolist() == [0, -1, 1]
    assert (fewer.frequencies.tolist(), fewer.n_texts) == ([2, 1], 2)
    assert encoder.n_terms == 3


def test_a_damaged_vocabulary_is_rejected() -> None:
    encoder = TfIdf()
    encoder.fit(["green tea"])
    arrays = encoder.arrays() | {"frequencies": np.ones(1, dtype=np.int64)}
    with pytest.raises(Damaged, match="3 terms but 1"):
        TfIdf.restore(TfIdfConfig(), arrays)
