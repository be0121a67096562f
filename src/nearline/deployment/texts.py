"""Language vectors of items: open the encoder, cache the vectors, check that they match."""

import logging
from dataclasses import replace
from pathlib import Path

from nearline.common.progress import Progress
from nearline.config import Config
from nearline.data import LANGUAGE, Dataset, cache_folder
from nearline.encoders import AUTO, Encoder, TextVectors, VectorCache, find_first, open_encoder
from nearline.errors import InvalidInput, MissingExtra
from nearline.snapshots import Snapshot

logger = logging.getLogger(__name__)

VECTORS = "vectors.db"


def open_texts(config: Config, vectors: Path | None) -> TextVectors | None:
    """Open the configured encoder and its cache of vectors; return None if none is configured.

    Parameters
    ----------
    config : Config
        Configuration, of which `encoder` is used.
    vectors : Path or None
        Cache file. None uses a file in the cache folder of the user, which all recommenders in
        memory share.
    """
    if config.encoder is None:
        return None
    path = vectors or cache_folder(None) / VECTORS
    return TextVectors(_open(config.encoder), VectorCache(path))


def _open(name: str) -> Encoder:
    if name == AUTO:
        name = find_first()
    if name.startswith(("http://", "https://")):
        try:
            from nearline.adapters.embeddings import EmbeddingsEndpoint
        except ImportError:
            raise MissingExtra(
                f"encoder {name!r} needs httpx: pip install 'nearline[llm]'"
            ) from None
        return EmbeddingsEndpoint(name)
    if name.startswith("sentence_transformers:"):
        from nearline.adapters.sentence_transformers import SentenceTransformersEncoder

        return SentenceTransformersEncoder(name)
    return open_encoder(name)


def with_language(data: Dataset, texts: TextVectors | None, progress: Progress) -> Dataset:
    """Add the language vectors of all items; each distinct text is encoded only once.

    Raises
    ------
    InvalidInput
        The items have a vector column of that name already.
    """
    if texts is None or data.texts is None:
        return data
    if LANGUAGE in data.vectors:
        raise InvalidInput(
            f"items have a vector column {LANGUAGE!r}, which the encoder {texts.encoder.name} "
            "writes; rename the column, or use no encoder",
            field="encoder",
        )
    vectors = texts.encode(data.texts, progress)
    columns = data.vectors | {LANGUAGE: vectors}
    return replace(data, vectors=columns, encoder=texts.encoder.fingerprint)


def texts_for(snapshot: Snapshot | None, texts: TextVectors | None) -> TextVectors | None:
    """Return `texts` if the model was trained on vectors of the same encoder, else None.

    If it was trained on those of another encoder, a warning is logged: new items are matched by
    terms only until the next training.
    """
    trained = snapshot.manifest.encoder if snapshot else ""
    if not trained or texts is None:
        return None
    if texts.encoder.fingerprint == trained:
        return texts
    logger.warning(
        "the model was trained on vectors of another encoder than %s, so new items are matched by "
        "terms only: open the store with that encoder, or train again",
        texts.encoder.name,
    )
    return None
