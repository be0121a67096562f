"""TF-IDF vectors: against scikit-learn's, by hand, and as texts come and go."""

import math
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


def dense(encoder: TfIdf, columns: np.ndarray, values: np.ndarray) -> dict[str, float]:
    names = list(encoder.vocabulary)
    return {names[c]: float(v) for c, v in zip(columns, values, strict=True)}


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
        found = dense(encoder, vectors.items[part], vectors.weights[part])
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
    for columns, _ in [encoder.add(text) for text in gone]:
        encoder.remove(columns)
    assert encoder.n_texts == expected.n_texts
    assert encoder.frequencies[: len(expected.frequencies)] == expected.frequencies
    assert not any(encoder.frequencies[len(expected.frequencies) :])


def test_encoding_learns_nothing() -> None:
    encoder = TfIdf()
    encoder.fit(["green tea", "black tea"])
    columns, values = encoder.encode("red tea")
    assert dense(encoder, columns, values) == {"tea": 1.0}
    assert "red" not in encoder.vocabulary
    assert encoder.encode("")[0].tolist() == []


def test_arrays_round_trip() -> None:
    encoder = TfIdf()
    encoder.fit(["grüner tea", "black tea", ""])
    again = TfIdf.restore(encoder.config, encoder.arrays())
    assert again.vocabulary == encoder.vocabulary
    for one, two in zip(encoder.add("black čaj"), again.add("black čaj"), strict=True):
        assert one.tobytes() == two.tobytes()
    empty = TfIdf.restore(TfIdfConfig(), TfIdf().arrays())
    assert (empty.vocabulary, empty.n_texts) == ({}, 0)


def test_a_damaged_vocabulary_is_rejected() -> None:
    encoder = TfIdf()
    encoder.fit(["green tea"])
    arrays = encoder.arrays() | {"frequencies": np.ones(1, dtype=np.int64)}
    with pytest.raises(Damaged, match="3 terms but 1"):
        TfIdf.restore(TfIdfConfig(), arrays)
