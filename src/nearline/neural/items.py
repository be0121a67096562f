"""The table of items that networks read and score: learned ids, and what the features tell."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from nearline.neural.layers import Dropout


class ItemTable(nn.Module):
    """Vectors of items: an embedding of the id plus a linear map of the item's features.

    While training, ids are dropped, row by row, so that features learn to do without; an item
    that comes later is its features alone.

    Parameters
    ----------
    n_items, width : int
        Size of the table.
    features : float32 [n_items, f] or None
        Numbers that tell of each item.
    id_dropout : float
        Share of ids dropped.
    unit : bool
        Scale vectors to length one.
    """

    features: Tensor | None

    def __init__(
        self, n_items: int, width: int, features: Tensor | None, *, id_dropout: float, unit: bool
    ) -> None:
        super().__init__()
        self.ids = nn.Embedding(n_items, width)
        self.unit = unit
        self.drop = Dropout(id_dropout if features is not None else 0.0, whole_rows=True)
        self.register_buffer("features", features, persistent=False)
        self.project = (
            nn.Linear(features.shape[1], width, bias=False) if features is not None else None
        )

    def forward(self, items: Tensor) -> Tensor:
        """Vectors of items, float32 [n, width]."""
        vectors: Tensor = self.drop(self.ids(items))
        if self.project is not None and self.features is not None:
            vectors = vectors + self.project(self.features[items])
        return functional.normalize(vectors, dim=-1) if self.unit else vectors

    def all(self) -> Tensor:
        """Vectors of all items, float32 [n_items, width]."""
        items = torch.arange(self.ids.num_embeddings, device=self.ids.weight.device)
        vectors: Tensor = self(items)
        return vectors
