"""Networks of pairs: by hand, what they are told apart from, and that both runtimes agree."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nearline.common.inference import OnnxGraph
from nearline.neural.export import export
from nearline.neural.layers import initialise
from nearline.neural.pairs import Interaction, PairClassification, PairTables, Taken

TAKEN = Taken(np.array([0, 3, 3, 4, 6]), np.array([0, 1, 2, 3, 0, 3]), 5)
# Sizes are those of the models' tests: a graph is exported once, and that takes seconds.
WIDTH = 8
ROWS = [[0, 1, 2], [], [3], [0, 3]]


def drawn(network: nn.Module, seed: int = 4) -> nn.Module:
    initialise(network, torch.Generator().manual_seed(seed))
    return network.eval()


def draw(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(shape[0]))


@pytest.mark.parametrize("kind", ["gmf", "mlp", "neumf"])
def test_scores_by_hand_and_in_both_runtimes(kind: str) -> None:
    network = drawn(Interaction(kind, WIDTH, hidden=(16, 8), dropout=0.2))
    width = (2 if kind == "neumf" else 1) * WIDTH
    graph = OnnxGraph(
        export(
            network,
            {"users": torch.zeros(2, width), "items": torch.zeros(3, width)},
            {"users": {0: "n"}, "items": {0: "m"}},
            ["scores"],
        )
    )
    for n, m in ((1, 1), (1, 7), (5, 4)):
        users, items = draw(n, width), draw(m, width)
        found = network(users, items).detach().numpy()
        expected = [[by_hand(network, kind, u, i) for i in items] for u in users]
        np.testing.assert_allclose(found, expected, atol=1e-5)
        served = graph(users=users.numpy(), items=items.numpy())[0]
        np.testing.assert_allclose(served, found, atol=1e-4)


def by_hand(network: nn.Module, kind: str, user: Tensor, item: Tensor) -> float:
    """One pair at a time, as the paper writes it: the first layer sees both side by side."""
    weights = network.state_dict()
    score = 0.0
    if kind != "mlp":
        score += float((weights["product.weight"][0] * user[:WIDTH] * item[:WIDTH]).sum())
        score += float(weights.get("product.bias", torch.zeros(1)))
    if kind != "gmf":
        both = torch.cat((user[-WIDTH:], item[-WIDTH:]))
        first = torch.cat((weights["user.weight"], weights["item.weight"]), dim=1)
        states = torch.relu(first @ both + weights["user.bias"])
        states = torch.relu(weights["layers.0.weight"] @ states + weights["layers.0.bias"])
        score += float(weights["output.weight"][0] @ states + weights["output.bias"])
    return score


def task(**changes: int) -> PairClassification:
    network = PairTables(Interaction("gmf", 3, hidden=(), dropout=0.0), 5, 3)
    drawn(network)
    settings = {"negatives": 400, "batch": 4} | changes
    return PairClassification(network, TAKEN, judge=None, **settings)


def test_the_loss_by_hand() -> None:
    """With many draws the mean over the items that a user did not take comes out."""
    learned = task()
    read, table = learned.network.read.weight.detach(), learned.network.table.weight.detach()
    weights = learned.network.pairs.state_dict()["product.weight"][0]
    total = 0.0
    for row in (ROWS[0], ROWS[3]):
        for item in row:
            others = [j for j in row if j != item]
            user = read[others].sum(dim=0) / math.sqrt(len(others))
            scores = (table @ (user * weights)).tolist()
            losses = [math.log1p(math.exp(-scores[item]))]
            untaken = [math.log1p(math.exp(scores[j])) for j in range(5) if j not in row]
            # Of 400 draws so many fall on items that the user did not take.
            losses.append(400 * sum(untaken) / 5)
            total += sum(losses) / 401
    found = learned.loss(torch.tensor([0, 3]), torch.Generator().manual_seed(1))
    assert float(found.detach()) == pytest.approx(total / 5, rel=0.05)


def test_the_target_item_is_left_out_of_the_user_vector() -> None:
    """The only item of a user says nothing of the user: the score is what a zero vector gets."""
    learned = task(negatives=1)
    found = learned._without(torch.tensor([3, 0, 3]), torch.tensor([0, 1, 1]), torch.tensor([1, 2]))
    read = learned.network.read.weight
    torch.testing.assert_close(found, torch.stack((torch.zeros(3), read[3], read[0])))


@pytest.mark.parametrize(("batch", "expected"), [(2, 3), (4, 2), (100, 1)])
def test_an_epoch_contains_every_user_with_events_once(batch: int, expected: int) -> None:
    learned = task(batch=batch)
    batches = learned.batches(torch.Generator().manual_seed(0))
    assert len(batches) == expected
    assert sorted(torch.cat(list(batches)).tolist()) == [0, 2, 3]
