"""Two towers: one makes a vector of a user, one of an item, and a score is their cosine."""

from typing import Any, ClassVar

from msgspec import Struct

from nearline.models.base import Range, Space
from nearline.models.sequence_model import SequenceConfig, SequenceModel, SequenceObjective
from nearline.models.settings import require


class TwoTowerConfig(SequenceConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `TwoTower` beside those of `SequenceConfig`.

    Attributes
    ----------
    hidden : int
        Units of the perceptron of the user tower.
    """

    hidden: int = 256
    longest: int = 100
    dropout: float = 0.2
    objective: SequenceObjective = SequenceObjective(unit=True, temperature=0.1, in_batch=1024)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "hidden", 1)


class TwoTower(SequenceModel):
    """A tower pools what a user liked, the other knows items by id and features.

    X. Yi, J. Yang, L. Hong, D. Z. Cheng, L. Heldt, A. Kumthekar, Z. Zhao, L. Wei, E. Chi,
    "Sampling-bias-corrected neural modeling for large corpus item recommendations", RecSys 2019:
    unit vectors, a temperature, and softmax over the items of the batch with logQ correction;
    beside them drawn items: J. Yang et al., "Mixed negative sampling for learning two-tower neural
    networks in recommendations", WWW 2020 companion.
    """

    name: ClassVar[str] = "two_tower"
    config_type: ClassVar[type[Struct]] = TwoTowerConfig
    space: ClassVar[Space] = {
        "dropout": Range(0.0, 0.6),
        "objective.temperature": Range(0.03, 0.3, log=True),
        "objective.id_dropout": Range(0.0, 0.8),
        "objective.power": Range(0.0, 1.0),
        "training.rate": Range(0.0003, 0.003, log=True),
        "training.weight_decay": Range(0.001, 1.0, log=True),
    }

    def _network(self) -> Any:
        from nearline.neural.pooled import Pooled

        config = self.config
        return Pooled(config.width, hidden=config.hidden, dropout=config.dropout)
