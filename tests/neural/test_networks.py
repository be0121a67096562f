"""Networks over sequences: what they may see, what they hand over, and that both runtimes agree."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from nearline.common.inference import OnnxGraph
from nearline.neural.convolutional import Convolutional
from nearline.neural.export import export as export_graph
from nearline.neural.items import ItemTable
from nearline.neural.layers import initialise
from nearline.neural.pooled import Pooled
from nearline.neural.recurrent import Recurrent
from nearline.neural.sequences import NewestPosition
from nearline.neural.transformer import FrequencyFilter, TransformerNetwork

WIDTH = 8
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "transformer": lambda: TransformerNetwork(WIDTH, heads=2, blocks=2, longest=12, dropout=0.5),
    "filtered": lambda: TransformerNetwork(
        WIDTH, heads=2, blocks=2, longest=12, dropout=0.5, frequency=0.6, window=3
    ),
    "recurrent": lambda: Recurrent(WIDTH, hidden=6, layers=2, dropout=0.5),
    "pooled": lambda: Pooled(WIDTH, hidden=6, dropout=0.5),
    "convolutional": lambda: Convolutional(WIDTH, dilations=(1, 2), dropout=0.5),
}


@pytest.fixture(params=NETWORKS)
def network(request: pytest.FixtureRequest) -> nn.Module:
    with torch.device("meta"):
        built = NETWORKS[request.param]()
    drawn: nn.Module = built.to_empty(device="cpu")
    initialise(drawn, torch.Generator().manual_seed(4))
    return drawn.eval()


def events(n: int, length: int) -> torch.Tensor:
    return torch.randn((n, length, WIDTH), generator=torch.Generator().manual_seed(length))


def test_no_position_sees_a_later_one(network: nn.Module) -> None:
    given, lengths = events(2, 9), torch.tensor([9, 9])
    before = network(given, lengths)
    for at in range(9):
        changed = given.clone()
        changed[:, at] *= -1.0
        after = network(changed, lengths)
        assert torch.equal(after[:, :at], before[:, :at])
        assert not torch.allclose(after[:, at], before[:, at])


def test_padding_after_the_newest_event_does_not_matter(network: nn.Module) -> None:
    serving = NewestPosition(network, unit=False, temperature=1.0)
    short, longer = events(3, 5), events(3, 11)
    longer[:, :5] = short
    lengths = torch.tensor([5, 5, 5])
    torch.testing.assert_close(serving(short, lengths), serving(longer, lengths))


def test_frequency_filter_by_hand() -> None:
    """Means of the last two vectors, and half of the distance to them."""
    layer = FrequencyFilter(1, 2)
    with torch.no_grad():
        layer.weight.fill_(0.5)
    found = layer(torch.tensor([[[4.0], [8.0], [0.0]]]))
    assert found.flatten().tolist() == [4.0, 7.0, 2.0]


def test_both_runtimes_agree(network: nn.Module) -> None:
    serving = NewestPosition(network, unit=True, temperature=0.1).eval()
    graph = OnnxGraph(
        export_graph(
            serving,
            {"events": torch.zeros(2, 3, WIDTH), "lengths": torch.tensor([3, 2])},
            {"events": {0: "n", 1: "length"}, "lengths": {0: "n"}},
            ["users"],
        )
    )
    assert (graph.inputs, graph.outputs) == (["events", "lengths"], ["users"])
    for n, length in ((1, 1), (1, 12), (5, 7)):
        given = events(n, length)
        lengths = torch.arange(n) % length + 1
        expected = serving(given, lengths).detach().numpy()
        found = graph(events=given.numpy(), lengths=lengths.numpy())[0]
        np.testing.assert_allclose(found, expected, atol=1e-4)


def with_features() -> Pooled:
    drawn = Pooled(WIDTH, hidden=6, dropout=0.5, features=3, history_dropout=0.5)
    initialise(drawn, torch.Generator().manual_seed(4))
    return drawn.eval()


def test_both_runtimes_agree_about_features_of_users() -> None:
    serving = NewestPosition(with_features(), unit=True, temperature=0.1).eval()
    graph = OnnxGraph(
        export_graph(
            serving,
            {
                "events": torch.zeros(2, 3, WIDTH),
                "lengths": torch.tensor([3, 2]),
                "features": torch.zeros(2, 3),
            },
            {"events": {0: "n", 1: "length"}, "lengths": {0: "n"}, "features": {0: "n"}},
            ["users"],
        )
    )
    assert graph.inputs == ["events", "lengths", "features"]
    for n, length in ((1, 1), (1, 12), (5, 7)):
        given = events(n, length)
        given[0] = 0.0
        lengths = torch.arange(n) % length + 1
        told = torch.randn((n, 3), generator=torch.Generator().manual_seed(n))
        expected = serving(given, lengths, told).detach().numpy()
        found = graph(events=given.numpy(), lengths=lengths.numpy(), features=told.numpy())[0]
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_histories_beside_features_by_hand() -> None:
    network = with_features()
    given = torch.zeros(1, 4, WIDTH)
    given[0, 1], given[0, 3] = 1.0, 2.0
    told = torch.tensor([[1.0, -2.0, 0.5]])
    # Zeros are no events: sums of none, one, one and two, over the root of how many.
    sums = torch.tensor([0.0, 1.0, 1.0, 3.0 / 2**0.5])
    for at, number in enumerate(sums):
        pooled = torch.full((WIDTH,), float(number))
        read = torch.cat((pooled, told[0]))
        expected = pooled + network.outer(torch.relu(network.inner(read)))
        torch.testing.assert_close(network(given, torch.tensor([4]), told)[0, at], expected)


def test_some_histories_are_dropped_during_training() -> None:
    network = with_features()
    network.drop.share = 0.0
    assert network.drop_history is not None
    network.drop_history.generator = torch.Generator().manual_seed(0)
    network.train()
    given, told = torch.ones(200, 1, WIDTH), torch.ones(200, 3)
    found = network(given, torch.ones(200, dtype=torch.int64), told)[:, 0]
    network.eval()
    with_history = network(given[:1], torch.tensor([1]), told[:1])[0, 0]
    without = network(0 * given[:1], torch.tensor([1]), told[:1])[0, 0]
    kept = torch.isclose(found, with_history, atol=1e-5).all(dim=1)
    left_out = torch.isclose(found, without, atol=1e-5).all(dim=1)
    assert (kept ^ left_out).all()
    assert 60 < int(left_out.sum()) < 140


def test_a_graph_holds_the_weights_of_its_own_network_and_no_paths() -> None:
    graphs = []
    for seed in (1, 2, 1):
        drawn = TransformerNetwork(WIDTH, heads=2, blocks=1, longest=4, dropout=0.0)
        initialise(drawn, torch.Generator().manual_seed(seed))
        graphs.append(
            export_graph(
                NewestPosition(drawn, unit=False, temperature=1.0).eval(),
                {"events": torch.zeros(2, 3, WIDTH), "lengths": torch.tensor([3, 2])},
                {"events": {0: "n", 1: "length"}, "lengths": {0: "n"}},
                ["users"],
            )
        )
    assert graphs[0] == graphs[2] != graphs[1]
    assert b".py" not in graphs[0]


def test_vectors_of_items_by_hand() -> None:
    features = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    table = ItemTable(2, 3, features, id_dropout=0.999, unit=True)
    initialise(table, torch.Generator().manual_seed(0))
    assert table.project is not None
    told = features @ table.project.weight.T
    expected = nn.functional.normalize(table.ids.weight + told, dim=1)
    torch.testing.assert_close(table.eval().all(), expected)
    # With the ids left out, features alone speak.
    table.train().drop.generator = torch.Generator().manual_seed(0)
    torch.testing.assert_close(table.all(), nn.functional.normalize(told, dim=1))
