"""An LSTM whose gates pass on gradients of bounded size (Oh et al. 2015): long unrolls of large errors stay stable."""

from typing import Any

import torch
from torch import Tensor, nn


class ClippedLSTM(nn.Module):
    """Gates are ordered input, forget, output, candidate.

    clip: the largest absolute gradient that their sums, before sigmoid and tanh, take; None: any.
    """

    def __init__(self, input_size: int, hidden_size: int, clip: float | None) -> None:
        super().__init__()
        self.clip = clip
        self.inputs = nn.Linear(input_size, 4 * hidden_size)
        self.recurrent = nn.Linear(hidden_size, 4 * hidden_size, bias=False)

    def forward(self, from_inputs: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        """One step. from_inputs: what `inputs` made of them, (B, 4H). Returns the next hidden and cell state (B, H)."""
        sums = from_inputs + self.recurrent(hidden)
        if self.clip is not None and torch.is_grad_enabled():
            sums = _ClippedGradient.apply(sums, self.clip)
        input_gate, forget_gate, output_gate, candidate = sums.chunk(4, dim=1)
        cell = forget_gate.sigmoid() * cell + input_gate.sigmoid() * candidate.tanh()
        return output_gate.sigmoid() * cell.tanh(), cell


class _ClippedGradient(torch.autograd.Function):
    """The identity, whose gradient is cut to [-clip, clip]."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, clip: float) -> Tensor:
        ctx.clip = clip
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return gradient.clamp(-ctx.clip, ctx.clip), None
