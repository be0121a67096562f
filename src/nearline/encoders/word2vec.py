"""Word2Vec vectors of short texts, computed by gensim, which the extra `word2vec` installs.

T. Mikolov, K. Chen, G. Corrado, J. Dean, "Efficient estimation of word representations in vector
space", 2013. The vector of a text is the mean of its word vectors, weighted by inverse document
frequency 1 + ln((1 + n) / (1 + df)), where n is the number of texts and df the number of texts that
contain the word.
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
    """Settings of the Word2Vec encoder.

    Attributes
    ----------
    size : int
        Dimension of the vectors.
    window : int
        Maximum distance in words between a word and its context words, on each side.
    min_count : int
        Minimum number of occurrences of a word; rarer words are ignored.
    epochs : int
        Number of passes over all texts.
    skip_gram : bool
        True for skip-gram, which is better for few texts; False for continuous bag of words.
    negative : int
        Number of random negative words for each context word.
    """

    size: int = 64
    window: int = 5
    min_count: int = 1
    epochs: int = 20
    skip_gram: bool = True
    negative: int = 5


def word2vec_texts(texts: Sequence[str], config: Word2VecConfig, seed: int) -> NDArray[np.float32]:
    """Train word vectors on n texts and return a vector of each text: float32 [n, size].

    A text without a known word has a vector of zeros. Training uses one thread and hashes words by
    CRC-32, so that the same texts and seed give bit-identical vectors in every process.

    Raises
    ------
    MissingExtra
        gensim is not installed.

    Notes
    -----
    The time complexity is O(number of words * window * negative * size * epochs).
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
    """Train word vectors on texts that are split into words; return gensim's `KeyedVectors`."""
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
        # Python's hash of strings differs between processes.
        hashfxn=_hash,
    ).wv


def _hash(text: str) -> int:
    return crc32(text.encode())
