"""User tower of a two-tower model: a pooled sum of event vectors, refined by a perceptron."""

import torch
from torch import Tensor, nn

from nearline.neural.layers import Dropout


class Pooled(nn.Module):
    """Sum the event vectors of a history and add the output of a perceptron (residual).

    P. Covington, J. Adams, E. Sargin, "Deep neural networks for YouTube recommendations", RecSys
    2016, section 3.2; the sum is divided by the square root of the number of events: Y. Koren,
    "Factorization meets the neighborhood", KDD 2008, equation 14.

    If user features are given, the perceptron reads them together with the pooled events, and an
    event vector of zeros means no event, so a history may be empty. During training, whole
    histories are dropped at random so that features alone suffice for cold users: M. Volkovs,
    G. Yu, T. Poutanen, "DropoutNet: addressing cold start in recommender systems", NIPS 2017.

    Parameters
    ----------
    width, hidden : int
        Embedding size of an event, and units of the perceptron.
    dropout : float
        Dropout probability before each layer of the perceptron.
    features : int
        Number of user features; 0 for none.
    history_dropout : float
        Probability of dropping a history during training; used only with user features.
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

        Parameters
        ----------
        events : float32 [n, length, width]
            Event vectors, oldest first; positions after the newest event are padding.
        lengths : int64 [n]
            Number of events of each row. Not used: a cumulative sum never includes later positions.
        features : float32 [n, features] or None
            User features.
        """
        del lengths
        if self.drop_history is None or features is None:
            counts = torch.arange(1, events.shape[1] + 1, device=events.device)
            pooled = events.cumsum(dim=1) / counts.sqrt()[:, None]
            read = pooled
        else:
            present = (events != 0).any(dim=2, keepdim=True).to(events.dtype)
            pooled = events.cumsum(dim=1) / present.cumsum(dim=1).clamp(min=1.0).sqrt()
            pooled = self.drop_history(pooled)
            expanded = features[:, None, :].expand(-1, events.shape[1], -1)
            read = torch.cat((pooled, expanded), dim=2)
        states = torch.relu(self.inner(self.drop(read)))
        found: Tensor = pooled + self.outer(self.drop(states))
        return found
