"""A user tower: the events of a history pooled, and a perceptron over what comes of it."""

import torch
from torch import Tensor, nn

from nearline.neural.layers import Dropout


class Pooled(nn.Module):
    """Pool the vectors of a history, whatever their order, and add what a perceptron makes of it.

    P. Covington, J. Adams, E. Sargin, "Deep neural networks for YouTube recommendations", RecSys
    2016, section 3.2; the sum is divided by the root of how many there are: Y. Koren,
    "Factorization meets the neighborhood", KDD 2008, equation 14.

    With features of users the perceptron reads them beside the pooled events, and an event of
    zeros is none: so a history may be empty. While training some histories are left out, so that
    features learn to speak alone: M. Volkovs, G. Yu, T. Poutanen, "DropoutNet: addressing cold
    start in recommender systems", NIPS 2017.

    Parameters
    ----------
    width, hidden : int
        Numbers of an event, and units of the perceptron.
    dropout : float
        Share of numbers dropped while training, before each layer of the perceptron.
    features : int
        Numbers that tell of a user beside the history.
    history_dropout : float
        Share of histories left out while training, where there are features.
    """

    def __init__(
        self,
        width: int,
        *,
        hidden: int,
        dropout: float,
        features: int = 0,
        history_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.drop = Dropout(dropout)
        self.drop_history = Dropout(history_dropout, whole_rows=True) if features else None
        self.inner, self.outer = nn.Linear(width + features, hidden), nn.Linear(hidden, width)

    def forward(self, events: Tensor, lengths: Tensor, features: Tensor | None = None) -> Tensor:
        """Encode each prefix of the histories: float32 [n, length, width].

        Parameters are those of `TransformerNetwork.forward`. A cumulative sum never includes later
        events, so `lengths` is not used. `features`, float32 [n, features], describe the users.
        """
        del lengths
        if self.drop_history is None or features is None:
            many = torch.arange(1, events.shape[1] + 1, device=events.device)
            pooled = events.cumsum(dim=1) / many.sqrt()[:, None]
            read = pooled
        else:
            there = (events != 0).any(dim=2, keepdim=True).to(events.dtype)
            pooled = events.cumsum(dim=1) / there.cumsum(dim=1).clamp(min=1.0).sqrt()
            pooled = self.drop_history(pooled)
            told = features[:, None, :].expand(-1, events.shape[1], -1)
            read = torch.cat((pooled, told), dim=2)
        states = torch.relu(self.inner(self.drop(read)))
        found: Tensor = pooled + self.outer(self.drop(states))
        return found
