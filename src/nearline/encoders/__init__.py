"""Encoders that turn texts into sparse or dense vectors, and nearest-neighbour indexes."""

from nearline.encoders.base import Encoder
from nearline.encoders.cache import VectorCache
from nearline.encoders.finding import AUTO, find_first, open_encoder
from nearline.encoders.text_vectors import TextVectors

__all__ = ["AUTO", "Encoder", "TextVectors", "VectorCache", "find_first", "open_encoder"]
