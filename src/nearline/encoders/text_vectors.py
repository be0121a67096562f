"""Text encoder with a cache, as used in training and serving."""

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock

import numpy as np

from nearline.common.progress import Progress, no_progress
from nearline.encoders.base import Encoder, Floats
from nearline.encoders.cache import VectorCache

logger = logging.getLogger(__name__)

# Number of texts that are encoded between two writes to the cache. A process that is killed loses
# at most this many vectors.
BLOCK_TEXTS = 2_048
# Seconds that a write of catalogue entries waits for vectors: for the first text, and for each
# further text.
PATIENCE, PATIENCE_EACH = 2.0, 0.05
# Seconds after a failure during which the encoder is not called.
REST = 30.0


class TextVectors:
    """Encoder of texts that looks up vectors in a cache first; thread-safe.

    Parameters
    ----------
    encoder : Encoder
        Encoder for texts that are not in the cache.
    cache : VectorCache
        Cache of vectors; `close` closes it too.
    patience : float
        Seconds that `prepare` waits for the vector of a single text.
    timer : callable
        Monotonic clock in seconds.

    Attributes
    ----------
    missed : int
        Number of texts that `prepare` could not encode in time.
    """

    def __init__(
        self,
        encoder: Encoder,
        cache: VectorCache,
        *,
        patience: float = PATIENCE,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self.encoder = encoder
        self.missed = 0
        self._cache, self._patience, self._timer = cache, patience, timer
        self._rests_until = -np.inf
        self._encoding = Lock()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="nearline-encode")

    def encode(self, texts: Sequence[str], progress: Progress = no_progress) -> Floats:
        """Return the vectors of n texts: float32 [n, d], with zeros for an empty text.

        Notes
        -----
        If `progress` raises an exception, vectors encoded so far remain in the cache.
        """
        known = self._fill(texts, progress)
        width = len(next(iter(known.values()))) if known else 0
        vectors = np.zeros((len(texts), width), dtype=np.float32)
        for row, text in enumerate(texts):
            if text:
                vectors[row] = known[text]
        return vectors

    def known(self, text: str) -> Floats | None:
        """Return the cached vector of a text, float32 [d], or None if it is not cached."""
        return self._cache.get(self.encoder.fingerprint, [text]).get(text) if text else None

    def query(self, text: str) -> Floats | None:
        """Return the vector of a search text, float32 [d], which is not cached.

        None if the text is empty or the encoder fails; it is then not called for `REST` seconds.
        """
        if not text.strip() or self._timer() < self._rests_until:
            return None
        try:
            with self._encoding:
                vector: Floats = self.encoder.encode([text])[0]
                return vector
        except Exception as error:  # the search goes on with words alone
            self._rests_until = self._timer() + REST
            logger.warning(
                "encoder %s failed: %s; texts are searched by words alone for %g seconds",
                self.encoder.name,
                error,
                REST,
            )
            return None

    def prepare(self, texts: Sequence[str]) -> None:
        """Add the vectors of texts to the cache, if the encoder computes them in time.

        If the encoder fails or takes too long, a warning is logged, and it is not called again for
        `REST` seconds. An encoder that takes too long continues in the background.
        """
        missing = self.missing(texts)
        if not missing:
            return
        if self._timer() < self._rests_until:
            self.missed += len(missing)
            return
        work: Future[object] = self._pool.submit(self._fill, missing, no_progress)
        try:
            work.result(self._patience + PATIENCE_EACH * (len(missing) - 1))
        except Exception as error:  # items are stored even if their texts cannot be encoded
            self.missed += len(missing)
            self._rests_until = self._timer() + REST
            what = "is too slow" if isinstance(error, TimeoutError) else f"failed: {error}"
            logger.warning(
                "encoder %s %s; %d texts have no vector, so their items are matched by terms "
                "alone until they are encoded; next attempt in %g seconds",
                self.encoder.name,
                what,
                len(missing),
                REST,
            )

    def close(self) -> None:
        """Wait until running work is finished, then close encoder and cache; idempotent."""
        self._pool.shutdown(cancel_futures=True)
        self.encoder.close()
        self._cache.close()

    def missing(self, texts: Sequence[str]) -> list[str]:
        """Return the distinct non-empty texts that are not in the cache."""
        wanted = list(dict.fromkeys(text for text in texts if text))
        known = self._cache.get(self.encoder.fingerprint, wanted)
        return [text for text in wanted if text not in known]

    def _fill(self, texts: Sequence[str], progress: Progress) -> dict[str, Floats]:
        """Return the vectors of all non-empty texts; encode and cache the missing ones."""
        model = self.encoder.fingerprint
        wanted = list(dict.fromkeys(text for text in texts if text))
        # One thread at a time: two calls with the same texts would encode them twice.
        with self._encoding:
            known = self._cache.get(model, wanted)
            missing = [text for text in wanted if text not in known]
            for first in range(0, len(missing), BLOCK_TEXTS):
                block = missing[first : first + BLOCK_TEXTS]
                vectors = self.encoder.encode(block, _part(progress, first, len(missing)))
                self._cache.add(model, block, vectors)
                known |= zip(block, vectors, strict=True)
        return known


def _part(progress: Progress, first: int, total: int) -> Progress:
    """Return a callback that reports progress within a block of texts as progress of the whole."""
    return lambda done, _, what: progress(first + done, total, what)
