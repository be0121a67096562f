"""The item graph: relations between items, counted while serving."""

from nearline.models.item_graph.config import (
    ItemGraphConfig,
)
from nearline.models.item_graph.model import ItemGraph

__all__ = ["ItemGraph", "ItemGraphConfig"]
