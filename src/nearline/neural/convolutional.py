"""Convolutional network that encodes histories."""

from torch import Tensor, nn
from torch.nn import functional

from nearline.neural.layers import Dropout

KERNEL = 3


class Residual(nn.Module):
    """Residual block of two causal convolutions.

    Parameters
    ----------
    width : int
        Number of channels.
    dilation : int
        Distance between the positions that the first convolution reads; the second convolution
        has twice this dilation.
    dropout : float
        Dropout probability.
    """

    def __init__(self, width: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.dilation = dilation
        self.norms = nn.ModuleList((nn.LayerNorm(width), nn.LayerNorm(width)))
        self.convolutions = nn.ModuleList(
            nn.Conv1d(width, width, KERNEL, dilation=step) for step in (dilation, 2 * dilation)
        )
        self.drop = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block to n sequences: float32 [n, length, width] to the same shape."""
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
        """Encode each prefix of n histories: float32 [n, length, width].

        The parameters are those of `TransformerNetwork.forward`. Because the convolutions are
        causal, `lengths` is not used.
        """
        del lengths
        x = self.drop(self.before(events))
        for block in self.blocks:
            x = block(x)
        normed: Tensor = self.last(x)
        return normed
