"""Loss functions with sampled negatives, which all rows of a batch share.

Each row of a batch consists of a user vector of length d and one positive item. The score of an
item is the inner product of its vector with the user vector.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional


def sampled_scores(
    users: Tensor, right: Tensor, drawn: Tensor, targets: Tensor, items: Tensor
) -> tuple[Tensor, Tensor]:
    """Score the positive item of each row and the sampled negatives.

    Parameters
    ----------
    users, right : float32 [n, d]
        Vectors of users and of their positive items.
    drawn : float32 [s, d]
        Vectors of the sampled negatives.
    targets, items : int64 [n], [s]
        Indices of the positive items and of the sampled negatives.

    Returns
    -------
    Tensor, Tensor
        Scores of the positive items, float32 [n], and of the negatives, float32 [n, s]. The score
        of a sampled item that is the positive item of the row is -inf.
    """
    others = (users @ drawn.T).float()
    others = others.masked_fill(targets[:, None] == items, -math.inf)
    return (users.float() * right).sum(dim=1), others


def sampled_softmax(right: Tensor, others: Tensor, log_expected: Tensor | None = None) -> Tensor:
    """Compute the mean softmax loss over the positive item and the sampled negatives.

        -ln( e^p / (e^p + sum_j e^(q_j - log_expected_j)) )

    p is the score of the positive item and q_j that of the j-th sampled negative. With
    `log_expected`, the sum is an unbiased estimate of the sum over the whole catalogue (logQ
    correction): Y. Bengio, J.-S. Senecal, "Adaptive importance sampling to accelerate training of a
    neural probabilistic language model", IEEE Transactions on Neural Networks 19, 2008; X. Yi et
    al., "Sampling-bias-corrected neural modeling for large corpus item recommendations", RecSys
    2019, section 3.

    Parameters
    ----------
    right : float32 [n]
        Scores of the positive items.
    others : float32 [n, s]
        Scores of the sampled negatives; a score of -inf is ignored.
    log_expected : float32 [s] or None
        Logarithm of the expected number of draws of each negative; None disables the correction.
    """
    if log_expected is not None:
        others = others - log_expected
    return (torch.logaddexp(right, torch.logsumexp(others, dim=1)) - right).mean()


def gbce(right: Tensor, others: Tensor, n_items: int, calibration: float) -> Tensor:
    """Compute the generalised binary cross-entropy (gBCE), which corrects for negative sampling.

        (-beta ln sigmoid(p) - sum_j ln(1 - sigmoid(q_j))) / (1 + s)

        beta = alpha (t (1 - 1/alpha) + 1/alpha),    alpha = s / (n_items - 1)

    p is the score of the positive item, q_j that of the j-th of s sampled negatives, and t is the
    parameter `calibration`. The result is the mean over the batch. A. Petrov, C. Macdonald,
    "gSASRec: reducing overconfidence in sequential recommendation trained with negative sampling",
    RecSys 2023, section 5.

    Parameters
    ----------
    right : float32 [n]
        Scores of the positive items.
    others : float32 [n, s]
        Scores of the sampled negatives; a score of -inf is ignored.
    n_items : int
        Size of the catalogue.
    calibration : float
        Parameter t: 0 is plain cross-entropy; 1 results in calibrated probabilities.
    """
    alpha = min(1.0, others.shape[1] / max(n_items - 1, 1))
    beta = alpha * (calibration * (1.0 - 1.0 / alpha) + 1.0 / alpha)
    positive = beta * functional.softplus(-right)
    negative = functional.softplus(others).sum(dim=1)
    return ((positive + negative) / (1 + others.shape[1])).mean()
