"""Content-based models: the worked example, scikit-learn, decay, thresholds, explanations."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics.pairwise import cosine_similarity
from tests.models.synthetic import dataset
from tests.naive_linear import interest_scores

from nearline.data.dataset import Dataset, Histories
from nearline.encoders.word2vec import Word2VecConfig, word2vec_texts
from nearline.errors import Damaged, InvalidInput, MissingExtra
from nearline.models.content.content import Content, ContentConfig
from nearline.models.content.interest import InterestModel
from nearline.models.content.word2vec import Word2VecContent, Word2VecContentConfig

TEXTS = [
    "red wool socks",
    "red cotton socks and red shoes",
    "garden spade",
    "steel garden rake and spade",
    "",
    "wool hat",
]
VECTORS_ONLY = ContentConfig(words=0.0, labels=0.0, vectors=1.0)


def shelf(texts: list[str] | None = None, **fields: object) -> Dataset:
    n = len(texts or TEXTS)
    return replace(dataset([[0]], n), texts=texts or TEXTS, **fields)  # type: ignore[arg-type]


def with_vectors(vectors: np.ndarray) -> Dataset:
    data = dataset([[0]], len(vectors))
    return replace(data, texts=None, vectors={"v": vectors.astype(np.float32)})


def test_worked_example() -> None:
    # Interest (0.5, 0.5); items (0.6, 0.4) and (0.3, 0.7).
    model = Content(VECTORS_ONLY).fit(with_vectors(np.array([[0.5, 0.5], [0.6, 0.4], [0.3, 0.7]])))
    history = Histories.from_rows([[0]])
    assert model.interest(history).toarray() == pytest.approx(np.full((1, 2), 0.5**0.5))  # type: ignore[union-attr]
    found = model.recommend_from(history, 5)
    assert found.items.tolist() == [[1, 2, -1, -1, -1]]
    assert found.scores[0, :2] == pytest.approx([0.9806, 0.9285], abs=5e-5)


def test_equals_scikit_learn() -> None:
    model = Content(ContentConfig(half_life=1e9)).fit(shelf())
    vectorizer = TfidfVectorizer(sublinear_tf=True, smooth_idf=True)  # type: ignore[no-untyped-call]
    texts = [text for text in TEXTS if text]
    tfidf = vectorizer.fit_transform(texts)  # type: ignore[no-untyped-call]
    known = [item for item, text in enumerate(TEXTS) if text]
    expected = cosine_similarity(tfidf[0] + tfidf[4], tfidf)
    scores = model.score_many(Histories.from_rows([[0, 5, 4]]))
    assert scores[:, known] == pytest.approx(expected, abs=1e-6)
    assert scores[0, 4] == 0


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 2**32 - 1),
    history=st.lists(st.integers(0, 5), min_size=1, max_size=6),
    half_life=st.floats(0.5, 20),
)
def test_interest_decays(seed: int, history: list[int], half_life: float) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((6, 3)).astype(np.float32)
    vectors[3] = 0
    weights = rng.choice([1.0, 3.0, -1.0], len(history))
    model = Content(replace_half_life(VECTORS_ONLY, half_life)).fit(with_vectors(vectors))
    events = replace(Histories.from_rows([history]), weights=weights.astype(np.float32))
    expected = interest_scores(history, weights.tolist(), vectors.astype(np.float64), half_life)
    assert model.score_many(events)[0] == pytest.approx(expected, abs=1e-5)
    for item in range(6):
        parts = model.explain(events, item)
        score = float(model.score(events, np.array([item], dtype=np.int32))[0])
        assert sum(part.amount for part in parts) == pytest.approx(score, abs=1e-6)


def replace_half_life(config: ContentConfig, half_life: float) -> ContentConfig:
    return ContentConfig(
        words=config.words, labels=config.labels, vectors=config.vectors, half_life=half_life
    )


def test_threshold_and_items_without_features() -> None:
    history = Histories.from_rows([[0]])
    every = Content(ContentConfig()).fit(shelf()).recommend_from(history, 6)
    assert every.items[0].tolist() == [1, 5, -1, -1, -1, -1]
    config = ContentConfig(threshold=float(every.scores[0, 1]))
    assert Content(config).fit(shelf()).recommend_from(history, 6).items[0, :2].tolist() == [1, -1]
    unknown = Content().fit(shelf()).recommend_from(Histories.from_rows([[4], []]), 3)
    assert (unknown.items == -1).all()


def test_blocks_have_their_weights() -> None:
    labels = [["a"], ["a"], ["b"], ["a", "b"], [], ["b"]]
    data = shelf(categories=labels, vectors={"v": np.eye(6, 2, dtype=np.float32)})
    # Items 0 and 1 share a label and two words; by labels alone they are the same.
    by_label = Content(ContentConfig(words=0.0, labels=1.0, vectors=0.0)).fit(data)
    assert by_label.score_many(Histories.from_rows([[0]]))[0, 1] == pytest.approx(1.0)
    words = Content(ContentConfig(labels=0.0, vectors=0.0)).fit(data)
    both = Content(ContentConfig(words=1.0, labels=1.0, vectors=0.0)).fit(data)
    alone = float(words.score_many(Histories.from_rows([[0]]))[0, 1])
    mixed = float(both.score_many(Histories.from_rows([[0]]))[0, 1])
    assert mixed == pytest.approx((1 + alone) / 2, abs=1e-6)


@pytest.mark.parametrize("model", [Content(), Word2VecContent()], ids=lambda model: model.name)
def test_shared_rules(model: InterestModel) -> None:
    fitted = type(model)(model.config).fit(shelf(), seed=1)
    assert fitted.explain(Histories.from_rows([[0]]), 99) == []
    assert fitted.explain(Histories.from_rows([[4, -1]]), 1) == []
    history = Histories.from_rows([[0, -1, 1]])
    parts = fitted.explain(history, 5)
    assert {part.source for part in parts} <= {0, 2}
    score = float(fitted.score(history, np.array([5], dtype=np.int32))[0])
    assert sum(part.amount for part in parts) == pytest.approx(score, abs=1e-6)
    with pytest.raises(InvalidInput, match="2 rows"):
        fitted.explain(Histories.from_rows([[0], [1]]), 1)
    with pytest.raises(Damaged, match="missing"):
        type(model).restore(model.config, {})
    lengths = np.linalg.norm(_dense(fitted.vectors), axis=1)
    assert lengths == pytest.approx([1, 1, 1, 1, 0, 1], abs=1e-6)


def _dense(vectors: object) -> np.ndarray:
    found: np.ndarray = vectors if isinstance(vectors, np.ndarray) else vectors.toarray()  # type: ignore[attr-defined]
    return found


def test_data_without_features_is_rejected() -> None:
    bare = replace(dataset([[0]], 2), texts=None)
    with pytest.raises(InvalidInput, match="no item has text, categories or vectors"):
        Content().fit(bare)
    with pytest.raises(InvalidInput, match="no item has text, and word2vec"):
        Word2VecContent().fit(bare)
    wrong = np.array([[1, 2], [np.nan, 0]])
    with pytest.raises(InvalidInput, match="vector 'v' of item 1 is not finite"):
        Content().fit(with_vectors(wrong))
    with pytest.raises(InvalidInput, match=r"half_life is 0\.0; it must be above 0"):
        ContentConfig(half_life=0.0)
    with pytest.raises(InvalidInput, match="size is 0"):
        Word2VecContentConfig(encoder=Word2VecConfig(size=0))


def test_word2vec_relates_words_in_similar_contexts() -> None:
    rng = np.random.default_rng(0)
    cats, tools = ["cat", "kitten", "purr", "milk"], ["spade", "rake", "soil", "garden"]
    texts = [" ".join(rng.choice(words, 6)) for _ in range(150) for words in (cats, tools)]
    texts += ["cat purr", "kitten milk", "spade soil"]
    vectors = word2vec_texts(texts, Word2VecConfig(size=16, epochs=60), seed=1)
    near, far = cosine_similarity(vectors[-3:-2], vectors[-2:])[0]
    assert near > 0.8
    assert near > far + 0.3


def test_word2vec_without_known_words() -> None:
    config = Word2VecConfig(size=4, min_count=2)
    assert word2vec_texts(["", "one two"], config, 0).tolist() == [[0] * 4] * 2
    vectors = word2vec_texts(["one one", "two"], config, 0)
    assert vectors[0].any()
    assert not vectors[1].any()
    model = Word2VecContent(Word2VecContentConfig(encoder=config)).fit(shelf(["", "one two"]))
    assert (model.recommend_from(Histories.from_rows([[1]]), 2).items == -1).all()


def test_word2vec_is_deterministic_across_processes() -> None:
    code = (
        "from nearline.encoders.word2vec import *; import hashlib;"
        "v = word2vec_texts(['a cat sat', 'the cat ran'] * 9, Word2VecConfig(size=8), 3);"
        "print(hashlib.sha256(v.tobytes()).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(digests) == 1


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gensim.models", None)
    with pytest.raises(MissingExtra, match=r"nearline\[word2vec\]"):
        word2vec_texts(["some words"], Word2VecConfig(), 0)
