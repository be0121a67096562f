"""Common parts of models that train a network with PyTorch and serve it as an ONNX graph."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from nearline.common.inference import OnnxGraph
from nearline.data.dataset import Dataset, FloatArray, Histories, IntArray
from nearline.models.base import Ranking, check_indices, check_k
from nearline.models.dense_scores import DenseModel, rank_cosines, rank_dense
from nearline.models.validation import draw_users, mean_ndcg

if TYPE_CHECKING:
    from nearline.neural.training import TrainingPlan

K = 10


class NeuralModel(DenseModel):
    """Abstract base class of neural models, whose settings include `training`.

    Popular items are recommended to a user without a known liked event.
    """

    tunes_itself: ClassVar[bool] = True

    def __init__(self, config: Struct | None = None) -> None:
        super().__init__(config)
        self._table: FloatArray = np.zeros((0, self.config.width), dtype=np.float32)
        self._popularity: FloatArray = np.zeros(0, dtype=np.float32)
        self._bytes: NDArray[np.uint8] = np.zeros(0, dtype=np.uint8)
        self._graph: OnnxGraph | None = None

    @property
    def n_items(self) -> int:
        """Number of items that the model can score."""
        return len(self._table)

    def similar(self, items: IntArray, k: int) -> Ranking:
        """Return the `k` items whose vectors have the largest cosine; only cosines above 0."""
        check_k(k)
        check_indices(items, self.n_items, "items")
        return rank_cosines(self._table[: self.n_items], items, k)

    @abstractmethod
    def _scores(self, histories: Histories, *network: Any) -> FloatArray:
        """Return the scores of all items by a network, which may still be in training."""

    def _user_features(self, data: Dataset) -> FloatArray | None:
        """Return the user features that the network uses; None for most networks."""
        del data
        return None

    def _plan(self) -> "TrainingPlan":
        """Return the training settings as a `TrainingPlan`."""
        from nearline.neural.training import TrainingPlan

        training = self.config.training
        return TrainingPlan(
            epochs=training.epochs,
            patience=training.patience,
            rate=training.rate,
            weight_decay=training.weight_decay,
            warmup=training.warmup,
            cosine=training.cosine,
            memory=training.memory,
        )

    def _judge(
        self, data: Dataset, validation: Histories | None, seed: int
    ) -> Callable[..., float] | None:
        """Return a function that computes the NDCG@10 of a network; None without targets."""
        if validation is None:
            return None
        users = draw_users(validation, self.config.training.validation_users, seed)
        if len(users) == 0:
            return None
        histories, truth = data.histories.select(users), validation.select(users)
        features = self._user_features(data)
        if features is not None:
            histories = replace(histories, features=features[users])
        self._popularity = np.zeros(data.n_items, dtype=np.float32)

        def judge(*network: Any) -> float:
            def score(block: Histories) -> FloatArray:
                extra = () if features is None else (block.features,)
                return self._scores(block, *network, *extra)

            ranking = rank_dense(
                score,
                histories,
                K,
                data.n_items,
                exclude_seen=True,
                allowed=None,
            )
            return mean_ndcg(ranking.items, truth)

        return judge

    def _set_fitted(self, graph: bytes, epochs: int, liked: IntArray, data: Dataset) -> None:
        """Store the result of a fit: the graph, the number of epochs and the popularity."""
        self._popularity = np.log1p(np.bincount(liked, minlength=data.n_items)).astype(np.float32)
        self._set_graph(np.frombuffer(graph, dtype=np.uint8).copy())
        training = msgspec.structs.replace(self.config.training, epochs=epochs)
        self.config = msgspec.structs.replace(self.config, training=training)
        self.fitted_on = data.histories

    def _set_graph(self, graph: NDArray[np.uint8]) -> None:
        self._bytes = graph
        self._graph = OnnxGraph(graph.tobytes())
