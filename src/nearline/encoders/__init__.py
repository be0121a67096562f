"""Encoders: text to vectors, sparse or dense, and what lies near a vector."""

from nearline.encoders.base import Encoder
from nearline.encoders.cache import VectorCache
from nearline.encoders.finding import open_encoder
from nearline.encoders.text_vectors import TextVectors

__all__ = ["Encoder", "TextVectors", "VectorCache", "open_encoder"]
