"""Frames to features and back (Oh et al. 2015; Chiappa et al. 2017, appendix B.1): convolutions, and their mirror image.

Activations are kept in channels-last order throughout.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldmodels.config.video import Convolution, convolved_sizes
from worldmodels.models.vae import SubPixelDeconvolution
from worldmodels.models.video.activations import ACTIVATIONS

FEW_CHANNELS = 4
"""Up to so many output channels, a transposed convolution of stride 2 is faster by phases: measured for 64 to 3 channels,
8x8, at 2 cores, 3.6 times forwards and 1.9 times with gradients; slower for 64 to 32."""


class FrameEncoder(nn.Module):
    """C: observations (B, C, H, W) to features z (B, Z), in the order channels, rows, columns.

    channels, size: of the observations. units: of a full layer after the convolutions; 0 for none. planes: channels that
    the action, one-hot, adds to the frame.
    """

    def __init__(
        self,
        channels: int,
        size: tuple[int, int],
        convolutions: list[Convolution],
        units: int,
        activation: str,
        planes: int = 0,
    ) -> None:
        super().__init__()
        self.planes = planes
        channels += planes
        layers: list[nn.Module] = []
        for layer in convolutions:
            convolution = nn.Conv2d(channels, layer.channels, layer.kernel, layer.stride, layer.padding)
            layers += [convolution, ACTIVATIONS[activation]()]
            channels = layer.channels
        layers.append(nn.Flatten())
        if units:
            height, width = convolved_sizes(*size, convolutions)[-1]
            layers += [nn.Linear(channels * height * width, units), ACTIVATIONS[activation]()]
        self.layers = nn.Sequential(*layers)

    def forward(self, observations: Tensor, actions: Tensor) -> Tensor:
        """Encode (B, C, H, W). actions: one-hot (B, A), seen only where they are planes on the frame."""
        if self.planes:
            planes = actions[..., None, None].expand(-1, -1, *observations.shape[2:])
            observations = torch.cat([observations, planes.to(observations)], dim=1)
        return self.layers(observations.contiguous(memory_format=torch.channels_last))


class FrameDecoder(nn.Module):
    """D: codes (B, K), such as hidden states, to what the pixels are read from, (B, C, H, W): brightness, or a logit.

    sizes: heights and widths of the frame, and of what each of `convolutions` made of it. outputs: channels of the frame
    and of those planes but the last.
    """

    def __init__(
        self,
        code_size: int,
        outputs: list[int],
        convolutions: list[Convolution],
        sizes: list[tuple[int, int]],
        activation: str,
    ) -> None:
        super().__init__()
        first = convolutions[-1].channels
        shape = (first, *sizes[-1])
        self.expand = nn.Sequential(
            nn.Linear(code_size, math.prod(shape)), ACTIVATIONS[activation](), nn.Unflatten(1, shape)
        )
        inputs = [*outputs[1:], first]
        layers: list[nn.Module] = []
        for index in reversed(range(len(outputs))):
            channels = (inputs[index], outputs[index])
            layers += [
                mirrored(convolutions[index], channels, sizes[index], sizes[index + 1]),
                ACTIVATIONS[activation](),
            ]
        self.layers = nn.Sequential(*layers[:-1])  # the last one is linear

    def forward(self, codes: Tensor) -> Tensor:
        """Draw (B, K)."""
        return self.layers(self.expand(codes).contiguous(memory_format=torch.channels_last))


def mirrored(
    layer: Convolution, channels: tuple[int, int], larger: tuple[int, int], smaller: tuple[int, int]
) -> nn.Module:
    """The transposed convolution that turns `smaller` planes back into `larger` ones, with Torch's first weights.

    channels: of its input and of its output. larger, smaller: rows and columns before and after the convolution.
    """
    inputs, outputs = channels
    pairs = list(zip(larger, smaller, layer.padding, strict=True))
    left_over = [wide - ((narrow - 1) * layer.stride + layer.kernel - 2 * pad) for wide, narrow, pad in pairs]
    fits = all(extra <= pad for extra, pad in zip(left_over, layer.padding, strict=True))
    transposed: nn.ConvTranspose2d
    if outputs <= FEW_CHANNELS and layer.stride == 2 and fits:
        transposed = CroppedDeconvolution(layer, channels, larger)
    else:
        extra = (left_over[0], left_over[1])
        transposed = nn.ConvTranspose2d(inputs, outputs, layer.kernel, layer.stride, layer.padding, extra)
    bound = 1 / math.sqrt(inputs * layer.kernel**2)  # torch itself would count the output's channels here
    for parameter in transposed.parameters():
        nn.init.uniform_(parameter, -bound, bound)
    return transposed


class CroppedDeconvolution(SubPixelDeconvolution):
    """A transposed convolution with padding: computed without, and its border cut off."""

    def __init__(self, layer: Convolution, channels: tuple[int, int], size: tuple[int, int]) -> None:
        super().__init__(*channels, layer.kernel)
        self.border, self.size = layer.padding, size

    def forward(self, inputs: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Map (B, in, h, w) to (B, out, H, W)."""
        rows, columns = (slice(pad, pad + length) for pad, length in zip(self.border, self.size, strict=True))
        return super().forward(inputs)[:, :, rows, columns]


def observations_from_frames(frames: Tensor, mean: Tensor) -> Tensor:
    """Turn frames (..., H, W, C) uint8 into observations (..., C, H, W): less the mean, divided by 255 (appendix A).

    mean: (C,) or (H, W, C). The memory order stays that of the frames.
    """
    return frames.to(mean.dtype).sub_(mean).div_(255).movedim(-1, -3)


def frames_from_observations(observations: Tensor, mean: Tensor) -> Tensor:
    """The reverse: (..., C, H, W) to (..., H, W, C) uint8, cut to what a byte holds."""
    brightness = observations.movedim(-3, -1).float() * 255 + mean
    return brightness.round_().clamp_(0, 255).to(torch.uint8)


def classes_from_frames(frames: Tensor, threshold: int) -> Tensor:
    """Turn grey frames (..., H, W, 1) uint8 into (..., 1, H, W) of 0 and 1: whether a pixel is above the threshold."""
    return (frames > threshold).float().movedim(-1, -3)


def frames_from_classes(probabilities: Tensor) -> Tensor:
    """Draw (..., 1, H, W) probabilities of the upper class: (..., H, W, 1) uint8, black or white."""
    return (probabilities.movedim(-3, -1) > 0.5).to(torch.uint8) * 255


def squared_error(predicted: Tensor, target: Tensor) -> Tensor:
    """Squared error of (N, C, H, W), summed over pixels and channels, mean over N (equation 7 of the paper's draft)."""
    return F.mse_loss(predicted.float(), target.float(), reduction="sum") / len(target)


def class_error(logits: Tensor, classes: Tensor) -> Tensor:
    """Cross-entropy of (N, 1, H, W) in nats, summed over pixels, mean over N."""
    return F.binary_cross_entropy_with_logits(logits.float(), classes.float(), reduction="sum") / len(classes)
