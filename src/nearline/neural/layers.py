"""Dropout and initialisation of networks with an explicit random generator."""

import math

import torch
from torch import Tensor, nn


class Dropout(nn.Module):
    """Dropout layer with its own random generator, for reproducible training.

    `nn.Dropout` uses the process-wide generator; this layer uses `generator`, which
    `training.train` sets.

    N. Srivastava et al., "Dropout", JMLR 15, 2014, section 4.

    Parameters
    ----------
    share : float
        Dropout probability in [0, 1), rounded to a multiple of 1/256.
    whole_rows : bool
        Whether to drop whole vectors along the last axis, without rescaling the others, instead
        of single values. This is used for summands that may be missing at serving time.
    """

    def __init__(self, share: float, *, whole_rows: bool = False) -> None:
        super().__init__()
        self.share, self.whole_rows = share, whole_rows
        self.generator: torch.Generator | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Apply dropout to a tensor of any shape; outside training, return it unchanged."""
        if not self.training or self.share == 0:
            return x
        # One random byte per element, drawn as int64: drawing floats takes a quarter of a step.
        threshold = min(round(self.share * 256), 255)
        shape = (*x.shape[:-1], 1) if self.whole_rows else x.shape
        n = math.prod(shape)
        random = torch.empty(-(-n // 8), dtype=torch.int64, device=x.device)
        random.random_(-(2**63), None, generator=self.generator)
        kept = (random.view(torch.uint8)[:n] >= threshold).view(shape)
        return x * kept if self.whole_rows else x * kept * (256.0 / (256 - threshold))


def initialise(network: nn.Module, generator: torch.Generator) -> None:
    """Initialise all parameters of a network in place.

    Matrices are drawn from the Glorot uniform distribution, and embeddings of length d from the
    normal distribution with standard deviation 1 / sqrt(d). Biases are 0 and scales are 1.

    Networks are built on the ``meta`` device and initialised here, so that the process-wide
    generator is not used. X. Glorot, Y. Bengio, "Understanding the difficulty of training deep
    feedforward neural networks", AISTATS 2010, equation 16.
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
