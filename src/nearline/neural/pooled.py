"""User network of a two-tower model: the sum of event vectors plus the output of a perceptron."""

import torch
from torch import Tensor, nn

from nearline.neural.layers import Dropout


class Pooled(nn.Module):
    """User tower: the scaled sum of a history's event vectors, plus the output of a perceptron.

    The sum is divided by the square root of the number of events, and the perceptron reads the
    result. P. Covington, J. Adams, E. Sargin, "Deep neural networks for YouTube recommendations",
    RecSys 2016, section 3.2; Y. Koren, "Factorization meets the neighborhood", KDD 2008, equation
    14.

    With user features, the perceptron reads the features too, and an event vector of zeros means
    that there is no event, so that a history may be empty. In training, whole histories are
    dropped at random, so that the network learns to encode new users from their features alone:
    M. Volkovs, G. Yu, T. Poutanen, "DropoutNet: addressing cold start in recommender systems",
    NIPS 2017.

    Parameters
    ----------
    width, hidden : int
        Length of an event vector, and number of hidden units of the perceptron.
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
        """Encode each prefix of n histories.

        Parameters
        ----------
        events : float32 [n, length, width]
            Event vectors, oldest first; positions after the newest event are padding.
        lengths : int64 [n]
            Number of events of each history. It is not used, because a cumulative sum does not
            depend on later positions.
        features : float32 [n, features] or None
            Features of the users.

        Returns
        -------
        Tensor
            User vectors, float32 [n, length, width]: position j encodes the events up to j.
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
