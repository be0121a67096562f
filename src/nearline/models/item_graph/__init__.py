"""The item graph: a model of relations between items that learns online."""

from nearline.models.item_graph.config import ItemGraphConfig
from nearline.models.item_graph.model import ItemGraph

__all__ = ["ItemGraph", "ItemGraphConfig"]
