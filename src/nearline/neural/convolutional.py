"""A convolutional network over the events of a history."""

from torch import Tensor, nn
from torch.nn import functional

from nearline.neural.layers import Dropout

KERNEL = 3


class Residual(nn.Module):
    """Residual block of two causal convolutions; the second has twice the dilation."""

    def __init__(self, width: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.dilation = dilation
        self.norms = nn.ModuleList((nn.LayerNorm(width), nn.LayerNorm(width)))
        self.convolutions = nn.ModuleList(
            nn.Conv1d(width, width, KERNEL, dilation=step) for step in (dilation, 2 * dilation)
        )
        self.drop = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block to float32 [n, length, width]."""
        out = x
        for at, (norm, convolution) in enumerate(zip(self.norms, self.convolutions, strict=True)):
            seen = (KERNEL - 1) * self.dilation * (at + 1)
            past = functional.pad(functional.relu(norm(out)).transpose(1, 2), (seen, 0))
            out = convolution(past).transpose(1, 2)
        added: Tensor = self.drop(out)
        return x + added


class Convolutional(nn.Module):
    """NextItNet encoder: dilated causal convolutions with a growing receptive field.

    F. Yuan, A. Karatzoglou, I. Arapakis, J. M. Jose, X. He, "A simple convolutional generative
    network for next item recommendation", WSDM 2019, section 3.

    Parameters
    ----------
    width : int
        Embedding size of an event.
    dilations : tuple of int
        Dilation of the first convolution of each block.
    dropout : float
        Dropout probability.
    """

    def __init__(self, width: int, *, dilations: tuple[int, ...], dropout: float) -> None:
        super().__init__()
        self.drop = Dropout(dropout)
        self.before, self.last = nn.LayerNorm(width), nn.LayerNorm(width)
        self.blocks = nn.ModuleList(Residual(width, step, dropout) for step in dilations)

    def forward(self, events: Tensor, lengths: Tensor) -> Tensor:
        """Encode each prefix of the histories: float32 [n, length, width].

        Parameters are those of `TransformerNetwork.forward`. The convolutions are causal, so
        `lengths` is not used.
        """
        del lengths
        x = self.drop(self.before(events))
        for block in self.blocks:
            x = block(x)
        normed: Tensor = self.last(x)
        return normed
