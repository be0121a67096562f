"""What all networks are made of: layers that draw from a generator of their own."""

import math

import torch
from torch import Tensor, nn


class Dropout(nn.Module):
    """Set a share of the numbers to zero while training, and scale the others up.

    `nn.Dropout` draws from the generator that the whole process shares; this one from `generator`,
    which `training.train` sets.

    N. Srivastava et al., "Dropout", JMLR 15, 2014, section 4.

    Parameters
    ----------
    share : float
        Chance of a zero, 0 to below 1, to the next 1/256.
    whole_rows : bool
        Drop rows (along the last axis) as a whole, and scale nothing: for a part of a sum that is
        to be done without.
    """

    def __init__(self, share: float, *, whole_rows: bool = False) -> None:
        super().__init__()
        self.share, self.whole_rows = share, whole_rows
        self.generator: torch.Generator | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Drop; the identity outside training."""
        if not self.training or self.share == 0:
            return x
        # A byte a number, eight to a draw: drawing one number at a time took a quarter of a step.
        left_out = min(round(self.share * 256), 255)
        shape = (*x.shape[:-1], 1) if self.whole_rows else x.shape
        n = math.prod(shape)
        words = torch.empty(-(-n // 8), dtype=torch.int64, device=x.device)
        words.random_(-(2**63), None, generator=self.generator)
        kept = (words.view(torch.uint8)[:n] >= left_out).view(shape)
        return x * kept if self.whole_rows else x * kept * (256.0 / (256 - left_out))


def initialise(network: nn.Module, generator: torch.Generator) -> None:
    """Draw all parameters: matrices by Glorot's rule, embeddings small, shifts 0 and scales 1.

    A network is built on the device ``meta`` and drawn here, so that the generator which the whole
    process shares stays where it was. X. Glorot, Y. Bengio, "Understanding the difficulty of
    training deep feedforward neural networks", AISTATS 2010, equation 16.
    """
    with torch.no_grad():
        for module in network.modules():
            for name, parameter in module.named_parameters(recurse=False):
                if isinstance(module, nn.Embedding):
                    parameter.normal_(0.0, 1.0 / math.sqrt(parameter.shape[1]), generator=generator)
                elif parameter.dim() > 1:
                    nn.init.xavier_uniform_(parameter, generator=generator)
                else:
                    parameter.fill_(1.0 if name == "weight" else 0.0)
