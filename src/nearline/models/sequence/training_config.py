"""Settings that all models share which train a network."""

from msgspec import Struct

from nearline.models.settings import require


class TrainingConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a network is trained.

    Attributes
    ----------
    epochs : int
        Passes over the data. With validation data these are the most; the settings then say how
        many made the best NDCG@10.
    patience : int
        With validation data: epochs without a better NDCG@10 after which training ends.
    batch : int
        Events, or examples, of a step.
    rate : float
        Length of a step.
    weight_decay : float
        Share of a weight that a step of length one takes away.
    warmup : int
        Steps over which the rate rises to its length.
    cosine : bool
        Let the rate fall to zero over all epochs.
    memory : int
        Weights are kept as their running mean over about so many steps.
    validation_users : int
        Most users that NDCG@10 is measured on after an epoch.
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
        for field in ("epochs", "patience", "batch", "memory", "validation_users"):
            require(self, field, 1)
        require(self, "rate", 0, 1, above=True)
        require(self, "weight_decay", 0)
        require(self, "warmup", 0)
