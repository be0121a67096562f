"""SASRec: a transformer over the latest events of a user."""

from typing import Any, ClassVar

from msgspec import Struct

from nearline.errors import InvalidInput
from nearline.models.base import Range, Space
from nearline.models.sequence.sequence_model import SequenceConfig, SequenceModel
from nearline.models.settings import require


class SasRecConfig(SequenceConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `SasRec` in addition to those of `SequenceConfig`.

    Attributes
    ----------
    blocks : int
        Number of transformer blocks.
    heads : int
        Attention heads per block; must divide the width.
    frequency : float
        Share of a causal frequency filter that is mixed with the attention of each block, as in
        BSARec; 0 for none.
    window : int
        Number of events whose mean is the low-frequency part of the filter.
    """

    blocks: int = 2
    heads: int = 2
    frequency: float = 0.0
    window: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "blocks", 1, 64)
        require(self, "heads", 1, 256)
        require(self, "frequency", 0, 1)
        require(self, "window", 1, 1_000)
        if self.width % self.heads:
            raise InvalidInput(
                f"width={self.width} is not a multiple of heads={self.heads}",
                field="heads",
            )


class SasRec(SequenceModel):
    """A causal transformer that predicts the next event from the events before it.

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
            frequency=config.frequency,
            window=config.window,
        )
