"""Randomised leaky ReLU (Xu et al. 2015): negative inputs keep a random share of their size, another for each number."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LOWER, UPPER = 1 / 8, 1 / 3
"""The paper's smallest and largest slope; in evaluation it is their mean, 11/48."""


class RandomisedReLU(nn.Module):
    """`nn.RReLU` with slopes in 256 steps, four times as fast on a CPU: one random byte a number, drawn eight at once.

    Takes from torch's global generator, in training only.
    """

    def forward(self, inputs: Tensor) -> Tensor:
        """Map a tensor of any layout to one of the same memory order."""
        if self.training:
            return _RandomLeak.apply(inputs)
        return F.leaky_relu(inputs, (LOWER + UPPER) / 2)


class _RandomLeak(torch.autograd.Function):
    """max(x, slope * x): slopes are below 1. Kept for the gradient: a byte a number, and the output."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor) -> Tensor:
        noise = random_bytes(inputs)
        outputs = slopes(noise, inputs.dtype).mul_(inputs)
        torch.maximum(outputs, inputs, out=outputs)
        ctx.save_for_backward(noise, outputs)
        return outputs

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        noise, outputs = ctx.saved_tensors
        passed = torch.ops.aten.threshold_backward(gradient, outputs, 0)  # 0 where the output is negative
        return passed.lerp_(gradient, slopes(noise, gradient.dtype))


def random_bytes(like: Tensor) -> Tensor:
    """Uniform bytes in the shape and memory order of `like`, without the gaps that some convolutions leave between rows."""
    count = like.numel()
    words = torch.empty((count + 7) // 8, dtype=torch.int64, device=like.device)
    words.random_(-(2**63), None)  # all 64 bits: the default leaves the sign bit 0
    dense = torch.empty_like(like, device="meta")
    return words.view(torch.uint8).as_strided(dense.shape, dense.stride())


def slopes(noise: Tensor, dtype: torch.dtype) -> Tensor:
    """Slopes in (LOWER, UPPER), the middles of 256 equal parts."""
    step = (UPPER - LOWER) / 256
    return noise.to(dtype).mul_(step).add_(LOWER + step / 2)


class LeakyReLU(nn.LeakyReLU):
    """Negative inputs keep a tenth of their size."""

    def __init__(self) -> None:
        super().__init__(0.1)


NEGATIVE_SLOPES = {"rrelu": (LOWER + UPPER) / 2, "relu": 0.0, "leaky-relu": LeakyReLU().negative_slope}
"""By name; of the randomised one, the mean."""
ACTIVATIONS: dict[str, type[nn.Module]] = {"rrelu": RandomisedReLU, "relu": nn.ReLU, "leaky-relu": LeakyReLU}
