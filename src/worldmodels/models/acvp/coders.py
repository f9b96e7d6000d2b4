"""Encoders and decoders of action-conditional video prediction: convolutions, or the multi-layer perceptron's full layers."""

import math

from torch import Tensor, nn

from worldmodels.config.acvp import ACVPOptions
from worldmodels.models.video.activations import ACTIVATIONS
from worldmodels.models.video.coders import FrameDecoder, FrameEncoder


class FullEncoder(nn.Module):
    """Observations (B, C, H, W) to features (B, Z) through a narrow full layer."""

    def __init__(self, pixels: int, narrow: int, units: int, activation: str) -> None:
        super().__init__()
        layers = [nn.Linear(pixels, narrow), ACTIVATIONS[activation](), nn.Linear(narrow, units)]
        self.layers = nn.Sequential(*layers, ACTIVATIONS[activation]())

    def forward(self, observations: Tensor, actions: Tensor) -> Tensor:
        """Encode (B, C, H, W); the action comes later."""
        return self.layers(observations.flatten(1))


class FullDecoder(nn.Module):
    """Codes (B, K) to pixels (B, C, H, W) through a narrow full layer."""

    def __init__(self, code_size: int, narrow: int, shape: tuple[int, int, int], activation: str) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Linear(code_size, narrow), ACTIVATIONS[activation]()),
            *(nn.Linear(narrow, math.prod(shape)), nn.Unflatten(1, shape)),
        )

    def forward(self, codes: Tensor) -> Tensor:
        """Draw (B, K)."""
        return self.layers(codes)


def encoder_of(options: ACVPOptions) -> nn.Module:
    """What turns stacked frames into features (B, encoder_units)."""
    channels, size = options.depth * options.channels, (options.height, options.width)
    if not options.convolutions:
        pixels = channels * math.prod(size)
        return FullEncoder(pixels, options.narrow_units, options.encoder_units, options.activation)
    return FrameEncoder(channels, size, options.convolutions, options.encoder_units, options.activation)


def decoder_of(options: ACVPOptions) -> nn.Module:
    """What draws codes (B, memory_size)."""
    if not options.convolutions:
        shape = (options.channels, options.height, options.width)
        return FullDecoder(options.memory_size, options.narrow_units, shape, options.activation)
    outputs = [options.channels, *reversed(options.drawing_channels)]
    return FrameDecoder(
        options.memory_size, outputs, options.drawing_convolutions, options.decoder_sizes, options.activation
    )
