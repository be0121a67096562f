"""Item representations of the networks: ID embeddings and projected item features."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from nearline.neural.layers import Dropout


class ItemTable(nn.Module):
    """Item vectors: an embedding of the ID plus a linear projection of the item's features.

    During training, whole ID embeddings are dropped at random so that the projection learns to
    represent items by features alone, as it must for items added after training.

    Parameters
    ----------
    n_items, width : int
        Number of items and size of their vectors.
    features : float32 [n_items, f] or None
        Features of each item.
    id_dropout : float
        Probability of dropping an ID embedding.
    unit : bool
        Whether to scale vectors to unit length.
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
        """Return the vectors of items: float32 [n, width]."""
        vectors: Tensor = self.drop(self.ids(items))
        if self.project is not None and self.features is not None:
            vectors = vectors + self.project(self.features[items])
        return functional.normalize(vectors, dim=-1) if self.unit else vectors

    def all(self) -> Tensor:
        """Return the vectors of all items: float32 [n_items, width]."""
        items = torch.arange(self.ids.num_embeddings, device=self.ids.weight.device)
        vectors: Tensor = self(items)
        return vectors
