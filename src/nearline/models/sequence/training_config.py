"""Settings of training that all neural models have."""

from msgspec import Struct

from nearline.models.settings import require


class TrainingConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the training loop.

    Attributes
    ----------
    epochs : int
        Number of passes over the data. With validation data, this is the maximum; afterwards, the
        settings contain the number with the best NDCG@10.
    patience : int
        Number of epochs without a better NDCG@10 after which training stops, if there is validation
        data.
    batch : int
        Number of events, or of liked items, in a step.
    rate : float
        Learning rate.
    weight_decay : float
        Weight decay of AdamW.
    warmup : int
        Number of steps over which the learning rate increases linearly to `rate`.
    cosine : bool
        Whether the learning rate decreases to zero over all epochs, following a cosine.
    memory : int
        Approximate number of steps over which weights are averaged.
    validation_users : int
        Maximum number of users in the computation of NDCG@10 after each epoch.
    """

    epochs: int = 40
    patience: int = 5
    batch: int = 1024
    rate: float = 0.002
    weight_decay: float = 0.01
    warmup: int = 100
    cosine: bool = False
    memory: int = 300
    validation_users: int = 10_000

    def __post_init__(self) -> None:
        for field in ("epochs", "patience"):
            require(self, field, 1, 100_000)
        for field in ("batch", "memory", "validation_users"):
            require(self, field, 1, 1_000_000)
        require(self, "rate", 0, 1, above=True)
        require(self, "weight_decay", 0, 1e6)
        require(self, "warmup", 0, 1_000_000_000)
