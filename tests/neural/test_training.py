"""The loop on a task that can be followed by hand: a line through points."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from nearline.common.progress import no_progress
from nearline.errors import Damaged, InvalidInput
from nearline.neural.layers import Dropout, initialise
from nearline.neural.training import TrainingPlan, TrainingTask, train

PLAN = TrainingPlan(epochs=8, patience=8, rate=0.05, weight_decay=0.01, warmup=3, cosine=True)


class Line(TrainingTask):
    """y = 2 x1 - x2 from noisy inputs; values are given from outside."""

    def __init__(self, values: Sequence[float] = (), *, rate: float = 0.2) -> None:
        draws = torch.Generator().manual_seed(5)
        with torch.device("meta"):
            built = nn.Sequential(Dropout(rate), nn.Linear(2, 1))
        self.network = built.to_empty(device="cpu")
        initialise(self.network, draws)
        self.x = torch.randn((64, 2), generator=draws)
        self.y = self.x @ torch.tensor([[2.0], [-1.0]])
        self.values = list(values)
        self.weights: list[Tensor] = []

    def batches(self, generator: torch.Generator) -> list[Tensor]:
        return list(torch.split(torch.randperm(64, generator=generator), 16))

    def loss(self, batch: Tensor, generator: torch.Generator) -> Tensor:
        found: Tensor = self.network(self.x[batch])
        return (found - self.y[batch]).square().mean()

    def validate(self) -> float | None:
        self.weights.append(self.network[1].weight.detach().clone())  # type: ignore[index]
        return self.values[len(self.weights) - 1] if self.values else None


class Stop(Exception):
    """What a cancelled job's progress raises."""


def weights(task: TrainingTask) -> dict[str, Tensor]:
    return task.network.state_dict()


def same(one: dict[str, Tensor], two: dict[str, Tensor]) -> bool:
    return all(torch.equal(one[name], two[name]) for name in one)


def test_training_learns_and_leaves_global_state_unchanged() -> None:
    task, state, threads = Line(rate=0.0), torch.get_rng_state(), torch.get_num_threads()
    plan = PLAN._replace(epochs=200, weight_decay=0.0)
    trained = train(task, plan, seed=1, progress=no_progress)
    assert task.network[1].weight.tolist()[0] == pytest.approx([2.0, -1.0], abs=0.02)  # type: ignore[index]
    assert trained.epochs == 200
    assert trained.losses[-1] < 0.01 * trained.losses[0]
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    assert not task.network.training


def test_the_best_weights_are_kept_and_patience_ends_it() -> None:
    task = Line([0.1, 0.3, 0.2, 0.3, 0.1, 0.9])
    trained = train(task, PLAN._replace(patience=3), seed=1, progress=no_progress)
    assert (trained.epochs, len(trained.losses)) == (2, 5)
    assert trained.values == [0.1, 0.3, 0.2, 0.3, 0.1]
    assert torch.equal(weights(task)["1.weight"], task.weights[1])


def test_patience_counts_from_the_first_value_above_zero() -> None:
    task = Line([0.0, 0.0, 0.0, 0.2, 0.1, 0.1, 0.3])
    trained = train(task, PLAN._replace(patience=2), seed=1, progress=no_progress)
    assert (trained.epochs, len(trained.losses)) == (4, 6)


def test_the_result_is_the_running_mean_of_the_weights() -> None:
    plan = PLAN._replace(epochs=1, memory=100)
    along: list[Tensor] = []

    class Watched(Line):
        def loss(self, batch: Tensor, generator: torch.Generator) -> Tensor:
            along.append(weights(self)["1.weight"].clone())
            return super().loss(batch, generator)

    last, mean = Line(), Watched()
    train(last, plan._replace(memory=1), seed=1, progress=no_progress)
    train(mean, plan, seed=1, progress=no_progress)
    steps = [*along[1:], weights(last)["1.weight"]]
    torch.testing.assert_close(weights(mean)["1.weight"], torch.stack(steps).mean(dim=0))


def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    values, plan = [0.1, 0.5, 0.2, 0.3, 0.4, 0.6, 0.2, 0.1], PLAN._replace(memory=5)
    whole = Line(values)
    expected = train(whole, plan, seed=3, progress=no_progress)
    file = tmp_path / "line.safetensors"

    def cut_off(done: int, total: int, what: str) -> None:
        if done >= 14:
            raise Stop

    with pytest.raises(Stop):
        train(Line(values), plan, seed=3, progress=cut_off, checkpoint=file, key="k")
    rest = Line(values[3:])
    found = train(rest, plan, seed=3, progress=no_progress, checkpoint=file, key="k")
    assert found == expected
    assert same(weights(rest), weights(whole))
    assert len(rest.weights) == 5
    # Once more: nothing is left to do.
    done = Line()
    assert train(done, plan, seed=3, progress=no_progress, checkpoint=file, key="k") == expected
    assert same(weights(done), weights(whole))
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_foreign_and_damaged_checkpoints_are_rejected(tmp_path: Path) -> None:
    file = tmp_path / "line.safetensors"
    train(Line(), PLAN, seed=3, progress=no_progress, checkpoint=file, key="k")
    with pytest.raises(InvalidInput, match="other data, settings or seed"):
        train(Line(), PLAN, seed=3, progress=no_progress, checkpoint=file, key="other")
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(Damaged, match="delete it"):
        train(Line(), PLAN, seed=3, progress=no_progress, checkpoint=file, key="k")


def test_progress_reports_steps_loss_and_value() -> None:
    told: list[tuple[int, int, str]] = []
    plan = PLAN._replace(epochs=2)
    trained = train(Line([0.25, 0.5]), plan, seed=1, progress=lambda *step: told.append(step))
    assert [step[:2] for step in told] == [(n, 8) for n in range(8)] + [(2, 2)]
    assert told[0][2] == "epoch 1"
    assert told[4][2] == f"epoch 2, loss {trained.losses[0]:.4f}, ndcg@10 0.2500"


def test_a_diverging_loss_is_reported() -> None:
    plan = TrainingPlan(epochs=40, patience=1, rate=1e30, weight_decay=0.0, warmup=0, cosine=False)
    with pytest.raises(InvalidInput, match="lower it"):
        train(Line(), plan, seed=1, progress=no_progress)


def test_dropout_keeps_the_mean_and_its_share() -> None:
    layer = Dropout(0.25)
    layer.generator = torch.Generator().manual_seed(0)
    found = layer(torch.ones(100, 1000))
    assert float((found == 0).float().mean()) == pytest.approx(0.25, abs=0.01)
    assert float(found.mean()) == pytest.approx(1.0, abs=0.01)
    rows = Dropout(0.5, whole_rows=True)
    rows.generator = layer.generator
    kept = rows(torch.ones(1000, 3))
    assert set(kept.sum(dim=1).tolist()) == {0.0, 3.0}
    assert layer.eval()(kept) is kept
