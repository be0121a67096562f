"""SASRec: a transformer over what a user did last."""

from typing import Any, ClassVar

from msgspec import Struct

from nearline.errors import InvalidInput
from nearline.models.base import Range, Space
from nearline.models.sequence.sequence_model import SequenceConfig, SequenceModel
from nearline.models.settings import require


class SasRecConfig(SequenceConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `SasRec` beside those of `SequenceConfig`.

    Attributes
    ----------
    blocks : int
        Layers of attention.
    heads : int
        Attention heads of a block; they share the width.
    """

    blocks: int = 2
    heads: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "blocks", 1)
        require(self, "heads", 1)
        if self.width % self.heads:
            raise InvalidInput(
                f"width={self.width} cannot be shared by heads={self.heads}; use a multiple",
                field="heads",
            )


class SasRec(SequenceModel):
    """A causal transformer that tells the next event from the last ones.

    W.-C. Kang, J. McAuley, "Self-attentive sequential recommendation", ICDM 2018; with sampled
    softmax as in A. Klenitskiy, A. Vasilev, "Turning dross into gold loss: is BERT4Rec really
    better than SASRec?", RecSys 2023, or gBCE: A. Petrov, C. Macdonald, "gSASRec: reducing
    overconfidence in sequential recommendation trained with negative sampling", RecSys 2023.
    """

    name: ClassVar[str] = "sasrec"
    config_type: ClassVar[type[Struct]] = SasRecConfig
    space: ClassVar[Space] = {
        "dropout": Range(0.1, 0.6),
        "blocks": Range(1, 3),
        "objective.id_dropout": Range(0.0, 0.8),
        "objective.power": Range(0.0, 1.0),
        "training.rate": Range(0.0003, 0.003, log=True),
        "training.weight_decay": Range(0.001, 1.0, log=True),
    }

    def _network(self) -> Any:
        from nearline.neural.transformer import TransformerNetwork

        config = self.config
        return TransformerNetwork(
            config.width,
            heads=config.heads,
            blocks=config.blocks,
            longest=config.longest,
            dropout=config.dropout,
        )
