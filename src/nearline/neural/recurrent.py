"""Recurrent network that encodes histories."""

from typing import Any

import torch
from torch import Tensor, nn

from nearline.neural.layers import Dropout

# Version of ONNX's GRU operator.
OPSET = 14


class Recurrent(nn.Module):
    """GRU4Rec encoder: layers of gated recurrent units (GRU) that read the events in order.

    B. Hidasi, A. Karatzoglou, L. Baltrunas, D. Tikk, "Session-based recommendations with recurrent
    neural networks", ICLR 2016, section 3; the units are those of K. Cho et al., "Learning phrase
    representations using RNN encoder-decoder", EMNLP 2014.

    Parameters
    ----------
    width, hidden, layers : int
        Length of an event vector, size of the hidden state, and number of layers.
    dropout : float
        Dropout probability, applied before and after the recurrent layers.
    """

    def __init__(self, width: int, *, hidden: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.drop = Dropout(dropout)
        self.before = nn.LayerNorm(width)
        self.units = nn.ModuleList(
            nn.GRU(hidden if layer else width, hidden, batch_first=True) for layer in range(layers)
        )
        self.outputs = nn.Linear(hidden, width)

    def forward(self, events: Tensor, lengths: Tensor) -> Tensor:
        """Encode each prefix of n histories: float32 [n, length, width].

        The parameters are those of `TransformerNetwork.forward`. Because the recurrent state does
        not depend on later events, `lengths` is not used.
        """
        del lengths
        states = self.drop(self.before(events))
        for units in self.units:
            if torch.onnx.is_in_onnx_export():
                states = _exported(units, states)
            else:
                states, _ = units(states)
        outputs: Tensor = self.outputs(self.drop(states))
        return outputs


def _exported(units: Any, states: Tensor) -> Tensor:
    """Apply a GRU layer through the ONNX operator GRU, for export.

    PyTorch's own export accepts only sequences with the length of the example. The gates are
    in the order of the ONNX operator: update, reset, new.

    Parameters
    ----------
    units : nn.GRU
        The layer.
    states : Tensor
        Input of the layer, float32 [n, length, input size].

    Returns
    -------
    Tensor
        Hidden states, float32 [n, length, hidden size].
    """
    hidden = int(units.hidden_size)

    def ordered(parameter: Tensor) -> Tensor:
        reset, update, new = torch.split(parameter, hidden)
        return torch.cat((update, reset, new))

    biases = torch.cat((ordered(units.bias_ih_l0), ordered(units.bias_hh_l0)))
    n, length = states.shape[:2]
    found: Tensor = torch.onnx.ops.symbolic(
        "GRU",
        (
            states.transpose(0, 1),
            ordered(units.weight_ih_l0)[None],
            ordered(units.weight_hh_l0)[None],
            biases[None],
        ),
        {"hidden_size": hidden, "linear_before_reset": 1},
        dtype=states.dtype,
        shape=(length, 1, n, hidden),
        version=OPSET,
    )
    return found.squeeze(1).transpose(0, 1)
