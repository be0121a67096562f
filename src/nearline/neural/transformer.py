"""A causal transformer over the events of a history."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from nearline.neural.layers import Dropout


class Block(nn.Module):
    """Attention and a feed-forward layer, each behind a norm and beside a shortcut (pre-norm)."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.before_attention, self.before_feed = nn.LayerNorm(width), nn.LayerNorm(width)
        self.inputs, self.outputs = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.feed_in, self.feed_out = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.drop = Dropout(dropout)

    def extra_repr(self) -> str:
        """Name what the shapes do not tell."""
        return f"heads={self.heads}"

    def forward(self, x: Tensor, hidden: Tensor) -> Tensor:
        """Apply the block to float32 [n, length, width]; `hidden` is added to the attention."""
        n, length, width = x.shape
        parts = self.inputs(self.before_attention(x))
        parts = parts.view(n, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        queries, keys, values = parts[0], parts[1], parts[2]
        products = queries @ keys.transpose(-1, -2) / math.sqrt(width // self.heads)
        mixed = torch.softmax(products + hidden, dim=-1) @ values
        x = x + self.drop(self.outputs(mixed.transpose(1, 2).reshape(n, length, width)))
        fed = self.drop(functional.gelu(self.feed_in(self.before_feed(x))))
        added: Tensor = self.drop(self.feed_out(fed))
        return x + added


class TransformerNetwork(nn.Module):
    """SASRec's encoder: position j sees events up to j and says what comes next.

    Positions are counted from the newest event, so that the last few mean the same in histories of
    any length.

    W.-C. Kang, J. McAuley, "Self-attentive sequential recommendation", ICDM 2018, section III; the
    norm before each layer as in R. Xiong et al., "On layer normalization in the transformer
    architecture", ICML 2020.

    Parameters
    ----------
    width, heads, blocks, longest : int
        Numbers a position has, attention heads, blocks, and most positions.
    dropout : float
        Share of numbers dropped while training.
    """

    def __init__(
        self, width: int, *, heads: int, blocks: int, longest: int, dropout: float
    ) -> None:
        super().__init__()
        self.positions = nn.Embedding(longest, width)
        self.drop = Dropout(dropout)
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(blocks))
        self.last = nn.LayerNorm(width)

    def forward(self, events: Tensor, lengths: Tensor) -> Tensor:
        """Vectors after each event, float32 [n, length, width].

        Parameters
        ----------
        events : float32 [n, length, width]
            Vectors of the events, oldest first; whatever stands behind the newest is not seen.
        lengths : int64 [n]
            How many events each row has, at least 1.
        """
        steps = torch.arange(events.shape[1], device=events.device)
        age = (lengths[:, None] - 1 - steps).clamp(min=0)
        x = self.drop(events * math.sqrt(events.shape[2]) + self.positions(age))
        hidden = torch.where(steps[:, None] >= steps, 0.0, -math.inf)
        for block in self.blocks:
            x = block(x, hidden)
        normed: Tensor = self.last(x)
        return normed
