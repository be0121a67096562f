"""GRU4Rec: a recurrent network over the latest events of a user."""

from typing import Any, ClassVar

from msgspec import Struct

from nearline.models.base import Range, Space
from nearline.models.sequence.sequence_model import SequenceConfig, SequenceModel
from nearline.models.settings import require


class Gru4RecConfig(SequenceConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `Gru4Rec` in addition to those of `SequenceConfig`.

    Attributes
    ----------
    hidden : int
        Size of the hidden state.
    layers : int
        Number of recurrent layers.
    """

    hidden: int = 128
    layers: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "hidden", 1, 8_192)
        require(self, "layers", 1, 32)


class Gru4Rec(SequenceModel):
    """A recurrent network that predicts the next event from the events before it.

    B. Hidasi, A. Karatzoglou, L. Baltrunas, D. Tikk, "Session-based recommendations with recurrent
    neural networks", ICLR 2016; with negatives shared by a batch as in B. Hidasi, A. Karatzoglou,
    "Recurrent neural networks with top-k gains for session-based recommendations", CIKM 2018,
    section 3.1, and softmax loss over them.
    """

    name: ClassVar[str] = "gru4rec"
    config_type: ClassVar[type[Struct]] = Gru4RecConfig
    space: ClassVar[Space] = {
        "hidden": Range(64, 512, log=True),
        "dropout": Range(0.1, 0.6),
        "objective.id_dropout": Range(0.0, 0.8),
        "objective.power": Range(0.0, 1.0),
        "training.rate": Range(0.0003, 0.003, log=True),
        "training.weight_decay": Range(0.001, 1.0, log=True),
    }

    def _network(self) -> Any:
        from nearline.neural.recurrent import Recurrent

        config = self.config
        return Recurrent(
            config.width, hidden=config.hidden, layers=config.layers, dropout=config.dropout
        )
