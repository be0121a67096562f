"""Items of the batch as negatives: the corrected loss is that over the whole catalogue."""

import numpy as np
import pytest
import torch

from nearline.neural.items import ItemTable
from nearline.neural.layers import initialise
from nearline.neural.pooled import Pooled
from nearline.neural.sequences import NextEvent, Objective, Sequences

N_ITEMS, WIDTH = 12, 4
PLAIN = Objective(
    loss="softmax",
    negatives=N_ITEMS,
    power=0.5,
    calibration=0.75,
    unit=False,
    temperature=1.0,
    id_dropout=0.0,
    batch=10_000,
)


def losses(objective: Objective, times: int) -> list[float]:
    rng = np.random.default_rng(0)
    chances = np.arange(1, N_ITEMS + 1) ** 2.0
    items = rng.choice(N_ITEMS, 3000, p=chances / chances.sum())
    data = Sequences(np.arange(0, 3001, 10), items.astype(np.int64), N_ITEMS, None)
    encoder = Pooled(WIDTH, hidden=3, dropout=0.0)
    table = ItemTable(N_ITEMS, WIDTH, None, id_dropout=0.0, unit=False)
    for network in (encoder, table):
        initialise(network, torch.Generator().manual_seed(1))
    task = NextEvent(encoder, table, data, objective, None)
    generator = torch.Generator().manual_seed(2)
    batch = task.batches(generator)[0]
    return [float(task.loss(batch, generator).detach()) for _ in range(times)]


def test_the_correction_gives_the_loss_over_all_items() -> None:
    (whole,) = losses(PLAIN, 1)
    # Items of the batch beside each item once, beside a few drawn ones, and nearly alone.
    for negatives, in_batch in ((N_ITEMS, 900), (8, 900), (1, 2000)):
        found = losses(PLAIN._replace(negatives=negatives, in_batch=in_batch), 5)
        assert np.mean(found) == pytest.approx(whole, abs=0.03)


def test_the_sum_of_a_history_by_hand() -> None:
    network = Pooled(2, hidden=3, dropout=0.0)
    initialise(network, torch.Generator().manual_seed(1))
    events = torch.tensor([[[1.0, 2.0], [3.0, -1.0]]])
    pooled = torch.tensor([[1.0, 2.0], [4.0 / 2**0.5, 1.0 / 2**0.5]])
    expected = pooled + network.outer(torch.relu(network.inner(pooled)))
    torch.testing.assert_close(network(events, torch.tensor([2]))[0], expected)
