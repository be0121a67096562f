"""Losses against loops in NumPy."""

import math

import numpy as np
import pytest
import torch

from nearline.neural.losses import gbce, sampled_scores, sampled_softmax


def scores() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    right = torch.randn(4, generator=generator)
    others = torch.randn((4, 3), generator=generator)
    others[1, 2] = -math.inf
    return right, others


def test_the_positive_item_is_not_a_negative() -> None:
    generator = torch.Generator().manual_seed(0)
    users, right = (
        torch.randn((2, 5), generator=generator),
        torch.randn((2, 5), generator=generator),
    )
    drawn = torch.randn((3, 5), generator=generator)
    found, others = sampled_scores(
        users, right, drawn, torch.tensor([7, 8]), torch.tensor([8, 9, 8])
    )
    np.testing.assert_allclose(found, np.einsum("nd,nd->n", users, right), rtol=1e-5)
    expected = users.numpy() @ drawn.numpy().T
    expected[1, [0, 2]] = -np.inf
    np.testing.assert_allclose(others, expected, rtol=1e-5)


def test_sampled_softmax_by_hand() -> None:
    right, others = scores()
    log_expected = torch.tensor([0.5, -1.0, 2.0])
    losses = []
    for s, row in zip(right.tolist(), others.tolist(), strict=True):
        rest = sum(math.exp(o - q) for o, q in zip(row, log_expected.tolist(), strict=True))
        losses.append(-math.log(math.exp(s) / (math.exp(s) + rest)))
    assert float(sampled_softmax(right, others, log_expected)) == pytest.approx(np.mean(losses))
    # Two items that score alike: a coin is tossed.
    even = sampled_softmax(torch.zeros(1), torch.zeros(1, 1))
    assert float(even) == pytest.approx(math.log(2))


def test_the_logq_correction_is_unbiased() -> None:
    generator = torch.Generator().manual_seed(2)
    users, table = (torch.randn((n, 4), generator=generator) for n in (1, 50))
    chances = torch.rand(50, generator=generator) + 0.1
    chances /= chances.sum()
    everything = torch.exp(users @ table.T).sum()
    drawn = torch.multinomial(chances, 20_000, replacement=True, generator=generator)
    corrected = users @ table[drawn].T - torch.log(20_000 * chances[drawn])
    assert float(torch.exp(corrected).sum() / everything) == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("calibration", [0.0, 0.75, 1.0])
def test_gbce_by_hand(calibration: float) -> None:
    right, others = scores()
    alpha = 3 / 10
    beta = alpha * (calibration * (1 - 1 / alpha) + 1 / alpha)
    losses = []
    for s, row in zip(right.tolist(), others.tolist(), strict=True):
        right_part = -beta * math.log(1 / (1 + math.exp(-s)))
        left = [-math.log(1 - 1 / (1 + math.exp(-o))) for o in row if o > -math.inf]
        losses.append((right_part + sum(left)) / 4)
    assert float(gbce(right, others, 11, calibration)) == pytest.approx(np.mean(losses))
