"""Features of items against scikit-learn, and of new items as of old ones."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from tests.models.synthetic import shop

from nearline.errors import InvalidInput
from nearline.models.sequence.item_features import ItemFeatures

PLAIN, _ = shop()
WORDS = replace(
    PLAIN, vectors={}, texts=[f"group{i % 4} shape{i % 5} shape{i % 3}" for i in range(60)]
)


def test_text_features_equal_scikit_learn() -> None:
    found = ItemFeatures().fit(WORDS, 3, 0)
    assert found is not None
    vectorizer: Any = TfidfVectorizer(sublinear_tf=True, min_df=2)  # type: ignore[no-untyped-call]
    tfidf = vectorizer.fit_transform(WORDS.texts).toarray()
    _, _, right = np.linalg.svd(tfidf, full_matrices=False)
    reduced = tfidf @ right[:3].T
    reduced -= reduced.mean(axis=0)
    reduced /= np.sqrt((reduced**2).sum(axis=1).mean())
    # Directions are known but for their sign.
    assert found @ found.T == pytest.approx(reduced @ reduced.T, abs=1e-4)


@pytest.mark.parametrize("data", [WORDS, PLAIN], ids=["words", "vectors"])
def test_later_items_are_encoded_in_the_same_way(data: object) -> None:
    assert data is WORDS or data is PLAIN
    chosen = WORDS if data is WORDS else PLAIN
    features = ItemFeatures()
    found = features.fit(chosen, 8, 0)
    assert found is not None
    assert found.mean(axis=0) == pytest.approx(0.0, abs=1e-5)
    assert float((found**2).sum(axis=1).mean()) == pytest.approx(1.0, rel=1e-4)
    again = ItemFeatures.restore(features.arrays())
    vectors = {name: block[:4] for name, block in chosen.vectors.items()}
    assert chosen.texts is not None
    np.testing.assert_allclose(again.encode(chosen.texts[:4], vectors), found[:4], atol=1e-6)
    unknown = again.encode(["nothing known"], {})
    assert not unknown.any()


def test_items_without_content_have_no_features() -> None:
    assert ItemFeatures().fit(replace(PLAIN, texts=None, vectors={}), 8, 0) is None
    assert ItemFeatures().fit(replace(PLAIN, vectors={}, texts=[""] * 60), 8, 0) is None
    assert ItemFeatures().fit(PLAIN, 0, 0) is None


def test_a_vector_that_is_not_finite_is_rejected() -> None:
    colour = PLAIN.vectors["colour"].copy()
    colour[3, 0] = np.nan
    with pytest.raises(InvalidInput, match="vector 'colour' of item 3"):
        ItemFeatures().fit(replace(PLAIN, vectors={"colour": colour}), 8, 0)
