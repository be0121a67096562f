"""Item vectors of the networks, from ID embeddings and item features."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from nearline.neural.layers import Dropout


class ItemTable(nn.Module):
    """Table of item vectors: an embedding of the ID plus a linear projection of item features.

    During training, whole ID embeddings are dropped at random so that the projection learns to
    represent items by features alone, as it must for items added after training.

    Parameters
    ----------
    n_items, width : int
        Number of items, and length of their vectors.
    features : float32 [n_items, f] or None
        Feature vector of each item; None for ID embeddings only.
    id_dropout : float
        Probability of dropping an ID embedding; without features, none is dropped.
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
        """Return the vectors of items, int64 [...] to float32 [..., width]."""
        vectors: Tensor = self.drop(self.ids(items))
        if self.project is not None and self.features is not None:
            vectors = vectors + self.project(self.features[items])
        return functional.normalize(vectors, dim=-1) if self.unit else vectors

    def all(self) -> Tensor:
        """Return the vectors of all items: float32 [n_items, width]."""
        items = torch.arange(self.ids.num_embeddings, device=self.ids.weight.device)
        vectors: Tensor = self(items)
        return vectors
