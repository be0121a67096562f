"""NextItNet: a convolutional network over the latest events of a user."""

from typing import Any, ClassVar

from msgspec import Struct

from nearline.errors import InvalidInput
from nearline.models.base import Range, Space
from nearline.models.sequence.sequence_model import SequenceConfig, SequenceModel
from nearline.models.settings import require_each


class NextItNetConfig(SequenceConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `NextItNet` in addition to those of `SequenceConfig`.

    Attributes
    ----------
    dilations : tuple of int
        Dilation of the first convolution of each block; the second has twice this dilation.
    """

    dilations: tuple[int, ...] = (1, 4)

    def __post_init__(self) -> None:
        super().__post_init__()
        require_each(self, "dilations", 1, 10_000, most=64)
        if not self.dilations or min(self.dilations) < 1:
            raise InvalidInput(
                f"dilations are {self.dilations}; give at least one, each at least 1",
                field="dilations",
            )


class NextItNet(SequenceModel):
    """Dilated causal convolutions that predict the next event from the events before it.

    F. Yuan, A. Karatzoglou, I. Arapakis, J. M. Jose, X. He, "A simple convolutional generative
    network for next item recommendation", WSDM 2019.
    """

    name: ClassVar[str] = "nextitnet"
    config_type: ClassVar[type[Struct]] = NextItNetConfig
    space: ClassVar[Space] = {
        "dropout": Range(0.1, 0.6),
        "objective.id_dropout": Range(0.0, 0.8),
        "objective.power": Range(0.0, 1.0),
        "training.rate": Range(0.0003, 0.003, log=True),
        "training.weight_decay": Range(0.001, 1.0, log=True),
    }

    def _network(self) -> Any:
        from nearline.neural.convolutional import Convolutional

        config = self.config
        return Convolutional(config.width, dilations=config.dilations, dropout=config.dropout)
