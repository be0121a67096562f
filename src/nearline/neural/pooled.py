"""A user tower: the events of a history pooled, and a perceptron over what comes of it."""

import torch
from torch import Tensor, nn

from nearline.neural.layers import Dropout


class Pooled(nn.Module):
    """Pool the vectors of a history, whatever their order, and add what a perceptron makes of it.

    P. Covington, J. Adams, E. Sargin, "Deep neural networks for YouTube recommendations", RecSys
    2016, section 3.2; the sum is divided by the root of how many there are: Y. Koren,
    "Factorization meets the neighborhood", KDD 2008, equation 14.

    Parameters
    ----------
    width, hidden : int
        Numbers of an event, and units of the perceptron.
    dropout : float
        Share of numbers dropped while training, before each layer of the perceptron.
    """

    def __init__(self, width: int, *, hidden: int, dropout: float) -> None:
        super().__init__()
        self.drop = Dropout(dropout)
        self.inner, self.outer = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, events: Tensor, lengths: Tensor) -> Tensor:
        """Vectors after each event, float32 [n, length, width]; arguments as `Transformer` takes.

        The sum never holds what comes later, so that `lengths` are not needed.
        """
        del lengths
        many = torch.arange(1, events.shape[1] + 1, device=events.device)
        pooled = events.cumsum(dim=1) / many.sqrt()[:, None]
        states = torch.relu(self.inner(self.drop(pooled)))
        found: Tensor = pooled + self.outer(self.drop(states))
        return found
