"""Hyper-parameter search: trials, resuming, pruning and errors."""

import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import optuna
import pytest
from msgspec import Struct
from numpy.typing import NDArray
from optuna.storages.journal import JournalFileBackend

from nearline.common.progress import Progress, no_progress
from nearline.data import Dataset, Histories, Split
from nearline.errors import InvalidInput, MissingExtra
from nearline.models.base import Model, Range, Ranking, Space
from nearline.models.factors.als import Als, AlsConfig
from nearline.models.item_graph.config import ItemGraphConfig
from nearline.models.item_graph.model import ItemGraph
from nearline.models.popularity import Popularity, PopularityConfig
from nearline.training.search import rating_score, search, tuner


class PickConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    item: int = 0
    size: float = 1.0
    how: str = "plain"


class Pick(Model):
    """A model that recommends the item that its settings name, so the best settings are known."""

    name: ClassVar[str] = "pick"
    config_type: ClassVar[type[Struct]] = PickConfig
    space: ClassVar[Space] = {
        "item": Range(0, 3),
        "size": Range(0.1, 10.0, log=True),
        "how": ("plain", "odd"),
    }
    fits: ClassVar[int] = 0

    def fit(
        self,
        data: Dataset,
        *,
        validation: Histories | None = None,
        seed: int = 0,
        progress: Progress = no_progress,
    ) -> Self:
        type(self).fits += 1
        self.fitted_on = data.histories
        return self

    def score_many(self, histories: Histories) -> NDArray[np.float32]:
        return np.tile(np.eye(4, dtype=np.float32)[self.config.item], (len(histories), 1))

    def recommend_from(
        self,
        histories: Histories,
        k: int,
        *,
        exclude_seen: bool = True,
        allowed: NDArray[np.bool_] | None = None,
    ) -> Ranking:
        items = np.full((len(histories), k), -1, dtype=np.int32)
        items[:, 0] = self.config.item
        return Ranking(items, np.ones((len(histories), k), dtype=np.float32))

    def similar(self, items: NDArray[np.int32], k: int) -> Ranking:
        return self.recommend_from(Histories.from_rows([[0]] * len(items)), k)

    def arrays(self) -> dict[str, NDArray[Any]]:
        return {}

    def _load(self, arrays: dict[str, NDArray[Any]]) -> None:
        del arrays


N = 40
DATA = Dataset(
    [f"u{n}" for n in range(N)],
    list("abcd"),
    Histories.from_rows([[0]] * N),
    np.full(N, np.nan, dtype=np.float32),
)
# Most users want item 2 next.
TARGETS = Histories.from_rows([[2 if n % 4 else 1] for n in range(N)])


def trials_of(journal: Path) -> list[Any]:
    """Read the trials of the one search of a journal."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        backend = JournalFileBackend(str(journal))
        storage = optuna.storages.JournalStorage(backend)
    (study,) = storage.get_all_studies()
    return list(storage.get_all_trials(study._study_id))


def test_the_search_finds_the_best_settings_and_tries_the_initial_ones_first() -> None:
    steps: list[tuple[int, int]] = []
    found = search(
        Pick(PickConfig(item=1)),
        DATA,
        TARGETS,
        trials=20,
        seed=0,
        progress=lambda done, of, _: steps.append((done, of)),
    )
    assert found.item == 2  # type: ignore[attr-defined]
    assert steps[0] == (0, 20)
    assert steps[-1] == (20, 20)
    first = search(Pick(PickConfig(item=2, size=3.0)), DATA, TARGETS, trials=1, seed=0)
    assert first == PickConfig(item=2, size=3.0)


def test_the_search_is_deterministic() -> None:
    one, two = (search(Pick(), DATA, TARGETS, trials=8, seed=5) for _ in range(2))
    assert one == two


def test_an_interrupted_search_is_resumed(tmp_path: Path) -> None:
    journal = tmp_path / "search.journal"
    search(Pick(), DATA, TARGETS, trials=3, seed=0, journal=journal)
    before = Pick.fits
    search(Pick(), DATA, TARGETS, trials=5, seed=0, journal=journal)
    assert Pick.fits == before + 2
    search(Pick(), DATA, TARGETS, trials=5, seed=0, journal=journal)
    assert Pick.fits == before + 2


def test_a_resumed_search_does_not_repeat_its_draws(tmp_path: Path) -> None:
    for trials in (3, 6):
        search(Pick(), DATA, TARGETS, trials=trials, seed=0, journal=tmp_path / "journal")
    sizes = [trial.params["size"] for trial in trials_of(tmp_path / "journal")]
    assert len(set(sizes)) == 6


def test_a_search_interrupted_in_its_first_trial_starts_with_the_initial_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    journal, given = tmp_path / "journal", Pick(PickConfig(item=2, size=3.0))
    with monkeypatch.context() as patch:
        patch.setattr(Pick, "fit", cut_off)
        with pytest.raises(KeyboardInterrupt):
            search(given, DATA, TARGETS, trials=1, seed=0, journal=journal)
    assert search(given, DATA, TARGETS, trials=1, seed=0, journal=journal) == given.config


def test_poor_settings_are_pruned(tmp_path: Path) -> None:
    search(Pick(PickConfig(item=2)), DATA, TARGETS, trials=16, seed=0, journal=tmp_path / "j")
    trials = trials_of(tmp_path / "j")
    pruned = [trial for trial in trials if trial.state.name == "PRUNED"]
    assert pruned
    # Judged on a quarter of the users and found below the median of those before.
    assert all(len(trial.intermediate_values) < 3 for trial in pruned)
    assert all(trial.params["item"] != 2 for trial in pruned)
    kept = [trial for trial in trials if trial.state.name == "COMPLETE"]
    assert all(len(trial.intermediate_values) == 3 for trial in kept)
    assert len(pruned) + len(kept) == 16


def test_invalid_proposed_settings_are_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(model: Pick, data: Dataset, **_: object) -> Pick:
        if model.config.item != 2:
            raise InvalidInput("this item is not to be had", field="item")
        model.fitted_on = data.histories
        return model

    monkeypatch.setattr(Pick, "fit", refuse)
    found = search(Pick(PickConfig(item=2)), DATA, TARGETS, trials=8, seed=0)
    assert found.item == 2  # type: ignore[attr-defined]
    with pytest.raises(InvalidInput, match="not to be had"):
        search(Pick(PickConfig(item=1)), DATA, TARGETS, trials=8, seed=0)


def test_a_model_that_cannot_be_searched_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidInput, match="has no search space"):
        search(Popularity(), DATA, TARGETS, trials=1, seed=0)
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtra, match=r"nearline\[search\]"):
        search(Pick(), DATA, TARGETS, trials=1, seed=0)


def test_a_rating_model_is_scored_by_its_errors() -> None:
    rated = replace(DATA, values=np.full(N, 4.0, dtype=np.float32)).rated()
    model = Als(AlsConfig(factors=1)).fit(rated)
    targets = Histories.from_rows([[0], [0, 0], []])
    targets.weights[:] = [4.0, 5.0, 2.0]
    # Everybody gives 4 and that is predicted: errors 0, 1 and 2.
    value = rating_score(model, targets, np.array([3, 7, 9]))
    assert value == pytest.approx(-np.sqrt(5 / 3), abs=1e-3)
    with pytest.raises(InvalidInput, match="'pick' does not predict ratings"):
        rating_score(Pick(), targets, np.array([3, 7, 9]))


def test_a_tuner_searches_on_its_own_split() -> None:
    carved: list[Dataset] = []

    def carve(data: Dataset) -> Split:
        carved.append(data)
        return Split(data, TARGETS)

    tune = tuner(carve, trials=20, seed=0)
    assert tune(Pick(PickConfig(item=1)), DATA).config.item == 2
    assert carved == [DATA]
    assert tune(Popularity(), DATA).config == PopularityConfig()
    assert len(carved) == 1


def test_the_item_graph_can_be_searched_like_any_other() -> None:
    start = ItemGraphConfig()
    model = ItemGraph(start)
    assert search(model, DATA, TARGETS, trials=1, seed=0) == start
    found = search(model, DATA, TARGETS, trials=3, seed=0)
    assert isinstance(found, ItemGraphConfig)
