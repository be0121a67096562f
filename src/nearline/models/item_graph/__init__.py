"""The item graph: relations between items, which are updated online."""

from nearline.models.item_graph.config import ItemGraphConfig
from nearline.models.item_graph.model import ItemGraph

__all__ = ["ItemGraph", "ItemGraphConfig"]
