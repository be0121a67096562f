"""Causal transformer network that encodes histories."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from nearline.neural.layers import Dropout


class FrequencyFilter(nn.Module):
    """Causal filter that scales the high frequencies of a sequence, per dimension.

    The mean of the last `window` vectors is the low-frequency part, and the rest the high one:

        low + weight * (x - low)

    It replaces the Fourier transform over the whole sequence in Y. Shin et al., "An attentive
    inductive bias for sequential recommendation beyond the self-attention", AAAI 2024 (BSARec),
    section 4.2, in which each position would see later ones.

    Parameters
    ----------
    width : int
        Length of a vector.
    window : int
        Number of vectors in a mean.
    """

    def __init__(self, width: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.weight = nn.Parameter(torch.empty(width))

    def extra_repr(self) -> str:
        """Return the attributes that `repr` must show, since `export` identifies networks by it."""
        return f"window={self.window}"

    def forward(self, x: Tensor) -> Tensor:
        """Filter n sequences, float32 [n, length, width]."""
        steps = torch.arange(x.shape[1], device=x.device)
        gaps = steps[:, None] - steps
        inside = ((gaps >= 0) & (gaps < self.window)).float()
        low = (inside / inside.sum(dim=1, keepdim=True)) @ x
        return low + self.weight * (x - low)


class Block(nn.Module):
    """Pre-norm transformer block: self-attention and a feed-forward layer with residuals.

    Parameters
    ----------
    width, heads : int
        Length of an event vector and number of attention heads.
    dropout : float
        Dropout probability.
    frequency : float
        Share of a `FrequencyFilter` that is mixed with the attention; 0 for none.
    window : int
        Number of vectors in a mean of the filter.
    """

    def __init__(
        self, width: int, heads: int, dropout: float, frequency: float = 0.0, window: int = 4
    ) -> None:
        super().__init__()
        self.heads, self.frequency = heads, frequency
        self.filter = FrequencyFilter(width, window) if frequency else None
        self.before_attention, self.before_feed = nn.LayerNorm(width), nn.LayerNorm(width)
        self.inputs, self.outputs = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.feed_in, self.feed_out = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.drop = Dropout(dropout)

    def extra_repr(self) -> str:
        """Return the attributes that `repr` must show, since `export` identifies networks by it."""
        return f"heads={self.heads}, frequency={self.frequency}"

    def forward(self, x: Tensor, hidden: Tensor) -> Tensor:
        """Apply the block to n sequences.

        Parameters
        ----------
        x : float32 [n, length, width]
            Input vectors.
        hidden : float32 [length, length]
            Mask that is added to the attention scores: -inf if the position of the row must not
            attend to the position of the column, 0 otherwise.

        Returns
        -------
        Tensor
            Output vectors, float32 [n, length, width].
        """
        n, length, width = x.shape
        normed = self.before_attention(x)
        parts = self.inputs(normed)
        parts = parts.view(n, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        queries, keys, values = parts[0], parts[1], parts[2]
        products = queries @ keys.transpose(-1, -2) / math.sqrt(width // self.heads)
        mixed = torch.softmax(products + hidden, dim=-1) @ values
        attended = self.outputs(mixed.transpose(1, 2).reshape(n, length, width))
        if self.filter is not None:
            attended = (1 - self.frequency) * attended + self.frequency * self.filter(normed)
        x = x + self.drop(attended)
        fed = self.drop(functional.gelu(self.feed_in(self.before_feed(x))))
        added: Tensor = self.drop(self.feed_out(fed))
        return x + added


class TransformerNetwork(nn.Module):
    """SASRec encoder: position j attends to the events up to j and predicts event j + 1.

    Positions are counted from the newest event, so that positional embeddings of recent events
    are the same in histories of any length.

    W.-C. Kang, J. McAuley, "Self-attentive sequential recommendation", ICDM 2018, section III; the
    norm before each layer as in R. Xiong et al., "On layer normalization in the transformer
    architecture", ICML 2020.

    Parameters
    ----------
    width, heads, blocks, longest : int
        Length of an event vector, number of attention heads, number of blocks, and maximum length
        of a history.
    dropout : float
        Dropout probability.
    frequency, window : float, int
        Share and window of a `FrequencyFilter` in each block.
    """

    def __init__(
        self,
        width: int,
        *,
        heads: int,
        blocks: int,
        longest: int,
        dropout: float,
        frequency: float = 0.0,
        window: int = 4,
    ) -> None:
        super().__init__()
        self.positions = nn.Embedding(longest, width)
        self.drop = Dropout(dropout)
        self.blocks = nn.ModuleList(
            Block(width, heads, dropout, frequency, window) for _ in range(blocks)
        )
        self.last = nn.LayerNorm(width)

    def forward(self, events: Tensor, lengths: Tensor) -> Tensor:
        """Encode each prefix of n histories.

        Parameters
        ----------
        events : float32 [n, length, width]
            Event vectors, oldest first; positions after the newest event are padding.
        lengths : int64 [n]
            Number of events of each history, at least 1.

        Returns
        -------
        Tensor
            Vectors, float32 [n, length, width]: position j encodes the events up to j.
        """
        steps = torch.arange(events.shape[1], device=events.device)
        age = (lengths[:, None] - 1 - steps).clamp(min=0)
        x = self.drop(events * math.sqrt(events.shape[2]) + self.positions(age))
        hidden = torch.where(steps[:, None] >= steps, 0.0, -math.inf)
        for block in self.blocks:
            x = block(x, hidden)
        normed: Tensor = self.last(x)
        return normed
