"""Text encoders, sparse and dense, and indexes of nearest neighbours."""

from nearline.encoders.base import Encoder
from nearline.encoders.cache import VectorCache
from nearline.encoders.finding import AUTO, find_first, open_encoder
from nearline.encoders.text_vectors import TextVectors

__all__ = ["AUTO", "Encoder", "TextVectors", "VectorCache", "find_first", "open_encoder"]
