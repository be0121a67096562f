"""Losses over one right item and some drawn ones, shared by all rows of a batch.

Rows are vectors of users, float32 [n, d]; the score of an item is their inner product.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional


def sampled_scores(
    users: Tensor, right: Tensor, drawn: Tensor, targets: Tensor, items: Tensor
) -> tuple[Tensor, Tensor]:
    """Score the right item of each row, and the drawn items, -inf where one is the right one.

    Parameters
    ----------
    users, right : float32 [n, d]
        Vectors of users and of their right items.
    drawn : float32 [s, d]
        Vectors of the drawn items.
    targets, items : int64 [n], [s]
        Which items those are.

    Returns
    -------
    Tensor, Tensor
        float32 [n] and [n, s].
    """
    others = (users @ drawn.T).float()
    others = others.masked_fill(targets[:, None] == items, -math.inf)
    return (users.float() * right).sum(dim=1), others


def sampled_softmax(right: Tensor, others: Tensor, log_expected: Tensor | None = None) -> Tensor:
    """Softmax loss in which drawn items stand for all others.

        -ln( e^s / (e^s + sum_j e^(s_j - log_expected_j)) )

    With `log_expected` the logarithm of how often each item is expected among those drawn, the sum
    estimates that over the whole catalogue without bias (logQ correction): Y. Bengio, J.-S.
    Senecal, "Adaptive importance sampling to accelerate training of a neural probabilistic language
    model", IEEE Transactions on Neural Networks 19, 2008; X. Yi et al., "Sampling-bias-corrected
    neural modeling for large corpus item recommendations", RecSys 2019, section 3.

    Parameters
    ----------
    right : float32 [n]
        Scores of the right items.
    others : float32 [n, s]
        Scores of the drawn items, -inf where one does not count.
    log_expected : float32 [s] or None
        None leaves the correction out.
    """
    if log_expected is not None:
        others = others - log_expected
    return (torch.logaddexp(right, torch.logsumexp(others, dim=1)) - right).mean()


def gbce(right: Tensor, others: Tensor, n_items: int, calibration: float) -> Tensor:
    """Binary cross-entropy that allows for how few negatives were drawn.

        -beta ln sigmoid(s) - sum_j ln(1 - sigmoid(s_j)),    divided by 1 + s

        beta = alpha (t (1 - 1/alpha) + 1/alpha),    alpha = s / (n_items - 1)

    A. Petrov, C. Macdonald, "gSASRec: reducing overconfidence in sequential recommendation trained
    with negative sampling", RecSys 2023, section 5.

    Parameters
    ----------
    right : float32 [n]
    others : float32 [n, s]
        Scores, -inf where an item does not count.
    n_items : int
        Size of the catalogue.
    calibration : float
        t: 0 is plain cross-entropy, 1 makes scores calibrated probabilities.
    """
    alpha = min(1.0, others.shape[1] / max(n_items - 1, 1))
    beta = alpha * (calibration * (1.0 - 1.0 / alpha) + 1.0 / alpha)
    positive = beta * functional.softplus(-right)
    negative = functional.softplus(others).sum(dim=1)
    return ((positive + negative) / (1 + others.shape[1])).mean()
