"""Convolutional variational autoencoder of World Models (Ha & Schmidhuber 2018, appendix A.1).

Frames are 64x64 RGB, convolutions have no padding. Latent z = mean + exp(log_variance / 2) * noise.

The transposed convolutions are the paper's, in weights and in values, but are computed as ordinary stride-1
convolutions: see `SubPixelDeconvolution`. Activations are kept in channels-last order throughout.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldmodels.config.models import VAEOptions
from worldmodels.models.first_weights import draw_he

FRAME_SIZE = 64
FEATURES = 1024
"""Numbers after the encoder's convolutions (2x2x256), and before the decoder's (1x1x1024)."""


class VAEOutput(NamedTuple):
    """What the VAE says about a batch of observations."""

    reconstruction: Tensor  # (B, 3, 64, 64), in [0, 1]
    mean: Tensor  # (B, Z)
    log_variance: Tensor  # (B, Z)


class VAELoss(NamedTuple):
    """Terms of the loss, in squared units and nats per frame."""

    total: Tensor  # ()
    reconstruction: Tensor  # ()
    kl: Tensor  # ()


class SubPixelDeconvolution(nn.ConvTranspose2d):
    """`nn.ConvTranspose2d(in, out, kernel, stride=2)`: same weights, same values, faster on CPUs.

    An output pixel at (2q + r) sums input[q - m] * weight[r + 2m] over m, for each of the two axes. So each of the
    four phases (r of rows, r of columns) is a stride-1 convolution with a kernel of half the size, and the output is
    the four phases interleaved (Shi et al. 2016, arXiv 1609.07009). A kernel of odd size gains a row and a column of
    zeros, and the output loses its last row and column, which those would have filled.

    Only the forward pass is computed so: the gradients of a transposed convolution are those of an ordinary strided
    convolution with the roles of inputs and outputs exchanged. On CUDA all are cuDNN's.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride=2)

    def forward(self, inputs: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Map (B, in, H, W) to (B, out, 2H - 2 + K, 2W - 2 + K), in channels-last order."""
        assert output_size is None, "the output's size follows from the input's"
        assert self.bias is not None
        if inputs.is_cuda:
            return super().forward(inputs)
        return _SubPixel.apply(inputs, self.weight, self.bias)


class _SubPixel(torch.autograd.Function):
    """Transposed convolution of stride 2: forward by phases, backward by strided convolutions."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        kernel = phase_kernel(weight)  # (4 * out, in, M, M)
        border = kernel.shape[-1] - 1
        phases = F.conv2d(inputs, kernel, bias.repeat(4), padding=border)  # (B, 4 * out, H + M - 1, W + M - 1)
        outputs = interleave_phases(phases)  # (B, out, 2H - 2 + 2M, 2W - 2 + 2M)
        odd = weight.shape[-1] % 2
        return outputs[:, :, : outputs.shape[2] - odd, : outputs.shape[3] - odd]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        inputs, weight = _saved_like(ctx, gradient)
        of_inputs = F.conv2d(gradient, weight, stride=2) if ctx.needs_input_grad[0] else None
        return of_inputs, strided_weight_gradient(gradient, inputs, weight), gradient.sum((0, 2, 3))


class StridedConvolution(nn.Conv2d):
    """`nn.Conv2d(in, out, kernel, stride=2)`: same weights, same values, a faster gradient of the weight on CPUs."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride=2)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (B, in, H, W) to (B, out, (H - K) // 2 + 1, (W - K) // 2 + 1)."""
        if inputs.is_cuda or not torch.is_grad_enabled():
            return super().forward(inputs)
        return _Strided.apply(inputs, self.weight, self.bias)


class _Strided(torch.autograd.Function):
    """Convolution of stride 2: torch's, but for the gradient of the weight."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        return F.conv2d(inputs, weight, bias, stride=2)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        inputs, weight = _saved_like(ctx, gradient)
        of_inputs = None
        if ctx.needs_input_grad[0]:
            of_inputs = _convolution_backward(gradient, inputs, weight, [True, False, False])[0]
        return of_inputs, strided_weight_gradient(inputs, gradient, weight), gradient.sum((0, 2, 3))


def _saved_like(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Inputs and weight of the forward pass in the gradient's type, which autocast may have made another."""
    inputs, weight = ctx.saved_tensors
    return inputs.to(gradient.dtype), weight.to(gradient.dtype)


def _convolution_backward(gradient: Tensor, inputs: Tensor, weight: Tensor, mask: list[bool]) -> Any:
    """Torch's gradients of inputs, weight and bias, as `mask` says, of a convolution of stride 2 without padding."""
    geometry = ([2, 2], [0, 0], [1, 1], False, [0, 0], 1)  # stride, padding, dilation, transposed, its padding, groups
    return torch.ops.aten.convolution_backward(gradient, inputs, weight, None, *geometry, mask)


LARGEST_GATHERED = 6
"""Side of the smaller map up to which patches are gathered: their matrix product is 2 to 10 times as fast as torch's."""


def strided_weight_gradient(large: Tensor, small: Tensor, weight: Tensor) -> Tensor:
    """Gradient (small channels, large channels, K, K) of the `weight` of a convolution of stride 2 from large to small maps.

    large: (B, C, H, W) and small: (B, D, h, w), channels last; one is what went in, the other the gradient of what
    came out.
    """
    if small.shape[-1] > LARGEST_GATHERED:
        return _convolution_backward(small, large, weight, [False, True, False])[1]
    size = weight.shape[-1]
    pixels = large.permute(0, 2, 3, 1).contiguous()  # (B, H, W, C)
    batch, channels, height, width = small.shape
    image, row, column, _ = pixels.stride()
    row_length = size * pixels.shape[3]  # a row of a patch is one piece of memory
    patches = pixels.as_strided(
        (batch, height, width, size, row_length), (image, 2 * row, 2 * column, row, 1)
    )  # overlapping
    matrix = patches.reshape(batch * height * width, size * row_length)
    outputs = small.permute(0, 2, 3, 1).reshape(-1, channels)
    return (outputs.T @ matrix).view(channels, size, size, -1).permute(0, 3, 1, 2)


def phase_kernel(weight: Tensor) -> Tensor:
    """Rearrange the weight of a stride-2 transposed convolution into that of the stride-1 convolution of its phases.

    weight: (in, out, K, K). Returns (4 * out, in, M, M) with M = ceil(K / 2); the first axis is (row phase, column
    phase, out).
    """
    channels_in, channels_out, size, _ = weight.shape
    half = (size + 1) // 2
    even = F.pad(weight, (0, 2 * half - size, 0, 2 * half - size))  # (in, out, 2M, 2M)
    split = even.view(channels_in, channels_out, half, 2, half, 2)  # (in, out, m, r, m, r)
    phases = split.permute(3, 5, 1, 0, 2, 4).flip(4, 5)  # (r, r, out, in, m, m): a convolution runs m backwards
    return phases.reshape(4 * channels_out, channels_in, half, half)


def interleave_phases(phases: Tensor) -> Tensor:
    """Interleave (B, 4 * out, H, W), phases outermost among the channels, into (B, out, 2H, 2W), channels last."""
    batch, channels, height, width = phases.shape
    split = phases.permute(0, 2, 3, 1).reshape(batch, height, width, 2, 2, channels // 4)
    rows = split.permute(0, 1, 3, 2, 4, 5)  # (B, H, r, W, r, out)
    return rows.reshape(batch, 2 * height, 2 * width, channels // 4).permute(0, 3, 1, 2)


class PointDeconvolution(nn.ConvTranspose2d):
    """`nn.ConvTranspose2d` of a 1x1 input: a matrix product, since no two outputs overlap."""

    def forward(self, inputs: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Map (B, in, 1, 1) to (B, out, K, K), in channels-last order."""
        assert inputs.shape[2:] == (1, 1) and output_size is None and self.bias is not None
        matrix = self.weight.flatten(1)  # (in, out * K * K)
        bias = self.bias.repeat_interleave(matrix.shape[1] // len(self.bias))
        outputs = torch.addmm(bias, inputs.flatten(1), matrix)  # (B, out * K * K)
        return outputs.view(-1, *self.weight.shape[1:]).contiguous(memory_format=torch.channels_last)


class ConvVAE(nn.Module):
    """Compresses a frame into Z numbers and draws it again. 4,446,915 parameters at Z = 64."""

    def __init__(self, options: VAEOptions) -> None:
        super().__init__()
        self.options = options
        self.encoder = nn.Sequential(
            *(nn.Conv2d(3, 32, 4, stride=2), nn.ReLU(inplace=True)),  # 31x31
            *(StridedConvolution(32, 64, 4), nn.ReLU(inplace=True)),  # 14x14
            *(StridedConvolution(64, 128, 4), nn.ReLU(inplace=True)),  # 6x6
            *(StridedConvolution(128, 256, 4), nn.ReLU(inplace=True)),  # 2x2
        )
        self.mean = nn.Linear(FEATURES, options.latent_size)
        self.log_variance = nn.Linear(FEATURES, options.latent_size)
        self.expand = nn.Linear(options.latent_size, FEATURES)  # no activation, as in the released code
        self.decoder = nn.Sequential(
            *(PointDeconvolution(FEATURES, 128, 5, stride=2), nn.ReLU()),  # 5x5
            *(SubPixelDeconvolution(128, 64, 5), nn.ReLU()),  # 13x13
            *(SubPixelDeconvolution(64, 32, 6), nn.ReLU()),  # 30x30
            *(SubPixelDeconvolution(32, 3, 6), nn.Sigmoid()),  # 64x64
        )
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        # A matrix, and by far the largest weight: in this order nothing copies it.
        self.decoder[0].to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        keep_signals_alike(self)

    def encode(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance (B, Z) of the latents of `observations` (B, 3, 64, 64), floats in [0, 1]."""
        features = self.encoder(observations).flatten(1)  # (B, 1024)
        return self.mean(features), self.log_variance(features)

    def decode(self, latents: Tensor) -> Tensor:
        """Draw `latents` (B, Z): (B, 3, 64, 64), floats in [0, 1]."""
        return self.decoder(self.expand(latents)[:, :, None, None])

    def forward(self, observations: Tensor, noise: Tensor) -> VAEOutput:
        """Encode (B, 3, 64, 64), sample z with standard normal `noise` (B, Z), and decode."""
        mean, log_variance = self.encode(observations)
        latents = sample_latents(mean, log_variance, noise)
        return VAEOutput(self.decode(latents), mean, log_variance)


def keep_signals_alike(vae: ConvVAE) -> None:
    """Draw first weights with which signals keep their size through the layers (He et al. 2015, arXiv 1502.01852, eq. 10).

    With PyTorch's own the frame that the decoder draws hardly depends on the latent (a standard deviation of 0.001 over
    standard normal latents; 0.1 with these), and a short training spends much of its time on growing them. The paper
    names none; the released code has TensorFlow's. log_variance begins as 0: posteriors begin as wide as the prior.
    """
    for layer in vae.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            summed = layer.in_channels if isinstance(layer, PointDeconvolution) else None  # no two outputs overlap
            draw_he(layer, None if isinstance(layer, nn.Linear) else 0.0, summed)
    nn.init.zeros_(vae.log_variance.weight)


def sample_latents(mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
    """Return z = mean + exp(log_variance / 2) * noise, all (..., Z)."""
    return mean + torch.exp(log_variance / 2) * noise


def vae_loss(output: VAEOutput, observations: Tensor, free_bits: float) -> VAELoss:
    """Loss of the released code: squared error summed over a frame, plus the KL divergence from a standard normal.

    The KL term is max(KL summed over the latent, free_bits * Z), in nats: the floor lies on the sum, not on each
    dimension. Both terms are means over the batch. `observations`: (B, 3, 64, 64) in [0, 1]. Computed in fp32.
    """
    batch = observations.shape[0]
    # F.mse_loss would hand back a gradient that is not in channels-last order, and the backward pass would be slower.
    error = (output.reconstruction.float() - observations.float()).square().sum() / batch
    mean, log_variance = output.mean.float(), output.log_variance.float()
    divergence = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(dim=1)  # (B,)
    kl = divergence.clamp(min=free_bits * mean.shape[1]).mean()
    return VAELoss(error + kl, error, kl)


def observations_from_frames(frames: Tensor) -> Tensor:
    """Turn frames (B, 64, 64, 3) uint8 into observations (B, 3, 64, 64) float32 in [0, 1], channels last.

    The memory order stays that of the frames, so this is one pass over them.
    """
    return frames.permute(0, 3, 1, 2).to(torch.float32).mul_(1 / 255)
