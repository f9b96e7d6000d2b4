"""First weights with which signals keep their size through the layers (He et al. 2015, arXiv 1502.01852, eq. 10).

PyTorch's own, bounded by 1 / sqrt(inputs), make a signal smaller at every layer: deep networks then begin by drawing the same
frame whatever they see, and a short training spends its time on growing them.
"""

import math

from torch import nn

Layer = nn.Conv2d | nn.ConvTranspose2d | nn.Linear
ONE_HOT = 1
"""Numbers that matter in what a layer of a one-hot action sums: with this, a product with it keeps its other factor's size."""


def draw_he(layer: Layer, negative_slope: float | None, summed: float | None = None) -> None:
    """Draw the layer's weight from U(-b, b), which has the variance b^2 / 3, such that outputs vary as inputs do; no bias.

    negative_slope: of the rectifier that follows (0 for a plain ReLU), which takes that much more; None where none follows.
    summed: numbers that an output is a sum of, where `summed_inputs` does not know better.
    """
    gain = 1.0 if negative_slope is None else 2 / (1 + negative_slope**2)
    bound = math.sqrt(3 * gain / (summed or summed_inputs(layer)))
    nn.init.uniform_(layer.weight, -bound, bound)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def summed_inputs(layer: Layer) -> float:
    """Numbers that one output of a layer is a weighted sum of; a mean where a transposed convolution's differ."""
    if isinstance(layer, nn.Linear):
        return layer.in_features
    area = math.prod(layer.kernel_size)
    if isinstance(layer, nn.ConvTranspose2d):
        return layer.in_channels * area / math.prod(layer.stride)
    return layer.in_channels * area
