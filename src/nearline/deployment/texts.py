"""The language vectors of items: which encoder makes them, where they are kept, what they fit."""

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
    """Open the encoder that `config` names, with the file of its vectors; None where it names none.

    Without `vectors` the file is the user's: texts of all recommenders in memory.
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
    """Add the language vectors of all items; each distinct text is encoded once, ever.

    Raises
    ------
    InvalidInput
        The items have a vector column of that name already.
    """
    if texts is None or data.texts is None:
        return data
    if LANGUAGE in data.vectors:
        raise InvalidInput(
            f"items have a vector column {LANGUAGE!r}, which is where the encoder "
            f"{texts.encoder.name} puts its own; rename the column, or leave the encoder out",
            field="encoder",
        )
    vectors = texts.encode(data.texts, progress)
    columns = data.vectors | {LANGUAGE: vectors}
    return replace(data, vectors=columns, encoder=texts.encoder.fingerprint)


def texts_for(snapshot: Snapshot | None, texts: TextVectors | None) -> TextVectors | None:
    """Return `texts` where a model has use for their vectors: where it was trained on the like.

    Where another encoder made those, new items have words alone until the next training: that is
    warned of.
    """
    trained = snapshot.manifest.encoder if snapshot else ""
    if not trained or texts is None:
        return None
    if texts.encoder.fingerprint == trained:
        return texts
    logger.warning(
        "the model was trained on vectors of another encoder than %s; new items go in with words "
        "alone: open the store with that encoder, or train again",
        texts.encoder.name,
    )
    return None
