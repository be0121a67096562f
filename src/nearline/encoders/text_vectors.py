"""An encoder behind its cache, as training and serving use it."""

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

# Texts encoded between two writes to the cache: what a killed process loses at most.
BLOCK_TEXTS = 2_048
# Seconds that the writer of some items waits for their vectors, and more for each text.
PATIENCE, PATIENCE_EACH = 2.0, 0.05
# Seconds without another try after one that failed.
REST = 30.0


class TextVectors:
    """Vectors of texts, each encoded once; any thread may call.

    Parameters
    ----------
    encoder : Encoder
    cache : VectorCache
        Closed with this.
    patience : float
        Seconds that `prepare` waits for one text.
    timer : callable
        Gives seconds of a clock that never goes back.

    Attributes
    ----------
    missed : int
        Texts that `prepare` went without.
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
        """Vectors, float32 [n, d], from the cache or the encoder; zeros for an empty text.

        Notes
        -----
        Memory is that of the result. Where `progress` raises, what was encoded so far is kept.
        """
        known = self._fill(texts, progress)
        width = len(next(iter(known.values()))) if known else 0
        vectors = np.zeros((len(texts), width), dtype=np.float32)
        for row, text in enumerate(texts):
            if text:
                vectors[row] = known[text]
        return vectors

    def known(self, text: str) -> Floats | None:
        """Vector of one text, float32 [d], if it was encoded before."""
        return self._cache.get(self.encoder.fingerprint, [text]).get(text) if text else None

    def prepare(self, texts: Sequence[str]) -> None:
        """Encode texts so that `known` finds them; where that fails or lasts, go without.

        An encoder that failed is asked again after `REST` seconds; one that is slow goes on in the
        background.
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
        except Exception as error:  # whatever an encoder raises: the items must go in
            self.missed += len(missing)
            self._rests_until = self._timer() + REST
            what = "is too slow" if isinstance(error, TimeoutError) else f"failed: {error}"
            logger.warning(
                "encoder %s %s; %d texts go in without a vector, and their items are found by "
                "words alone until they are encoded; no other try for %g seconds",
                self.encoder.name,
                what,
                len(missing),
                REST,
            )

    def close(self) -> None:
        """Wait for what is being encoded, and close the cache; safe to call twice."""
        self._pool.shutdown(cancel_futures=True)
        self.encoder.close()
        self._cache.close()

    def missing(self, texts: Sequence[str]) -> list[str]:
        """Those of some texts that have no vector yet, each once."""
        wanted = list(dict.fromkeys(text for text in texts if text))
        known = self._cache.get(self.encoder.fingerprint, wanted)
        return [text for text in wanted if text not in known]

    def _fill(self, texts: Sequence[str], progress: Progress) -> dict[str, Floats]:
        """Vectors of all texts but the empty one; what is missing is encoded and kept."""
        model = self.encoder.fingerprint
        wanted = list(dict.fromkeys(text for text in texts if text))
        # One at a time: two that ask for the same texts would both encode them.
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
    """Progress of one block, told as that of the whole."""
    return lambda done, _, what: progress(first + done, total, what)
