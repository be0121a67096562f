"""Word2Vec vectors of short texts, by gensim (the extra `word2vec`).

T. Mikolov, K. Chen, G. Corrado, J. Dean, "Efficient estimation of word representations in vector
space", 2013. A text is the mean of its words' vectors, each weighted by its inverse document
frequency 1 + ln((1 + n) / (1 + df)), so that words which stand everywhere say little.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any
from zlib import crc32

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from nearline.encoders.tfidf import terms
from nearline.errors import MissingExtra


class Word2VecConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the encoder.

    Attributes
    ----------
    size : int
        Numbers a word has.
    window : int
        Words before and after that count as near.
    min_count : int
        Words that stand less often in all are left out.
    epochs : int
        Passes over all texts.
    skip_gram : bool
        Predict the words near by from a word (better for few texts), or the word from those.
    negative : int
        Words drawn against each true one.
    """

    size: int = 64
    window: int = 5
    min_count: int = 1
    epochs: int = 20
    skip_gram: bool = True
    negative: int = 5


def word2vec_texts(texts: Sequence[str], config: Word2VecConfig, seed: int) -> NDArray[np.float32]:
    """Learn the words of `texts` and return a vector for each text, float32 [n, size].

    A text without a known word gets zeros. One thread, and words hashed by CRC-32: the same texts
    and seed give the same bits in any process.

    Raises
    ------
    MissingExtra
        gensim is not installed.

    Notes
    -----
    O(words * window * negative * size * epochs) time.
    """
    sentences = [list(terms(text, 1)) for text in texts]
    frequencies = Counter(word for words in sentences for word in set(words))
    counts = Counter(word for words in sentences for word in words)
    if not any(count >= config.min_count for count in counts.values()):
        return np.zeros((len(texts), config.size), dtype=np.float32)
    words = _train(sentences, config, seed)
    n_texts = sum(1 for sentence in sentences if sentence)
    vectors = np.zeros((len(texts), config.size), dtype=np.float64)
    for row, sentence in enumerate(sentences):
        known = [word for word in sentence if word in words.key_to_index]
        if known:
            rarity = [1.0 + np.log((1 + n_texts) / (1 + frequencies[word])) for word in known]
            vectors[row] = np.average(words[known].astype(np.float64), axis=0, weights=rarity)
    return vectors.astype(np.float32)


def _train(sentences: list[list[str]], config: Word2VecConfig, seed: int) -> Any:
    """Vectors of words, as gensim keeps them."""
    try:
        from gensim.models import Word2Vec
    except ImportError:
        raise MissingExtra(
            "Word2Vec vectors need gensim: pip install 'nearline[word2vec]'"
        ) from None
    return Word2Vec(
        sentences,
        vector_size=config.size,
        window=config.window,
        min_count=config.min_count,
        epochs=config.epochs,
        sg=int(config.skip_gram),
        negative=config.negative,
        seed=seed,
        workers=1,
        # Python's own hash of text differs from process to process.
        hashfxn=_hash,
    ).wv


def _hash(text: str) -> int:
    return crc32(text.encode())
